import { GatewayError } from '../core/errors.ts'
import { parseRetryAfter } from '../core/retry-after.ts'
import type { XsiDocument } from './parse.ts'

/** What a request was about, which decides what 403, 404 and 409 mean. */
export type ErrorScope = 'call' | 'user' | 'network'

export type XsiFailure = {
  readonly status: number
  readonly document?: XsiDocument
  readonly retryAfterSeconds?: number
}

const RETRY_AFTER_DEFAULT_SECONDS = 5
const RETRY_AFTER_MAX_SECONDS = 3600

/**
 * The error for an answer that is not a success.
 *
 * A call command may get 403 instead of 404 for a call that is gone (XSI Interface Specification
 * 2020.07, p. 368, and field experience): `fields.maybe_gone` asks the caller to read the calls again.
 */
export function refusalError(failure: XsiFailure, scope: ErrorScope): GatewayError {
  const { status, document } = failure
  const providerCode = document?.type === 'error-info' ? document.errorCode : undefined
  const fields = {
    provider_status: status,
    ...(providerCode === undefined ? {} : { provider_code: providerCode }),
  }
  if (status === 401) return new GatewayError('provider_unauthorized', { fields })
  if (status === 404 && scope === 'call') return new GatewayError('call_not_found', { fields })
  if (status === 404 && scope === 'user') return new GatewayError('subscriber_not_found', { fields })
  if (status === 409 && scope === 'call') return new GatewayError('call_state_conflict', { fields })
  if (isPassing(status)) {
    const retryAfterSeconds = failure.retryAfterSeconds ?? RETRY_AFTER_DEFAULT_SECONDS
    return new GatewayError('provider_unavailable', { fields, retryAfterSeconds })
  }
  const maybeGone = status === 403 && scope === 'call' ? { maybe_gone: true } : {}
  return new GatewayError('provider_refused', { fields: { ...fields, ...maybeGone } })
}

/** Overload, a fault of the node, or one of something before it. */
const isPassing = (status: number): boolean => status === 408 || status === 429 || (status >= 500 && status !== 501)

/**
 * The error for a request that got no answer. Of the original only code and message are kept: undici's
 * parser errors carry the bytes received, cookies included.
 */
export function unreachableError(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error
  const cause = error instanceof Error ? new Error(`${codeOf(error) ?? error.name}: ${error.message}`) : undefined
  return new GatewayError('provider_unavailable', {
    // Whoever must not repeat a command needs to know that this one never left.
    ...(isUnsent(error) && { fields: { sent: false } }),
    retryAfterSeconds: RETRY_AFTER_DEFAULT_SECONDS,
    cause,
  })
}

/** The error for a request that was not sent at all, so that whoever must not repeat a command may repeat this one. */
export const unsentError = (detail: string, cause?: unknown): GatewayError =>
  new GatewayError('provider_unavailable', {
    detail,
    fields: { sent: false },
    retryAfterSeconds: RETRY_AFTER_DEFAULT_SECONDS,
    cause,
  })

const UNSENT_CODES: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
])
/** A certificate that was not accepted (OpenSSL and Node codes). */
const CERTIFICATE_CODE = /CERT|^ERR_TLS_|^UNABLE_TO_/
const BROKEN_CODES: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'])

/** The connection was never made, so nothing of the request can have arrived. */
export const isUnsent = (error: unknown): boolean => {
  const code = codeOf(error) ?? ''
  return UNSENT_CODES.has(code) || CERTIFICATE_CODE.test(code)
}

/** The connection ended before the answer did; the request may have arrived. */
export const isBroken = (error: unknown): boolean => BROKEN_CODES.has(codeOf(error) ?? '')

/** The `code` of a system or undici error. */
const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined

/** The seconds of a Retry-After header, in either form, at most an hour. */
export function readRetryAfter(header: string | undefined, now: number): number | undefined {
  const at = parseRetryAfter(header, now)
  return at === undefined ? undefined : Math.min(Math.ceil((at - now) / 1000), RETRY_AFTER_MAX_SECONDS)
}
