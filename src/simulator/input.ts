import * as v from 'valibot'
import { GatewayError } from '../core/errors.ts'

/** Parses untrusted data; throws GatewayError `invalid_request` whose `fields.field` names the first fault. */
export function parseInput<const Schema extends v.GenericSchema>(
  schema: Schema,
  input: unknown,
): v.InferOutput<Schema> {
  const result = v.safeParse(schema, input)
  if (result.success) return result.output
  const [issue] = result.issues
  const field = v.getDotPath(issue) ?? '(body)'
  throw new GatewayError('invalid_request', { detail: `${field}: ${issue.message}`, fields: { field } })
}
