import { isLive, type Call } from './call.ts'
import type { CallId } from './ids.ts'
import type { CallRecord } from './subscriber-state.ts'
import { compareUpstream, type UpstreamPosition } from './upstream-position.ts'

/**
 * A reported call under the id by which apps know it. BroadWorks may give a click-to-dial call another id
 * when it rings out to the destination (XSD comment on `CallId`; the prose says it keeps it), while the
 * tracking id stays: it is the same call, and the app holds the id that placing it answered.
 */
export function underKnownId(calls: ReadonlyMap<CallId, CallRecord>, reported: Call): Call {
  if (calls.has(reported.callId) || reported.direction !== 'outgoing') return reported
  for (const { call: known } of calls.values()) {
    const isSameSession = known.trackingId !== '' && known.trackingId === reported.trackingId
    const wasRenamed = known.networkCallId === reported.callId && (isLive(known.state) || isSameSession)
    const isPickedUp = known.state === 'initiating' && reported.state !== 'initiating' && isSameSession
    if (wasRenamed || isPickedUp) return { ...reported, callId: known.callId, networkCallId: reported.callId }
  }
  return reported
}

/**
 * Whether a call that is said to be initiating has gone on under another id already: the report of its
 * beginning was overtaken.
 */
export function hasGoneOn(calls: ReadonlyMap<CallId, CallRecord>, reported: Call, upstream: UpstreamPosition): boolean {
  if (reported.state !== 'initiating' || reported.trackingId === '') return false
  return [...calls.values()].some(
    ({ call, upstream: known }) =>
      call.callId !== reported.callId &&
      call.direction === 'outgoing' &&
      call.trackingId === reported.trackingId &&
      compareUpstream(known, upstream) > 0,
  )
}
