import * as v from 'valibot'

/** A time in an answer, in the unit of the document's `timestamp`. */
export const milliseconds = v.pipe(v.number(), v.integer(), v.description('Milliseconds since 1970'))

/** A name that people give to things. */
export const nameField = v.pipe(
  v.string(),
  v.regex(/\S/, 'must not be empty'),
  v.maxLength(200),
  v.description('For people; any text'),
)
