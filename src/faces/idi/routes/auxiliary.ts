import * as v from 'valibot'
import type { IdiDeps } from '../deps.ts'
import type { AddIdi } from '../operation.ts'
import { DataTypeItem, toDataTypeItem, toTransitionItem, TransitionItem } from '../schemas/auxiliary.ts'
import { addSearch } from '../search-operation.ts'
import { IDI_TAGS } from '../tags.ts'

/** Lookups that are the same in every environment, and whether the API is there at all. */
export function addAuxiliaryRoutes(add: AddIdi, { auxiliaryData }: IdiDeps): void {
  add(
    'checkHealth',
    {
      tag: IDI_TAGS.auxiliary,
      summary: 'Check that the provisioning management is up and running',
      schema: v.object({ status: v.literal('ok') }),
    },
    () => Promise.resolve({ status: 'ok' }),
  )
  addSearch(add, {
    name: 'listTransitions',
    tag: IDI_TAGS.auxiliary,
    summary: 'List provisioned object transitions',
    item: TransitionItem,
    toItem: toTransitionItem,
    search: ({ query }) => auxiliaryData.transitions(query),
  })
  addSearch(add, {
    name: 'listDataTypes',
    tag: IDI_TAGS.auxiliary,
    summary: 'List data types',
    item: DataTypeItem,
    toItem: toDataTypeItem,
    search: ({ query }) => auxiliaryData.dataTypes(query),
  })
}
