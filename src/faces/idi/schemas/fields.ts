import * as v from 'valibot'
import { isRealTime } from '../../../provisioning/model/calendar.ts'
import { nameField } from '../../../provisioning/requests/model/fields.ts'

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

const TIME = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:\d{2})?)?$/
/**
 * A time in a body: a day alone, or with a time of day and an offset; in UTC if it does not say otherwise. Becomes
 * milliseconds since 1970.
 */
export const timeField = v.pipe(
  v.string(),
  v.maxLength(40),
  v.regex(TIME, 'must be an ISO 8601 time, such as 2026-01-31T12:00:00Z'),
  // Of what is no time at all it is not said again.
  v.check((text) => !TIME.test(text) || isRealTime(toWholeTime(text)), 'must be a time that exists'),
  v.description('ISO 8601; UTC unless it has an offset'),
  v.transform((text) => Date.parse(toWholeTime(text))),
)

/** With what was left out of it: midnight, and UTC. */
function toWholeTime(text: string): string {
  if (!text.includes('T')) return `${text}T00:00Z`
  return /(?:Z|[+-]\d{2}:\d{2})$/.test(text) ? text : `${text}Z`
}

/** An internal id in a body. The document declares a text, and has a number in its samples: both are the same id. */
export const internalIdField = v.pipe(
  v.union(
    [
      nameField,
      v.pipe(v.number(), v.integer('must be a whole number'), v.minValue(0), v.maxValue(999_999_999_999_999)),
    ],
    'must be text with something in it, of up to 200 characters, or a whole number of up to 15 digits',
  ),
  v.transform(String),
)

/** An internal id in an answer: a number, as in the samples of the document, if that says all of it. */
export const internalId = v.pipe(
  v.union([v.pipe(v.number(), v.integer()), v.string()]),
  v.description('A number when it is one of up to 15 digits, as in the document; text otherwise'),
)
/** Without a zero in front, which says something, and exact in JSON. */
const NUMERIC = /^(0|[1-9]\d{0,14})$/
export const toInternalId = (text: string): v.InferOutput<typeof internalId> =>
  NUMERIC.test(text) ? Number(text) : text

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

type Present<Value> = {
  [Key in keyof Value as null extends Value[Key] ? never : Key]: Value[Key]
} & { [Key in keyof Value as null extends Value[Key] ? Key : never]?: Exclude<Value[Key], null> }
/** A row as answers show it: without what is null. */
export const present = <Value extends object>(value: Value): Present<Value> =>
  // Object.entries knows no keys of its own type.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== null)) as Present<Value>
