import * as v from 'valibot'
import { ERRORS, GatewayError } from '../core/errors.ts'
import { SECURITY_HEADERS } from './security-headers.ts'

/** The body of every error: RFC 9457, with our `code` as the part that programs should look at. */
export const ProblemSchema = v.pipe(
  v.looseObject({
    type: v.pipe(v.string(), v.description('urn:callhalf:problem: and the code')),
    title: v.string(),
    status: v.pipe(v.number(), v.integer()),
    code: v.pipe(v.picklist(Object.keys(ERRORS)), v.description('Stable; titles and details may change')),
    detail: v.optional(v.string()),
    request_id: v.pipe(v.string(), v.description('Also in the header X-Request-Id; name it when you ask for help')),
    errors: v.pipe(
      v.optional(v.array(v.object({ field: v.string(), message: v.string() }))),
      v.description('With invalid_request: which fields, as dotted paths'),
    ),
  }),
  v.metadata({ ref: 'Problem', title: 'Problem details (RFC 9457)' }),
)
export type Problem = v.InferOutput<typeof ProblemSchema>

const RETRY_AFTER_SECONDS = 5

/** The answer for an error. */
export function toProblemResponse(error: unknown, requestId: string): Response {
  const known = toShownError(error)
  const headers = headersFor(known, requestId)
  return new Response(JSON.stringify(toProblem(known, requestId)), { status: known.status, headers })
}

/** Anything that is not a GatewayError becomes `internal` and shows nothing of itself. */
export const toShownError = (error: unknown): GatewayError =>
  error instanceof GatewayError && error.code !== 'internal' ? error : new GatewayError('internal')

/** The body of the answer for an error. */
export const toProblem = (error: GatewayError, requestId: string): Problem => ({
  ...error.fields,
  type: `urn:callhalf:problem:${error.code}`,
  title: error.title,
  status: error.status,
  code: error.code,
  ...(error.detail !== undefined && { detail: error.detail }),
  request_id: requestId,
})

/** When it makes sense to try again: a whole number of seconds, at least 1. */
export function retryAfterSecondsOf(error: GatewayError): number | undefined {
  const seconds = error.retryAfterSeconds ?? (error.status === 503 ? RETRY_AFTER_SECONDS : undefined)
  return seconds === undefined ? undefined : Math.max(1, Math.ceil(seconds))
}

function headersFor(error: GatewayError, requestId: string): Record<string, string> {
  const headers: Record<string, string> = {
    ...SECURITY_HEADERS,
    'content-type': 'application/problem+json',
    'x-request-id': requestId,
  }
  const retryAfterSeconds = retryAfterSecondsOf(error)
  if (retryAfterSeconds !== undefined) headers['retry-after'] = String(retryAfterSeconds)
  if (error.status === 401) headers['www-authenticate'] = 'Bearer realm="callhalf"'
  const allowed = error.code === 'method_not_allowed' ? error.fields['allowed'] : undefined
  if (Array.isArray(allowed)) headers['allow'] = allowed.join(', ')
  // The rest of a body that was not read must not be taken for the next request.
  if (error.status === 413 || error.status === 408) headers['connection'] = 'close'
  return headers
}
