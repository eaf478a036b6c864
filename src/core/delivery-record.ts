import type { DeliveryClass } from './delivery-policy.ts'
import type { AppId, EndpointId } from './ids.ts'

/**
 * How a delivery stands.
 *
 * - `pending`: waiting or being retried;
 * - `delivered`: answered with a 2xx;
 * - `expired`: its time to live ended first;
 * - `parked`: it held up the next event of its call for too long and was set aside;
 * - `superseded`: left out because a later event of its call says more (coalescing endpoints only);
 * - `dropped`: its endpoint was disabled or removed, or the gateway lost its Redis.
 *
 * All but `pending` are ends, and what has ended can be replayed.
 */
export const DELIVERY_STATUSES = ['pending', 'delivered', 'expired', 'parked', 'superseded', 'dropped'] as const
export type DeliveryStatus = (typeof DELIVERY_STATUSES)[number]

export const ENDED_STATUSES = [
  'delivered',
  'expired',
  'parked',
  'superseded',
  'dropped',
] as const satisfies readonly DeliveryStatus[]
export type EndedStatus = (typeof ENDED_STATUSES)[number]
export const isEnded = (status: DeliveryStatus): status is EndedStatus => status !== 'pending'

/** What never arrived, although it was of use; a `superseded` one was not. */
export const FAILED_STATUSES = ['expired', 'parked', 'dropped'] as const satisfies readonly EndedStatus[]

/** How many deliveries one request may replay. */
export const REPLAY_MAX = 10_000

/**
 * What came of an attempt, coarse on purpose: the receiver's owner sees it, and must not learn from it
 * what is open behind an address that is not theirs.
 */
export const ATTEMPT_OUTCOMES = [
  'delivered',
  'gone',
  'http_status',
  'redirect',
  'timeout',
  'dns_error',
  'connect_refused',
  'connection_lost',
  'tls_error',
  'blocked_address',
  'bad_response',
  'error',
] as const
export type AttemptOutcome = (typeof ATTEMPT_OUTCOMES)[number]

/** How long each part of an attempt took, in milliseconds; the first three are absent on a reused connection. */
export type AttemptTiming = {
  readonly dnsMs?: number
  readonly connectMs?: number
  readonly tlsMs?: number
  /** From the request's being sent to the status line. */
  readonly firstByteMs?: number
  readonly totalMs: number
}

/** One HTTP POST of a delivery. */
export type AttemptRecord = {
  /** From 1; over replays it goes on. */
  readonly number: number
  /** Milliseconds since the epoch. */
  readonly startedAt: number
  readonly target: 'primary' | 'failover'
  readonly outcome: AttemptOutcome
  readonly status?: number
  readonly timing: AttemptTiming
  readonly remoteAddress?: string
  /** Whether it was sent over a connection that an earlier request had opened. */
  readonly reused?: boolean
  /** The first 4 kB of the answer, as text. */
  readonly response?: string
  readonly replay?: true
}

/** An event that at least one endpoint wants, as it is kept for replay. */
export type RecordedEvent = {
  readonly eventId: string
  readonly appId: AppId
  readonly type: string
  readonly orderKey: string
  readonly callId?: string
  readonly subscriberId?: string
  /** The call's `sequence_number`. */
  readonly sequence?: string
  /** When it happened, by the payload, or was taken from the log; milliseconds since the epoch. */
  readonly occurredAt: number
  /** The body exactly as it is sent. */
  readonly payload: string
}

/** One event for one endpoint. */
export type Delivery = {
  /** The `webhook-id` of its requests. */
  readonly deliveryId: string
  readonly appId: AppId
  readonly endpointId: EndpointId
  readonly eventId: string
  readonly type: string
  readonly class: DeliveryClass
  readonly orderKey: string
  readonly callId?: string
  readonly subscriberId?: string
  readonly sequence?: string
  readonly occurredAt: number
  /** When the gateway took it for this endpoint. */
  readonly createdAt: number
  readonly expiresAt: number
  readonly status: DeliveryStatus
  readonly attempts: number
  /** Of its last attempt. */
  readonly lastOutcome?: AttemptOutcome
  readonly lastStatus?: number
  readonly lastAttemptAt?: number
  /** While it is pending and was attempted: when it will be tried again. */
  readonly nextAttemptAt?: number
  readonly endedAt?: number
  /** How often it was replayed. */
  readonly replays: number
}

/**
 * Something that became of a delivery, as the delivery engine reports it, in order. `factId` is unique and
 * the same whenever the fact is reported again, because its writer crashed or because the command that made
 * it true was sent twice over a connection that broke: writing a fact twice changes nothing.
 */
export type DeliveryFact =
  | {
      readonly kind: 'taken'
      readonly factId: string
      readonly at: number
      readonly event: RecordedEvent
      readonly endpoints: readonly {
        readonly endpointId: EndpointId
        readonly deliveryId: string
        readonly class: DeliveryClass
        readonly expiresAt: number
      }[]
    }
  | {
      readonly kind: 'attempted'
      readonly factId: string
      readonly deliveryId: string
      readonly attempt: AttemptRecord
      /** When it will be tried again; absent after the last attempt. */
      readonly nextAttemptAt?: number
    }
  | {
      readonly kind: 'ended'
      readonly factId: string
      readonly deliveryId: string
      readonly class: DeliveryClass
      readonly at: number
      readonly status: EndedStatus
    }
  | {
      readonly kind: 'replayed'
      readonly factId: string
      readonly deliveryId: string
      readonly at: number
      readonly expiresAt: number
    }

/** Which deliveries; whatever is undefined restricts nothing. Times are of `createdAt`. */
export type DeliveryFilter = {
  readonly appId?: AppId
  readonly endpointId?: EndpointId
  readonly callId?: string
  /** Exact or by prefix, as in {@link EndpointFilter}. */
  readonly type?: string
  readonly statuses?: readonly DeliveryStatus[]
  readonly outcome?: AttemptOutcome
  /** Only deliveries that were never attempted. */
  readonly neverAttempted?: boolean
  /** Inclusive. */
  readonly since?: number
  /** Exclusive. */
  readonly until?: number
}

/** Newest first; `cursor` is opaque and goes on where the page before ended. */
export type DeliveryPage = { readonly deliveries: readonly Delivery[]; readonly cursor?: string }

/** A delivery with what it takes to send it again. */
export type ReplayableDelivery = {
  readonly delivery: Pick<Delivery, 'deliveryId' | 'endpointId' | 'attempts' | 'class' | 'createdAt'>
  readonly event: RecordedEvent
}

/** What has become of deliveries, for as long as they are retained. */
export interface DeliveryRecords {
  /** Writes facts in their order, all or nothing. Rejects with `store_unavailable`. */
  write(facts: readonly DeliveryFact[]): Promise<void>
  /** Rejects with `invalid_request` for a cursor that is not one. */
  list(filter: DeliveryFilter, page: { readonly limit: number; readonly cursor?: string }): Promise<DeliveryPage>
  find(
    appId: AppId,
    deliveryId: string,
  ): Promise<
    { readonly delivery: Delivery; readonly payload: string; readonly attempts: readonly AttemptRecord[] } | undefined
  >
  /** How many match, counting no further than `max`. */
  count(filter: DeliveryFilter, max: number): Promise<number>
  /** Those that match and have ended, oldest first. Rejects with `invalid_request` for a cursor that is not one. */
  replayable(
    filter: DeliveryFilter,
    page: { readonly limit: number; readonly cursor?: string },
  ): Promise<{ readonly deliveries: readonly ReplayableDelivery[]; readonly cursor?: string }>
  /**
   * Ends the pending deliveries that were created before `before`, because what was to become of them is lost:
   * they become `dropped`, and `delivered` should it turn out that they were. `onDropped` is told of each
   * part of them as it is done; rejects with `store_unavailable` when the rest could not be.
   */
  abandon(before: number, onDropped: (count: number) => void): Promise<void>
  /**
   * Removes up to `limit` of those that ended before `before` or, still pending, expired before it, with what
   * belongs to them; resolves with how many.
   */
  prune(before: number, limit: number): Promise<number>
}
