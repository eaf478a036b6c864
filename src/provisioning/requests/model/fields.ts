import * as v from 'valibot'

/** No list that a caller sends, nor any that a resource has, is longer. */
export const LIST_LENGTH_MAX = 1_000
const ID_MAX = 2_147_483_647

/** A code or a name: text with something in it. */
export const nameField = v.pipe(v.string(), v.regex(/\S/, 'must not be empty'), v.maxLength(200))

/** Any text, also none. */
export const valueField = v.pipe(v.string(), v.maxLength(4_000))

/** An id, of whatever; that there is such a thing is another question. */
export const idField = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(ID_MAX))

/** Where something stands among others. */
export const sequenceField = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(ID_MAX))

/** A field that may be left out, for which null stands as well. */
export const optionalField = <Schema extends v.GenericSchema>(schema: Schema) =>
  v.pipe(
    v.nullish(schema),
    v.transform((value) => value ?? undefined),
  )

/** A list of these. */
export const listField = <Schema extends v.GenericSchema>(schema: Schema) =>
  v.pipe(v.array(schema), v.maxLength(LIST_LENGTH_MAX, `must have up to ${LIST_LENGTH_MAX} items`))

/** Whether no two of them are the same. */
export const hasEachOnce = (values: readonly unknown[]): boolean => new Set(values).size === values.length
