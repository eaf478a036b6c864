import type { Call } from './call.ts'
import type { CallEventPayload } from './call-event.ts'

/** The part of an event's payload that the call alone decides. */
export type CallDescription = Pick<
  CallEventPayload,
  | 'remote_number'
  | 'remote_name'
  | 'call_id'
  | 'direction'
  | 'state'
  | 'tracking_id'
  | 'started_at'
  | 'answered_at'
  | 'released_at'
  | 'release_cause'
  | 'releasing_party'
  | 'redirect'
  | 'recording'
  | 'flags'
>

/** A call as apps see it. Two calls with equal descriptions are the same to every app. */
export function describeCall(call: Call): CallDescription {
  const flags = flagsOf(call)
  return {
    remote_number: call.remoteNumber,
    ...(call.remoteName === undefined ? {} : { remote_name: call.remoteName }),
    call_id: call.callId,
    direction: call.direction,
    state: call.state,
    tracking_id: call.trackingId,
    started_at: call.startedAt,
    ...(call.answeredAt === undefined ? {} : { answered_at: call.answeredAt }),
    ...(call.releasedAt === undefined ? {} : { released_at: call.releasedAt }),
    ...(call.releaseCause === undefined ? {} : { release_cause: call.releaseCause }),
    ...(call.releasingParty === undefined ? {} : { releasing_party: call.releasingParty }),
    ...(call.redirect === undefined ? {} : { redirect: redirectOf(call.redirect) }),
    ...(call.flags?.recording === undefined ? {} : { recording: call.flags.recording }),
    ...(flags.length === 0 ? {} : { flags }),
  }
}

/** Whether apps see no difference. */
export const looksSame = (a: Call, b: Call): boolean =>
  a.state === b.state && JSON.stringify(describeCall(a)) === JSON.stringify(describeCall(b))

const FLAGS = ['collecting', 'treatment', 'recall'] as const

const flagsOf = ({ flags }: Call) => (flags === undefined ? [] : FLAGS.filter((flag) => flags[flag] === true))

/** In a fixed order of fields, so that descriptions can be compared as text. */
const redirectOf = ({ number, reason }: NonNullable<Call['redirect']>) =>
  number === undefined ? { reason } : { number, reason }
