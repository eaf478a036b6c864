import * as v from 'valibot'
import type { IdiDeps } from '../deps.ts'
import type { AddIdi } from '../operation.ts'
import { DataTypeItem, toDataTypeItem, toTransitionItem, TransitionItem } from '../schemas/auxiliary.ts'
import { envelopeOf, searchAnswer } from '../search-answer.ts'
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
  add(
    'listTransitions',
    {
      tag: IDI_TAGS.auxiliary,
      summary: 'List provisioned object transitions',
      isSearch: true,
      schema: envelopeOf(TransitionItem),
    },
    async ({ query, c }) =>
      searchAnswer(await auxiliaryData.transitions(query), {
        query,
        c,
        item: TransitionItem,
        toItem: toTransitionItem,
      }),
  )
  add(
    'listDataTypes',
    { tag: IDI_TAGS.auxiliary, summary: 'List data types', isSearch: true, schema: envelopeOf(DataTypeItem) },
    async ({ query, c }) =>
      searchAnswer(await auxiliaryData.dataTypes(query), { query, c, item: DataTypeItem, toItem: toDataTypeItem }),
  )
}
