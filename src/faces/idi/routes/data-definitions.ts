import * as v from 'valibot'
import type { IdiDeps } from '../deps.ts'
import type { AddIdi } from '../operation.ts'
import {
  AskedObjects,
  Codes,
  DataDefinitionOfCodeItem,
  DataDefinitionWithItemItem,
  toDataDefinitionOfCodeItem,
  toDataDefinitionWithItemItem,
} from '../schemas/definitions.ts'
import { searchAnswer } from '../search-answer.ts'
import { addSearch } from '../search-operation.ts'
import { IDI_TAGS } from '../tags.ts'

const tag = IDI_TAGS.definitions

/** Data definitions of several provisionable object definitions at once: searches whose subject is in the body. */
export function addDataDefinitionRoutes(add: AddIdi, { definitionSearch }: Pick<IdiDeps, 'definitionSearch'>): void {
  add(
    'listDataDefinitionsOfCodes',
    {
      tag,
      summary: 'Search the data definitions of provisionable object definitions, by code',
      description:
        'The answer is a bare list, in the document, with neither count nor next link: what follows is found with $skip. A code that there is not has no data definitions.',
      isSearch: true,
      body: Codes,
      schema: v.array(v.partial(DataDefinitionOfCodeItem)),
    },
    async ({ environment, body, query, c }) => {
      const page = await definitionSearch.dataDefinitionsOfCodes(environment.environmentId, body, query)
      return searchAnswer(page, { query, c, item: DataDefinitionOfCodeItem, toItem: toDataDefinitionOfCodeItem }).value
    },
  )
  addSearch(add, {
    name: 'searchDataDefinitionsWithItems',
    tag,
    summary: 'Search data definitions as they are for transitions of objects, with what the objects have',
    description:
      'The options of the transition stand over the data definition. The value is what the object has, else the default value. The next link goes with the same body.',
    body: AskedObjects,
    item: DataDefinitionWithItemItem,
    toItem: toDataDefinitionWithItemItem,
    search: ({ environment, body, query }) =>
      definitionSearch.dataDefinitionsWithItems(environment.environmentId, body, query),
  })
}
