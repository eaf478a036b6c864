import type { AttemptOutcome } from '../core/delivery-record.ts'
import { isGatewayError } from '../core/errors.ts'
import { parseRetryAfter } from '../core/retry-after.ts'

/** Why an attempt failed. */
export type FailureReason = Exclude<AttemptOutcome, 'delivered' | 'gone'>

/** What an attempt means for the event. */
export type Outcome =
  | { readonly kind: 'delivered'; readonly status: number }
  /** The receiver wants nothing more (410, or `webhook-delivery: disable`): the endpoint is to be disabled. */
  | { readonly kind: 'gone'; readonly status: number }
  | {
      readonly kind: 'failed'
      readonly reason: FailureReason
      readonly status?: number
      /** The receiver asks not to be tried again earlier, in milliseconds since the epoch. */
      readonly notBefore?: number
      /** It asks so for everything that is sent to it (429). */
      readonly throttled?: true
    }

/** The one word that records and metrics have for an outcome. */
export const nameOf = (outcome: Outcome): AttemptOutcome => (outcome.kind === 'failed' ? outcome.reason : outcome.kind)

/** The parts of an answer that decide. */
export type Answer = {
  readonly status: number
  readonly retryAfter: string | undefined
  /** The header `webhook-delivery`. */
  readonly delivery: string | undefined
}

/** Judges a response (Standard Webhooks 1.0.0, "Deliverability and reliability"); redirects are never followed. */
export function classifyResponse({ status, retryAfter, delivery }: Answer, now: number): Outcome {
  if (status === 410 || delivery?.trim().toLowerCase() === 'disable') return { kind: 'gone', status }
  if (status >= 200 && status < 300) return { kind: 'delivered', status }
  if (status >= 300 && status < 400) return { kind: 'failed', reason: 'redirect', status }
  const notBefore = status === 429 || status === 503 ? parseRetryAfter(retryAfter, now) : undefined
  return {
    kind: 'failed',
    reason: 'http_status',
    status,
    ...(notBefore !== undefined && { notBefore }),
    ...(status === 429 && { throttled: true as const }),
  }
}

/** Judges an attempt that brought no response. */
export const classifyError = (error: unknown): Outcome => ({ kind: 'failed', reason: reasonOf(error) })

function reasonOf(error: unknown): FailureReason {
  if (isGatewayError(error, 'webhook_url_refused')) {
    return error.fields['reason'] === 'unresolvable' ? 'dns_error' : 'blocked_address'
  }
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0])
  if (!(error instanceof Error)) return 'error'
  // undici's parser errors carry a code only where the parser gave one.
  if (error.name === 'HTTPParserError') return 'bad_response'
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  // undici ends the socket itself when a 100 or a 101 comes that nobody asked for.
  if (code === 'UND_ERR_SOCKET' && error.message.startsWith('bad ')) return 'bad_response'
  return REASONS[code] ?? (/^(?:ERR_TLS_|ERR_SSL_|ERR_OSSL_|CERT_|UNABLE_TO_)/.test(code) ? 'tls_error' : 'error')
}

const REASONS: Readonly<Record<string, FailureReason>> = {
  UND_ERR_CONNECT_TIMEOUT: 'timeout',
  UND_ERR_HEADERS_TIMEOUT: 'timeout',
  UND_ERR_BODY_TIMEOUT: 'timeout',
  ETIMEDOUT: 'timeout',
  ECONNREFUSED: 'connect_refused',
  EHOSTUNREACH: 'connect_refused',
  ENETUNREACH: 'connect_refused',
  EADDRNOTAVAIL: 'connect_refused',
  EHOSTDOWN: 'connect_refused',
  ENETDOWN: 'connect_refused',
  ECONNRESET: 'connection_lost',
  ECONNABORTED: 'connection_lost',
  EPIPE: 'connection_lost',
  UND_ERR_SOCKET: 'connection_lost',
  EPROTO: 'tls_error',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'tls_error',
  SELF_SIGNED_CERT_IN_CHAIN: 'tls_error',
  HOSTNAME_MISMATCH: 'tls_error',
  UND_ERR_HEADERS_OVERFLOW: 'bad_response',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'bad_response',
}
