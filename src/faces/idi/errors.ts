import { randomBytes } from 'node:crypto'
import * as v from 'valibot'
import type { GatewayError } from '../../core/errors.ts'
import type { FieldError } from '../../core/parse-input.ts'
import type { Logger } from '../../core/logger.ts'
import type { HttpContext } from '../../http/context.ts'
import type { Reply } from '../../http/operation.ts'
import { retryAfterSecondsOf, toShownError } from '../../http/problem.ts'

/** The document's: "no access, or it does not exist", and a value that is not valid. */
const NOT_FOUND = 500_032
const NOT_VALID = 500_002
/** Ours, for all else: this and the status of the answer. */
const OTHERS_FROM = 500_000

/** The document's envelope of errors. */
export const ErrorsAnswer = v.pipe(
  v.object({
    errors: v.array(
      v.object({
        correlationId: v.pipe(v.string(), v.description('Also in the log')),
        field: v.string(),
        loggingNumber: v.pipe(
          v.number(),
          v.integer(),
          v.description('500032: no access, or it does not exist; 500002: not valid; others: 500000 and the status'),
        ),
        message: v.string(),
      }),
    ),
  }),
  v.metadata({ ref: 'IdiErrors', title: 'What is wrong' }),
)

/** An error in the document's envelope; what is wrong with several fields is several errors. */
export function answerIdiError(error: unknown, c: HttpContext, log: Logger): Reply {
  const shown = toShownError(error)
  const correlationId = randomBytes(4).toString('hex')
  const fields = { correlation_id: correlationId, requestId: c.get('requestId'), err: error }
  if (shown.code === 'internal') log.error(fields, 'idi operation failed')
  else if (shown.status >= 500) log.warn(fields, 'idi operation failed')
  c.set('problem', shown.code)
  return {
    status: statusOf(shown),
    json: { errors: toErrors(shown).map(({ field, ...told }) => ({ correlationId, field, ...told })) },
    headers: headersOf(shown),
  }
}

/** What exists already is, to the document, a value that is not valid: it must be unique. */
const statusOf = (error: GatewayError): number => (error.code === 'already_exists' ? 400 : error.status)

type Told = { readonly field: string; readonly loggingNumber: number; readonly message: string }

function toErrors(error: GatewayError): readonly Told[] {
  const wrong = error.fields?.['errors']
  if (error.code === 'invalid_request' && isFieldErrors(wrong)) {
    return wrong.map(({ field, message }) => ({
      field,
      loggingNumber: NOT_VALID,
      message:
        field === '' ? `The body is not valid: ${message}.` : `Value for argument '${field}' is not valid: ${message}.`,
    }))
  }
  const field = typeof error.fields?.['field'] === 'string' ? error.fields['field'] : ''
  const message = error.detail ?? `${error.title}.`
  if (statusOf(error) === 404) return [{ field, loggingNumber: NOT_FOUND, message: notFound(field, error) }]
  if (statusOf(error) === 400) return [{ field, loggingNumber: NOT_VALID, message }]
  return [{ field, loggingNumber: OTHERS_FROM + error.status, message }]
}

/** Which of the two it is, a caller is not told. */
const notFound = (field: string, error: GatewayError): string =>
  error.detail ?? `You do not have access to ${field === '' ? 'this resource' : field} or it does not exist.`

const isFieldErrors = (errors: unknown): errors is readonly FieldError[] => Array.isArray(errors) && errors.length > 0

function headersOf(error: GatewayError): Record<string, string> {
  const retryAfterSeconds = retryAfterSecondsOf(error)
  const allowed = error.code === 'method_not_allowed' ? error.fields['allowed'] : undefined
  return {
    'cache-control': 'no-store',
    ...(error.code === 'unauthorized' && { 'www-authenticate': 'Bearer realm="callhalf"' }),
    ...(Array.isArray(allowed) && { allow: allowed.join(', ') }),
    ...(retryAfterSeconds !== undefined && { 'retry-after': String(retryAfterSeconds) }),
    // What was not read of a body must not be taken for the next request.
    ...((error.code === 'body_too_large' || error.code === 'request_timeout') && { connection: 'close' }),
  }
}
