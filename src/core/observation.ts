import type { Call } from './call.ts'
import type { NetworkId, SubscriberId } from './ids.ts'
import type { UpstreamPosition } from './upstream-position.ts'

/**
 * What an adapter reports: something a network said about one subscriber's calls, in our words.
 * It is not yet a call event; `core/transition` decides what, if anything, it changes.
 */
export type Observation = {
  readonly networkId: NetworkId
  readonly subscriberId: SubscriberId
  /** Where the network said it; for a snapshot, the newest position that it includes. */
  readonly upstream: UpstreamPosition
  readonly body: ObservationBody
}

export type ObservationBody =
  /** Full notifications: each call replaces what was known of it. */
  | { readonly type: 'calls'; readonly change: CallChange; readonly calls: readonly Call[] }
  /** Everything the subscriber has: a call missing from it, and not newer than it, has ended. */
  | { readonly type: 'snapshot'; readonly calls: readonly Call[] }

/**
 * What kind of notification it was, where the call alone does not tell.
 *
 * - `answered`: the only kind that makes an answer (XSI says Active while digits are collected, too).
 * - `session`: transfer, pickup, barge-in, monitoring, park retrieve: `trackingId` changes and the call
 *   stays the same one.
 * - `state`: everything else.
 */
export type CallChange = 'answered' | 'session' | 'state'

/** Proof that the sender still holds the lease under which it received an observation. */
export type Fence = {
  /** The lease's name, unique within the network. */
  readonly lease: string
  /** Grows with each grant of the lease; the store refuses an older one. */
  readonly token: number
}

/**
 * What became of an observation: `dropped` when something newer was known, `unassigned` when no app has the
 * subscriber. Neither says anything against acknowledging it.
 */
export type DeliveryOutcome = 'changed' | 'noop' | 'dropped' | 'unassigned'

/** Where adapters hand in what they observed. Implemented by ingest, the only writer of call state. */
export interface ObservationSink {
  /**
   * Resolves once the observation is stored, or known to change nothing: only then may it be
   * acknowledged to the network. Rejects with `store_unavailable` or `fenced`: do not acknowledge.
   */
  deliver(observation: Observation, fence: Fence): Promise<DeliveryOutcome>
  /**
   * Says that what is known of these subscribers' calls is unconfirmed until their next snapshot.
   * Nothing is released by this.
   */
  markStale(networkId: NetworkId, subscriberIds: readonly SubscriberId[]): Promise<void>
  /** The newest upstream position stored for a subscriber, the base for a snapshot read out of band. */
  newestUpstream(networkId: NetworkId, subscriberId: SubscriberId): Promise<UpstreamPosition | undefined>
}
