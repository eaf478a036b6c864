import type { AttemptRecord, DeliveryFilter } from '../core/delivery-record.ts'
import type { Endpoint } from '../core/endpoint.ts'
import type { AppId, EndpointId } from '../core/ids.ts'

/** How an endpoint's deliveries are doing now. */
export type WebhookStatus = {
  /** `open`: so much fails that nothing but a probe is sent; `half_open`: a probe is on its way. */
  readonly breaker: 'closed' | 'open' | 'half_open'
  /** Deliveries that are neither delivered nor given up. */
  readonly pending: number
  /** Lanes being worked on, over all instances. */
  readonly inFlight: number
  /** Since when nothing but failures came, in milliseconds since the epoch. */
  readonly failingSince?: number
  /** Until when the receiver asked for nothing (429), in milliseconds since the epoch. */
  readonly pausedUntil?: number
}

/** Rejects with `store_unavailable`; an endpoint that nothing is known of is not in the answer. */
export type ReadWebhookStatus = (endpoints: readonly EndpointId[]) => Promise<ReadonlyMap<EndpointId, WebhookStatus>>

export type ReplayResult = {
  /** Deliveries that match and can be replayed, counted no further than the limit. */
  readonly matched: number
  readonly replayed: number
  /** There is more to replay: beyond the limit, or because the backlog is full. */
  readonly truncated: boolean
}

/** Puts ended deliveries back into their lanes. */
export interface DeliveryReplayer {
  /**
   * Rejects with `delivery_not_found`, with `delivery_pending` while it is on its way, and with
   * `webhook_not_found`, `webhook_disabled` or `webhook_unverified` when nothing may be sent to its endpoint
   * (any more).
   */
  one(appId: AppId, deliveryId: string): Promise<ReplayResult>
  /** Rejects like `one`, of an endpoint that the filter names, unless it is a dry run. */
  matching(filter: DeliveryFilter, options: { readonly dryRun: boolean; readonly limit: number }): Promise<ReplayResult>
}

/** Sends a sample of an event type, once and now. */
export interface DeliveryTester {
  /** Rejects with `webhook_unverified`, `webhook_not_found` when it was removed, and `draining`. */
  send(
    endpoint: Endpoint,
    type: string,
  ): Promise<{
    readonly deliveryId: string
    readonly type: string
    /** The body as it was sent. */
    readonly payload: unknown
    readonly attempts: readonly AttemptRecord[]
  }>
}

/** Asks whoever receives at an endpoint's URL to prove that they want what is sent there. */
export interface OwnershipVerifier {
  /** Marks the endpoint as verified if it is. Rejects with `webhook_not_found` when it was removed, and `draining`. */
  verify(endpoint: Endpoint): Promise<{ readonly verified: boolean; readonly attempt: AttemptRecord }>
}
