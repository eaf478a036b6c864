import type * as v from 'valibot'
import type { SearchPage } from '../../provisioning/odata/search.ts'
import type { AddIdi, AnyBody, IdiCall, NoParams, ObjectSchema, OperationSpec } from './operation.ts'
import type { IdiOperationName } from './route-table.ts'
import { envelopeOf, searchAnswer, type ItemSchema } from './search-answer.ts'

type SearchSpec<Row, Params extends ObjectSchema, Body extends v.GenericSchema> = Pick<
  OperationSpec<Params, Body>,
  'tag' | 'summary' | 'description' | 'params' | 'body'
> & {
  readonly name: IdiOperationName
  /** What one item of the answer is. */
  readonly item: ItemSchema
  readonly toItem: (row: Row) => Readonly<Record<string, unknown>>
  readonly search: (call: IdiCall<v.InferOutput<Params>, v.InferOutput<Body>>) => Promise<SearchPage<Row>>
}

/** Defines one operation of the document that takes the seven search parameters and answers a page in its envelope. */
export function addSearch<Row, Params extends ObjectSchema = NoParams, Body extends v.GenericSchema = AnyBody>(
  add: AddIdi,
  { name, item, toItem, search, ...spec }: SearchSpec<Row, Params, Body>,
): void {
  add(name, { ...spec, isSearch: true, schema: envelopeOf(item) }, async (call) =>
    searchAnswer(await search(call), { query: call.query, c: call.c, item, toItem }),
  )
}
