import * as v from 'valibot'
import { invalidRequest } from '../../../core/parse-input.ts'
import type { DataTypeRules } from './data-type-rules.ts'
import { DATA_TYPE } from './data-type.ts'
import { idField, listField, nameField, optionalField, valueField } from './fields.ts'
import { MASK } from './mask.ts'

/** One item of an environment, whose value scenarios can refer to. */
export type GlobalInformationItem = {
  readonly name: string
  readonly dataTypeId: number
  /** Whether it is encrypted, and masked wherever it is shown. */
  readonly isProtected: boolean
  readonly listId?: number
  readonly value?: string
}

/** What an item is to be like; what is absent stays as it is. */
export const GlobalInformationChange = v.strictObject({
  dataType: v.pipe(optionalField(v.string()), v.description('As in answers; dataTypeID is what counts')),
  dataTypeID: v.pipe(optionalField(idField), v.description('Text unless given, when it is new')),
  isProtected: v.pipe(optionalField(v.boolean()), v.description('Whether it is encrypted, and never shown')),
  listID: optionalField(idField),
  name: v.pipe(
    nameField,
    v.check((name) => name.toLowerCase() !== 'retrieve', 'must not be retrieve, which is an operation'),
  ),
  remove: v.pipe(optionalField(v.boolean()), v.description('true: the item is removed, if it is there')),
  value: v.pipe(optionalField(valueField), v.description(`Of its data type. ${MASK} for a protected item: as it is`)),
})
export type GlobalInformationChange = v.InferOutput<typeof GlobalInformationChange>

/** Items to be put or removed, all of them or none. */
export const GlobalInformationChanges = v.pipe(
  listField(GlobalInformationChange),
  v.check((items) => new Set(items.map(({ name }) => name)).size === items.length, 'must name each item once'),
)

/**
 * An item after a change; the mask, sent back, means the value that there is. Throws `invalid_request`, naming the
 * field of the change (`place` is where it is in the list): a value must be of its data type, and a protected one is
 * neither unprotected nor held against another type unless another value takes its place.
 */
export function changeItem(
  before: GlobalInformationItem | undefined,
  change: GlobalInformationChange,
  { rules, place }: { readonly rules: DataTypeRules; readonly place: string },
): GlobalInformationItem {
  const refuse = (field: string, message: string) => invalidRequest([{ field: `${place}.${field}`, message }])
  const dataTypeId = change.dataTypeID ?? before?.dataTypeId ?? DATA_TYPE.text
  if (!rules.has(dataTypeId)) throw refuse('dataTypeID', 'there is no such data type')
  const isProtected = change.isProtected ?? before?.isProtected ?? false
  const wasProtected = before?.isProtected ?? false
  const isMasked = change.value === MASK && (isProtected || wasProtected)
  const given = isMasked ? undefined : change.value
  if (isMasked && before?.value === undefined) throw refuse('value', 'must be a value, not the mask of one')
  if (wasProtected && !isProtected && before?.value !== undefined && given === undefined) {
    throw refuse('value', 'must be given when the item is no longer protected')
  }
  // Whether a value is of a type says something about it.
  if (wasProtected && before?.value !== undefined && given === undefined && dataTypeId !== before.dataTypeId) {
    throw refuse('value', 'must be given with another data type')
  }
  const value = given ?? before?.value
  const problem = value === undefined ? undefined : rules.problemOfComputed(dataTypeId, value)
  if (problem !== undefined) throw refuse('value', problem)
  const listId = change.listID ?? before?.listId
  return {
    name: change.name,
    dataTypeId,
    isProtected,
    ...(listId !== undefined && { listId }),
    ...(value !== undefined && { value }),
  }
}

/** As it may be shown. */
export const maskItem = (item: GlobalInformationItem): GlobalInformationItem =>
  item.isProtected && item.value !== undefined ? { ...item, value: MASK } : item
