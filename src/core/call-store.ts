import type { CallId, AppRef, NetworkRef, SubscriberId } from './ids.ts'
import type { Fence } from './observation.ts'
import type { CallRecord, SubscriberHead, SubscriberState } from './subscriber-state.ts'

/** A subscriber's state and the token of the commit that stored it; undefined when nothing is stored. */
export type StoredSubscriber = {
  readonly version: string | undefined
  readonly state: SubscriberState
}

/** One call to write, in order; `record` undefined forgets the call and its sequence. */
export type CommitWrite = {
  readonly callId: CallId
  readonly record: CallRecord | undefined
  /** The id was given to another call: its sequence starts again at 1. */
  readonly restartsSequence: boolean
  /** Takes the call's next sequence number and tells the apps. */
  readonly entry?: CommitEntry
}

export type CommitEntry = {
  readonly type: string
  readonly orderKey: string
  /** For each app the payload without its `sequence_number`, which only the store knows. */
  readonly payloads: readonly { readonly app: AppRef; readonly payload: object }[]
}

export type Commit = {
  readonly network: NetworkRef
  readonly subscriberId: SubscriberId
  /** The version that `head` and `writes` were concluded from. */
  readonly expected: string | undefined
  /** The lease that the observation came under; undefined for what the gateway concludes itself. */
  readonly fence?: Fence
  readonly head: SubscriberHead
  readonly writes: readonly CommitWrite[]
  /** The calls that exist after the writes. */
  readonly live: readonly CallId[]
}

export type CommitResult =
  | { readonly kind: 'stored'; readonly version: string }
  /** Somebody else wrote first: conclude again from `current`. */
  | { readonly kind: 'conflict'; readonly current: StoredSubscriber }
  /** A newer grant of the lease exists: nothing was written. */
  | { readonly kind: 'fenced' }

/** A live call as the watchdog sees it. */
export type WatchedCall = {
  readonly subscriberId: SubscriberId
  readonly record: CallRecord
}

/**
 * Where call state is kept. All methods reject with `store_unavailable` when it cannot be reached in
 * time; a commit's outcome is unknown then, and delivering the observation again is harmless.
 */
export interface CallStore {
  read(network: NetworkRef, subscriberId: SubscriberId): Promise<StoredSubscriber>
  /** Writes everything or nothing. */
  commit(commit: Commit): Promise<CommitResult>
  /** Those of `subscriberIds` that have live calls. */
  withLiveCalls(network: NetworkRef, subscriberIds: readonly SubscriberId[]): Promise<readonly SubscriberId[]>
  /** Some of the network's live calls, and the cursor for the next ones; `0` starts and ends a scan. */
  scanLive(
    network: NetworkRef,
    cursor: string,
  ): Promise<{ readonly cursor: string; readonly calls: readonly WatchedCall[] }>
}
