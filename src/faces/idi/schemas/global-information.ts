import * as v from 'valibot'
import { invalidRequest } from '../../../core/parse-input.ts'
import { LIST_LENGTH_MAX, listField, nameField } from '../../../provisioning/requests/model/fields.ts'
import { MASK } from '../../../provisioning/requests/model/mask.ts'
import type { ShownItem } from '../../../provisioning/requests/store/global-information.ts'
import { id, present } from './fields.ts'

/** The name of an item in a path. */
export const ItemParams = v.strictObject({ name: v.pipe(nameField, v.description('Of the item')) })

/** An item of global information. */
export const GlobalInformationItem = v.object({
  dataType: v.pipe(v.string(), v.description('Name of the data type')),
  dataTypeID: id,
  isProtected: v.boolean(),
  listID: v.optional(id),
  name: v.string(),
  value: v.pipe(v.optional(v.string()), v.description(`Of a protected item always ${MASK}`)),
})
/** Items that were asked for by name. */
export const GlobalInformationItems = v.object({ globalInformationItems: v.array(GlobalInformationItem) })

export const toGlobalInformationItem = (row: ShownItem): v.InferOutput<typeof GlobalInformationItem> => ({
  dataType: row.data_type,
  dataTypeID: row.data_type_id,
  isProtected: row.is_protected,
  name: row.name,
  ...present({ listID: row.list_id, value: row.value }),
})

const NamesBody = v.strictObject({
  names: v.pipe(
    v.optional(listField(v.nullable(nameField)), []),
    v.description('What is null is passed over, as in the sample'),
  ),
})
/** The document has a list of one object around the names; the object alone is taken as well. */
export const RetrieveBody = v.union(
  [v.pipe(v.array(NamesBody), v.maxLength(100)), NamesBody],
  'must be lists of names, as in [{"names": ["Username"]}]',
)

/** All names that are asked for. Throws `invalid_request` when none are, or too many. */
export function namesOf(body: v.InferOutput<typeof RetrieveBody>, inQuery: readonly string[]): readonly string[] {
  const lists = 'names' in body ? [body] : body
  const given = [...lists.flatMap(({ names }) => names), ...inQuery]
  if (given.length === 0) throw invalidRequest([{ field: 'names', message: 'is required' }])
  if (given.length > LIST_LENGTH_MAX) {
    throw invalidRequest([{ field: 'names', message: `must have up to ${LIST_LENGTH_MAX} items` }])
  }
  return given.filter((name) => name !== null)
}
