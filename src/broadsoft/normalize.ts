import type { Call, CallFlags, CallState, Direction, RecordingState, ReleaseCause } from '../core/call.ts'
import type { CallChange, ObservationBody } from '../core/observation.ts'
import { numberOf } from './address.ts'
import type { XsiCall } from './call-element.ts'
import { readCall, withoutUndefined } from './call-element.ts'
import type { XmlElement } from './xml-element.ts'
import { childOf, childrenOf } from './xml-element.ts'
import type { XsiEvent } from './parse.ts'

/** What an XSI event means in our words. */
export type Normalized =
  | { readonly kind: 'observation'; readonly body: ObservationBody }
  | { readonly kind: 'subscription-terminated' }
  | { readonly kind: 'ignored'; readonly reason: IgnoredReason }

/** `no_call_state`: known, but not about a call's state. */
type IgnoredReason = 'no_call_state' | 'unknown_type' | 'malformed'

/** What the event's type says beyond its `<call>`. */
type CallRule = {
  readonly change: CallChange
  /** The state whatever the call says, unless it says Released. */
  readonly state?: CallState
  /** The state when the call's own is missing or not known. */
  readonly fallback?: CallState
  /** The call has been answered, even if no answerTime says so. */
  readonly isEstablished?: true
  readonly flags?: CallFlags
  /** The recording state when the call has none. */
  readonly recording?: RecordingState
  readonly direction?: Direction
}

type Meaning =
  | { readonly carries: 'call' | 'calls'; readonly rule: CallRule }
  | { readonly carries: 'snapshot' }
  | { readonly carries: 'nothing' }
  | { readonly carries: 'termination' }

const one = (rule: CallRule): Meaning => ({ carries: 'call', rule })
const state = (fallback?: CallState): Meaning =>
  one(fallback === undefined ? { change: 'state' } : { change: 'state', fallback })
/** The session changes under the call: another extTrackingId, sometimes another personality. */
const session: Meaning = one({ change: 'session', fallback: 'active', isEstablished: true })
const recording = (value?: RecordingState): Meaning =>
  one({
    change: 'state',
    fallback: 'active',
    isEstablished: true,
    ...(value === undefined ? {} : { recording: value }),
  })
const nothing: Meaning = { carries: 'nothing' }
const SNAPSHOT_RULE: CallRule = { change: 'state' }

/**
 * Every event of the packages Basic, Standard and Advanced Call, by its name on the wire
 * (XSI Interface Specification 2020.07, p. 352-362, 380-413).
 */
const MEANINGS: ReadonlyMap<string, Meaning> = new Map([
  ['CallOriginatingEvent', one({ change: 'state', fallback: 'initiating', direction: 'outgoing' })],
  ['CallOriginatedEvent', one({ change: 'state', fallback: 'alerting', direction: 'outgoing' })],
  // Says Active although nobody has answered: only digits are collected.
  [
    'CallCollectingEvent',
    one({ change: 'state', state: 'alerting', flags: { collecting: true }, direction: 'outgoing' }),
  ],
  ['CallReceivedEvent', one({ change: 'state', fallback: 'ringing', direction: 'incoming' })],
  ['CallAnsweredEvent', one({ change: 'answered', fallback: 'active', isEstablished: true })],
  ['CallHeldEvent', one({ change: 'state', fallback: 'held', isEstablished: true })],
  ['CallRetrievedEvent', one({ change: 'state', fallback: 'active', isEstablished: true })],
  ['CallUpdatedEvent', state()],
  ['CallForwardedEvent', state('alerting')],
  // The specification's consult transfer sample says Held in its first call; the network says Detached in all.
  ['CallRedirectedEvent', { carries: 'calls', rule: { change: 'state', state: 'detached' } }],
  ['CallDetachedEvent', one({ change: 'state', state: 'detached' })],
  // A tone or announcement plays: the call has not ended yet.
  ['CallReleasingEvent', one({ change: 'state', flags: { treatment: true } })],
  ['CallReleasedEvent', one({ change: 'state', state: 'released' })],
  ['CallTransferredEvent', session],
  // The call that another user picked up may still be ringing.
  ['CallPickedUpEvent', one({ change: 'session' })],
  ['CallBargedInEvent', session],
  ['CallMonitoredEvent', session],
  ['CallParkRetrievedEvent', session],
  ['CallRecordingStartingEvent', recording('pending')],
  ['CallRecordingStartedEvent', recording('started')],
  ['CallRecordingPausedEvent', recording('paused')],
  ['CallRecordingResumedEvent', recording('started')],
  ['CallRecordingStoppedEvent', recording()],
  ['CallSecurityClassificationUpdatedEvent', state()],
  ['CallClientSessionInfoUpdatedEvent', state()],
  ['PlayMusicOnHoldFailureEvent', state()],
  ['CallSubscriptionEvent', { carries: 'snapshot' }],
  // The network lost its state and says anew what there is.
  ['CallSubscriptionResyncEvent', { carries: 'snapshot' }],
  ['SubscriptionTerminatedEvent', { carries: 'termination' }],
  ['HookStatusEvent', nothing],
  ['ConferenceStartedEvent', nothing],
  ['ConferenceHeldEvent', nothing],
  ['ConferenceRetrievedEvent', nothing],
  ['ConferenceReleasedEvent', nothing],
  ['ConferenceUpdatedEvent', nothing],
  ['ConferenceMutedEvent', nothing],
  ['ConferenceUnmutedEvent', nothing],
  ['ConferenceCallMutedEvent', nothing],
  // The XSD writes UnMuted and UnDeaf, the specification's text Unmuted and Undeaf.
  ['ConferenceCallUnMutedEvent', nothing],
  ['ConferenceCallUnmutedEvent', nothing],
  ['ConferenceCallMadeDeafEvent', nothing],
  ['ConferenceCallMadeUnDeafEvent', nothing],
  ['ConferenceCallMadeUndeafEvent', nothing],
] satisfies [string, Meaning][])

/**
 * Says what an event means for the subscriber's calls. `receivedAt` (epoch ms) stands in for a time
 * that the event should have and lacks. Never throws: an event that is not understood is data, too.
 */
export function normalizeEvent(event: XsiEvent, receivedAt: number): Normalized {
  const meaning = MEANINGS.get(event.dataType)
  if (meaning === undefined) return ignored('unknown_type')
  if (meaning.carries === 'nothing') return ignored('no_call_state')
  if (meaning.carries === 'termination') return { kind: 'subscription-terminated' }
  if (event.data === undefined) return ignored('malformed')

  if (meaning.carries === 'snapshot' && !isUnambiguous(event.data)) return ignored('malformed')
  const parent = meaning.carries === 'call' ? event.data : childOf(event.data, 'calls')
  const rule = meaning.carries === 'snapshot' ? SNAPSHOT_RULE : meaning.rule
  const calls = readCalls(childrenOf(parent, 'call'), rule, receivedAt)
  if (calls === undefined) return ignored('malformed')
  if (meaning.carries === 'snapshot') return { kind: 'observation', body: { type: 'snapshot', calls } }
  if (calls.length === 0) return ignored('malformed')
  return { kind: 'observation', body: { type: 'calls', change: rule.change, calls } }
}

/** A call read from the network itself (call details), outside of any event. */
export const normalizeCall = (call: XsiCall, receivedAt: number): Call => toCall(call, SNAPSHOT_RULE, receivedAt)

const ignored = (reason: IgnoredReason): Normalized => ({ kind: 'ignored', reason })

/**
 * Whether a snapshot can be taken at its word. One without `calls` says that there are none; but what only
 * looks like a list of calls (another namespace or spelling, a second list, text in it) must not be read as
 * that: every call would be ended.
 */
function isUnambiguous(data: XmlElement): boolean {
  const lists = data.children.filter(({ name }) => name.toLowerCase() === 'calls')
  const [list] = lists
  if (list === undefined) return true
  const calls = list.children.filter(({ name }) => name.toLowerCase() === 'call')
  return (
    lists.length === 1 &&
    list === childOf(data, 'calls') &&
    list.text === '' &&
    calls.length === childrenOf(list, 'call').length
  )
}

/** Undefined when one of them cannot be identified: a snapshot without it would say that it has ended. */
function readCalls(elements: readonly XmlElement[], rule: CallRule, receivedAt: number): readonly Call[] | undefined {
  const calls: Call[] = []
  for (const element of elements) {
    const call = readCall(element)
    if (call === undefined) return undefined
    calls.push(toCall(call, rule, receivedAt))
  }
  return calls
}

function toCall(call: XsiCall, rule: CallRule, receivedAt: number): Call {
  const callState = stateOf(call, rule)
  const isReleased = callState === 'released'
  return withoutUndefined({
    callId: call.callId,
    state: callState,
    direction: directionOf(call, rule),
    remoteNumber: remoteNumberOf(call),
    remoteName: call.isPrivate ? undefined : call.remoteName,
    trackingId: call.trackingId,
    startedAt: call.startTime ?? receivedAt,
    answeredAt: call.answerTime ?? (rule.change === 'answered' ? receivedAt : undefined),
    heldAt: call.heldTime,
    detachedAt: call.detachedTime ?? (callState === 'detached' ? call.redirect?.time : undefined),
    releasedAt: isReleased ? (call.releaseTime ?? receivedAt) : undefined,
    releaseCause: releaseCauseOf(call, isReleased),
    releasingParty: RELEASING_PARTIES.get(call.releasingParty ?? ''),
    redirect: redirectOf(call),
    canAnswer: call.allowAnswer ? (true as const) : undefined,
    canResume: call.allowRetrieve ? (true as const) : undefined,
    flags: flagsOf(call, rule, callState),
  })
}

function stateOf(call: XsiCall, rule: CallRule): CallState {
  if (call.state === 'Released' || call.state === 'Idle') return 'released'
  if (rule.state !== undefined) return rule.state
  switch (call.state ?? '') {
    case 'Alerting':
      return alertingState(call, rule)
    case 'Active':
      return isUnanswered(call, rule) ? 'alerting' : 'active'
    case 'Held':
      return 'held'
    case 'Remote Held':
      return 'remote_held'
    case 'Detached':
      return 'detached'
    default:
      return rule.fallback ?? stateByTimes(call, rule)
  }
}

function alertingState(call: XsiCall, rule: CallRule): CallState {
  if (call.personality === 'Click-to-Dial') return 'initiating'
  return directionOf(call, rule) === 'incoming' ? 'ringing' : 'alerting'
}

/**
 * Active alone does not mean answered: the network says it of an outgoing call also while it collects
 * digits or plays a treatment. An answered call has an answerTime, for as long as it lives.
 */
const isUnanswered = (call: XsiCall, rule: CallRule): boolean =>
  rule.isEstablished !== true && call.answerTime === undefined && directionOf(call, rule) === 'outgoing'

/** For a state that is missing or new to us. */
function stateByTimes(call: XsiCall, rule: CallRule): CallState {
  if (call.releaseTime !== undefined) return 'released'
  if (call.detachedTime !== undefined) return 'detached'
  if (call.heldTime !== undefined) return 'held'
  return call.answerTime === undefined ? alertingState(call, rule) : 'active'
}

function directionOf(call: XsiCall, rule: CallRule): Direction {
  if (call.personality === 'Terminator') return 'incoming'
  if (call.personality === 'Originator' || call.personality === 'Click-to-Dial') return 'outgoing'
  return rule.direction ?? 'outgoing'
}

function remoteNumberOf(call: XsiCall): string {
  if (call.isPrivate) return ''
  const address = call.remoteAddress ?? call.remoteUserDn
  return address === undefined ? '' : numberOf(address)
}

function redirectOf({ redirect }: XsiCall): Call['redirect'] {
  if (redirect === undefined) return undefined
  return withoutUndefined({
    number: redirect.address === undefined ? undefined : numberOf(redirect.address),
    reason: redirect.reason ?? 'unknown',
  })
}

function flagsOf(call: XsiCall, rule: CallRule, callState: CallState): CallFlags | undefined {
  const isCollecting = callState === 'alerting' && call.state === 'Active' && rule.flags?.treatment !== true
  const recordingState = RECORDING_STATES.get(call.recordingState ?? '') ?? rule.recording
  const flags: CallFlags = {
    ...rule.flags,
    ...(isCollecting ? { collecting: true as const } : {}),
    ...(call.recallType === undefined ? {} : { recall: true as const }),
    ...(recordingState === undefined ? {} : { recording: recordingState }),
  }
  return callState === 'released' || Object.keys(flags).length === 0 ? undefined : flags
}

const RECORDING_STATES: ReadonlyMap<string, RecordingState> = new Map([
  ['Pending', 'pending'],
  ['Started', 'started'],
  ['Paused', 'paused'],
  ['Failed', 'failed'],
])

const RELEASING_PARTIES: ReadonlyMap<string, 'local' | 'remote'> = new Map([
  ['localRelease', 'local'],
  ['remoteRelease', 'remote'],
])

/** XSD `internalReleaseCause`. */
const RELEASE_CAUSES: ReadonlyMap<string, ReleaseCause> = new Map([
  ['Busy', 'busy'],
  ['Forbidden', 'forbidden'],
  ['Routing Failure', 'routing_failure'],
  ['Global Failure', 'global_failure'],
  ['Request Failure', 'request_failure'],
  ['Server Failure', 'server_failure'],
  ['Translation Failure', 'translation_failure'],
  ['Temporarily Unavailable', 'temporarily_unavailable'],
  ['User Not Found', 'user_not_found'],
  ['Request Timeout', 'request_timeout'],
  ['Dial Tone Timeout', 'dial_tone_timeout'],
  ['Insufficient Credits', 'insufficient_credits'],
])

/** A call that ended well has no cause, or only the normal clearing ones of Q.850 (16 and 31). */
function releaseCauseOf({ releaseCause }: XsiCall, isReleased: boolean): ReleaseCause | undefined {
  if (releaseCause === undefined) return isReleased ? 'normal' : undefined
  if (releaseCause.internal !== undefined) return RELEASE_CAUSES.get(releaseCause.internal) ?? 'unknown'
  if (releaseCause.q850 === 17) return 'busy'
  return releaseCause.q850 === undefined || releaseCause.q850 === 16 || releaseCause.q850 === 31 ? 'normal' : 'unknown'
}
