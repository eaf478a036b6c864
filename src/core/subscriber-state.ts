import { isLive, type Call } from './call.ts'
import type { CallId } from './ids.ts'
import type { UpstreamPosition } from './upstream-position.ts'

/** What is known of a subscriber apart from the calls. */
export type SubscriberHead = {
  /** The position that the last accepted snapshot covers: nothing reported up to it can change a call. */
  readonly snapshotUpstream?: UpstreamPosition
  /** The newest position stored, of an event or of a snapshot. */
  readonly newestUpstream?: UpstreamPosition
  /** The calls have not been confirmed by a snapshot since the last gap. */
  readonly stale: boolean
}

/** A call with what is needed to judge the next report about it. A released call's record is its tombstone. */
export type CallRecord = {
  readonly call: Call
  /** Where the network reported it last; what is not later than this is old news. */
  readonly upstream: UpstreamPosition
  /** Counts the calls that the network has given this id to, from 1. */
  readonly incarnation: number
  /** When its state last changed, by our clock, in milliseconds since the epoch. */
  readonly changedAt: number
  /** When the network last reported it or listed it in a snapshot, by our clock. */
  readonly confirmedAt: number
}

/** Everything stored about one subscriber's calls: the input and the output of {@link transition}. */
export type SubscriberState = {
  readonly head: SubscriberHead
  readonly calls: ReadonlyMap<CallId, CallRecord>
}

/** A subscriber that nothing is known about. */
export const EMPTY_STATE: SubscriberState = { head: { stale: false }, calls: new Map() }

/** How long a released call is remembered, so that late reports cannot bring it back to life. */
export const TOMBSTONE_TTL_MS = 24 * 3_600_000
/** Released calls remembered per subscriber; the oldest give way, covered by the next snapshot. */
const TOMBSTONES_MAX = 256

export const isLiveRecord = (record: CallRecord): boolean => isLive(record.call.state)

/** Ids of the calls that still exist. */
export function liveCallIds(state: SubscriberState): readonly CallId[] {
  const live: CallId[] = []
  for (const [callId, record] of state.calls) if (isLiveRecord(record)) live.push(callId)
  return live
}

/** Tombstones to forget: older than a day, or more than a subscriber may have. */
export function expiredTombstones(calls: ReadonlyMap<CallId, CallRecord>, now: number): readonly CallId[] {
  if (!hasExpired(calls, now)) return []
  const tombstones: { readonly callId: CallId; readonly changedAt: number }[] = []
  for (const [callId, record] of calls) {
    if (!isLiveRecord(record)) tombstones.push({ callId, changedAt: record.changedAt })
  }
  const expired = tombstones.filter(({ changedAt }) => changedAt < now - TOMBSTONE_TTL_MS)
  if (tombstones.length - expired.length <= TOMBSTONES_MAX) return expired.map(({ callId }) => callId)
  const oldestFirst = tombstones.toSorted((a, b) => a.changedAt - b.changedAt)
  return oldestFirst.slice(0, tombstones.length - TOMBSTONES_MAX).map(({ callId }) => callId)
}

/** Whether there is any: asked with every report, and nearly always answered no. */
function hasExpired(calls: ReadonlyMap<CallId, CallRecord>, now: number): boolean {
  let count = 0
  for (const record of calls.values()) {
    if (isLiveRecord(record)) continue
    count += 1
    if (record.changedAt < now - TOMBSTONE_TTL_MS) return true
  }
  return count > TOMBSTONES_MAX
}
