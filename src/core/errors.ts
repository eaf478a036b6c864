/**
 * Every error that may leave the gateway, by stable code: HTTP status and the title shown for it.
 * The code is contract; titles and details may change.
 */
export const ERRORS = {
  invalid_request: { status: 400, title: 'The request is not valid' },
  malformed_json: { status: 400, title: 'The body is not valid JSON' },
  unauthorized: { status: 401, title: 'A valid key is required' },
  scope_exceeded: { status: 403, title: 'The key was issued for certain customers only' },
  origin_refused: { status: 403, title: 'Streams cannot be opened from this origin' },
  app_not_found: { status: 404, title: 'There is no such app' },
  call_not_found: { status: 404, title: 'There is no such call' },
  subscriber_not_found: { status: 404, title: 'There is no such subscriber' },
  network_not_found: { status: 404, title: 'There is no such network' },
  webhook_not_found: { status: 404, title: 'There is no such webhook' },
  delivery_not_found: { status: 404, title: 'There is no such delivery' },
  key_not_found: { status: 404, title: 'There is no such API key' },
  customer_not_found: { status: 404, title: 'There is no such customer' },
  product_not_found: { status: 404, title: 'There is no such product' },
  order_not_found: { status: 404, title: 'There is no such order' },
  reservation_not_found: { status: 404, title: 'There is no such reservation' },
  resource_not_found: { status: 404, title: 'There is nothing of this id here' },
  route_not_found: { status: 404, title: 'There is no such resource' },
  method_not_allowed: { status: 405, title: 'The resource does not have this method' },
  request_timeout: { status: 408, title: 'The request took too long to arrive' },
  call_state_conflict: { status: 409, title: 'The call is not in a state that allows this' },
  already_exists: { status: 409, title: 'It exists already' },
  in_use: { status: 409, title: 'It is still in use' },
  shard_conflict: { status: 409, title: 'The app and the network are in different shards' },
  ambiguous_call: { status: 409, title: 'Several subscribers of the app have a call of this id' },
  idempotency_in_progress: { status: 409, title: 'The first request with this key is not finished' },
  idempotency_outcome_unknown: { status: 409, title: 'The first request with this key has an unknown outcome' },
  too_many_webhooks: { status: 409, title: 'The app has as many webhooks as it may have' },
  webhook_disabled: { status: 409, title: 'The webhook is disabled' },
  webhook_unverified: { status: 409, title: 'The webhook has not been verified' },
  delivery_pending: { status: 409, title: 'The delivery is still pending' },
  customer_in_use: {
    status: 409,
    title: 'The customer still has services, open orders, reservations or unpaid invoices',
  },
  reservation_ended: { status: 409, title: 'The reservation holds nothing any longer' },
  numbers_unavailable: { status: 409, title: 'The numbers are not available' },
  customer_inactive: { status: 409, title: 'The customer is suspended or closed' },
  number_busy: { status: 409, title: 'Another order is changing the number' },
  order_not_held: { status: 409, title: 'The order does not wait for an operator' },
  order_not_cancellable: { status: 409, title: 'The order can no longer be cancelled' },
  etag_mismatch: { status: 412, title: 'It has been changed since it was read' },
  idempotency_mismatch: { status: 422, title: 'The key was used for another request' },
  body_too_large: { status: 413, title: 'The body is too large' },
  unsupported_media_type: { status: 415, title: 'The body must be application/json' },
  expectation_failed: { status: 417, title: 'The expectation cannot be met' },
  webhook_url_refused: { status: 422, title: 'Webhooks cannot be sent to this URL' },
  quantity_exceeded: { status: 422, title: 'That is more than is allowed' },
  order_refused: { status: 422, title: 'The order cannot be placed' },
  too_many_requests: { status: 429, title: 'Too many requests' },
  too_many_streams: { status: 429, title: 'The app has as many open streams as it may have' },
  headers_too_large: { status: 431, title: 'The header fields are too large' },
  internal: { status: 500, title: 'Something went wrong' },
  provider_refused: { status: 502, title: 'The network refused the command' },
  provider_unauthorized: { status: 502, title: 'The network refused our credentials' },
  provider_unavailable: { status: 503, title: 'The network cannot be reached' },
  store_unavailable: { status: 503, title: 'The gateway cannot reach its store' },
  overloaded: { status: 503, title: 'More clients come at once than the gateway can take' },
  draining: { status: 503, title: 'The gateway is shutting down' },
  /** Internal: the sender's lease was granted to somebody else. */
  fenced: { status: 503, title: 'The lease is no longer held' },
  /** Internal: a peer sent something that is not the protocol. */
  protocol_error: { status: 502, title: 'The network answered with something unexpected' },
} as const

export type ErrorCode = keyof typeof ERRORS

export type GatewayErrorOptions = {
  /** What the caller is told besides the title; must hold no secret and nothing of another tenant. */
  readonly detail?: string
  /** Structured data shown to the caller (`field`, `state`, `provider_code` …). */
  readonly fields?: Readonly<Record<string, unknown>>
  /** Seconds for a Retry-After header. */
  readonly retryAfterSeconds?: number
  /** The original error; logged, never shown. */
  readonly cause?: unknown
}

/** The only error thrown on purpose in this project. */
export class GatewayError extends Error {
  override readonly name = 'GatewayError'
  readonly code: ErrorCode
  readonly detail: string | undefined
  readonly fields: Readonly<Record<string, unknown>>
  readonly retryAfterSeconds: number | undefined

  constructor(code: ErrorCode, options: GatewayErrorOptions = {}) {
    super(options.detail ?? ERRORS[code].title, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.detail = options.detail
    this.fields = options.fields ?? {}
    this.retryAfterSeconds = options.retryAfterSeconds
  }

  get status(): number {
    return ERRORS[this.code].status
  }

  get title(): string {
    return ERRORS[this.code].title
  }
}

/** Whether `error` is a GatewayError, of one of `codes` if any are given. */
export const isGatewayError = (error: unknown, ...codes: readonly ErrorCode[]): error is GatewayError =>
  error instanceof GatewayError && (codes.length === 0 || codes.includes(error.code))
