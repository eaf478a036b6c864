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
  const result = v.safeParse(schema, input)
  if (result.success) return result.output
  throw invalidRequest(result.issues.map((issue) => ({ field: fieldOf(issue, prefix), message: describeIssue(issue) })))
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
