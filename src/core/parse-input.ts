import * as v from 'valibot'
import { GatewayError } from './errors.ts'

/** What is wrong with one field of a request; `field` is a dotted path such as `config.xsp.0`. */
export type FieldError = { readonly field: string; readonly message: string }

const FIELD_ERRORS_MAX = 20
const FIELD_LENGTH_MAX = 200

/**
 * Validates what somebody sent us. `prefix` is put before the path of each field.
 * Throws `invalid_request` whose `errors` name every field (at most 20); the received values are never
 * repeated, since one of them may be a password in the wrong place.
 */
export function parseInput<const Schema extends v.GenericSchema>(
  schema: Schema,
  input: unknown,
  prefix = '',
): v.InferOutput<Schema> {
  const lists = listsForObjects(schema, input, prefix === '' ? [] : [prefix])
  if (lists.length > 0) throw invalidRequest(lists.map((field) => ({ field, message: 'must be an object' })))
  const result = v.safeParse(schema, input)
  if (result.success) return result.output
  throw invalidRequest(result.issues.map((issue) => ({ field: fieldOf(issue, prefix), message: describeIssue(issue) })))
}

type Nested = v.GenericSchema & {
  readonly entries?: Readonly<Record<string, v.GenericSchema>>
  readonly item?: v.GenericSchema
  readonly wrapped?: v.GenericSchema
  readonly key?: v.GenericSchema
}

/** Where a list stands for an object with names, which to valibot it is, too: all of its names would be optional. */
function listsForObjects(schema: v.GenericSchema, input: unknown, path: readonly string[]): readonly string[] {
  const { entries, item, wrapped, key }: Nested = schema
  if (wrapped !== undefined) return listsForObjects(wrapped, input, path)
  if (Array.isArray(input)) {
    if (entries !== undefined || key !== undefined) return [path.join('.').slice(0, FIELD_LENGTH_MAX)]
    if (item === undefined) return []
    return input.flatMap((value, index) => listsForObjects(item, value, [...path, String(index)]))
  }
  if (entries === undefined || typeof input !== 'object' || input === null) return []
  return Object.entries(entries).flatMap(([name, entry]) =>
    Object.hasOwn(input, name) ? listsForObjects(entry, Reflect.get(input, name), [...path, name]) : [],
  )
}

/** The error for fields that are wrong in a way that no schema can express. */
export function invalidRequest(errors: readonly FieldError[]): GatewayError {
  const shown = errors.slice(0, FIELD_ERRORS_MAX)
  return new GatewayError('invalid_request', {
    detail: shown.map(({ field, message }) => (field === '' ? message : `${field}: ${message}`)).join('; '),
    fields: { errors: shown },
  })
}

function fieldOf(issue: v.BaseIssue<unknown>, prefix: string): string {
  const path = (issue.path ?? []).map((item) => String(item.key))
  return (prefix === '' ? path : [prefix, ...path]).join('.').slice(0, FIELD_LENGTH_MAX)
}

/** What is wrong, without the place and without the received value, as in `after: is required`. */
export function describeIssue(issue: v.BaseIssue<unknown>): string {
  if (issue.type === 'strict_object' && issue.expected === 'never') return 'is not a known field'
  if (issue.message.startsWith('Invalid key: Expected ') && issue.received === 'undefined') return 'is required'
  // A message of ours is a sentence about the rule; valibot's own repeats what it received.
  if (!issue.message.startsWith('Invalid ')) return issue.message
  if (issue.expected === null) return 'is not valid'
  if (issue.type.endsWith('_length')) return `must have a length of ${issue.expected}`
  return `must be ${TYPE_NAMES[issue.expected] ?? issue.expected}`
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  boolean: 'true or false',
  Object: 'an object',
  Array: 'an array',
}
