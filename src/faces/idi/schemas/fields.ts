import * as v from 'valibot'

/** An id in a path. No id is greater than `idMax`, so nothing is found of what is beyond. */
export const idInPath = (name: string, idMax = 2_147_483_647) =>
  v.pipe(
    v.string(),
    v.regex(/^\d{1,30}$/, 'must be a whole number'),
    v.transform((text) => Math.min(Number(text), idMax)),
    v.description(`The ${name}'s id`),
  )

/** An id in an answer. */
export const id = v.pipe(v.number(), v.integer())

/** A time in an answer. */
export const timestamp = v.pipe(v.string(), v.isoTimestamp(), v.description('In UTC'))

/** Who made something, who last changed it, and when: as answers have it. */
export const authorship = {
  createDate: timestamp,
  createUser: v.string(),
  lastModifiedDate: timestamp,
  lastModifiedUser: v.string(),
}

/** The same of a row. */
export const toAuthorship = (row: {
  readonly created_at: Date
  readonly created_by: string
  readonly modified_at: Date
  readonly modified_by: string
}) => ({
  createDate: row.created_at.toISOString(),
  createUser: row.created_by,
  lastModifiedDate: row.modified_at.toISOString(),
  lastModifiedUser: row.modified_by,
})
