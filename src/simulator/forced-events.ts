import * as v from 'valibot'
import type { Backend } from './backend.ts'
import type { CallHalf } from './call-half.ts'
import { CONFERENCE_EVENT_TYPES } from './event-types.ts'
import type { CallEventType, ConferenceEventType } from './event-types.ts'
import type { Conference } from './notice.ts'
import { toUri } from './parties.ts'

/** What a forced event may be given; everything is optional. */
export const ForcedEventSchema = v.strictObject({
  /** Destination of CallRedirectedEvent. */
  address: v.optional(v.pipe(v.string(), v.minLength(1)), '+15559990000'),
  reason: v.optional(
    v.picklist(['transfer', 'deflection', 'unconditional', 'user-busy', 'no-answer', 'voicemail']),
    'unconditional',
  ),
  security_classification: v.optional(v.pipe(v.string(), v.minLength(1)), 'Restricted'),
  info: v.optional(v.pipe(v.string(), v.minLength(1)), 'session-info'),
  hook_status: v.optional(v.picklist(['On-Hook', 'Off-Hook']), 'Off-Hook'),
  recording_stopped: v.optional(v.picklist(['User Requested', 'Failure']), 'User Requested'),
})
export type ForcedEvent = v.InferOutput<typeof ForcedEventSchema>

/**
 * Emits an event of any type of the call packages for a call, whether the call's life would bring it or
 * not. The call takes on the state that the event tells of, so that a later snapshot agrees with it.
 */
export function forceEvent(backend: Backend, half: CallHalf, forced: { type: CallEventType; with: ForcedEvent }): void {
  const { model, users, publisher } = backend
  const { type, with: data } = forced
  if (type === 'CallReleasedEvent') return model.release(half, 'remoteRelease')
  if (type === 'HookStatusEvent') {
    return model.announce({ userId: half.userId, type, halves: [], hookStatus: data.hook_status })
  }
  if (type === 'CallSubscriptionEvent' || type === 'CallSubscriptionResyncEvent') {
    return model.announce(publisher.stateNotice(users.require(half.userId), type))
  }
  const conferenceType = CONFERENCE_EVENT_TYPES.find((known) => known === type)
  if (conferenceType !== undefined) {
    return model.announce({ userId: half.userId, type, halves: [], conference: describe(half, conferenceType) })
  }
  Object.assign(half, SHAPES[type]?.(half, { backend, data }))
  if (type === 'CallRedirectedEvent') return model.announce({ userId: half.userId, type, halves: [half] })
  model.notify(type, half, type === 'CallRecordingStoppedEvent' ? { recordingStopped: data.recording_stopped } : {})
}

type Shaping = { readonly backend: Backend; readonly data: ForcedEvent }

/** Gives a call the state and attributes that an event of this type reports; other types leave it as it is. */
const SHAPES: { readonly [type in CallEventType]?: (half: CallHalf, by: Shaping) => Partial<CallHalf> } = {
  CallOriginatingEvent: () => ({ personality: 'Click-to-Dial', state: 'Alerting' }),
  CallOriginatedEvent: () => ({ personality: 'Originator', state: 'Alerting' }),
  CallForwardedEvent: () => ({ personality: 'Originator', state: 'Alerting' }),
  CallCollectingEvent: () => ({ personality: 'Originator', state: 'Active' }),
  CallReceivedEvent: () => ({ personality: 'Terminator', state: 'Alerting' }),
  CallAnsweredEvent: connected,
  CallRetrievedEvent: connected,
  CallTransferredEvent: connected,
  CallHeldEvent: (half, by) => ({ ...connected(half, by), state: 'Held', heldSince: by.backend.model.now() }),
  CallReleasingEvent: () => ({ state: 'Active', releaseCause: 'Busy' }),
  CallRedirectedEvent: (_half, { backend, data }) => {
    const time = backend.model.now()
    return {
      state: 'Detached',
      detachedTime: time,
      redirect: { address: toUri(data.address), reason: data.reason, time },
    }
  },
  CallDetachedEvent: (_half, { backend }) => ({ state: 'Detached', detachedTime: backend.model.now() }),
  CallPickedUpEvent: (_half, { backend }) => ({ state: 'Alerting', trackingId: backend.model.newTrackingId() }),
  CallBargedInEvent: joined,
  CallMonitoredEvent: joined,
  CallParkRetrievedEvent: joined,
  CallRecordingStartingEvent: () => ({ recording: 'Pending' }),
  CallRecordingStartedEvent: () => ({ recording: 'Started', wasRecorded: true }),
  CallRecordingResumedEvent: () => ({ recording: 'Started', wasRecorded: true }),
  CallRecordingPausedEvent: () => ({ recording: 'Paused' }),
  CallRecordingStoppedEvent: () => ({ recording: undefined }),
  CallSecurityClassificationUpdatedEvent: (_half, { data }) => ({
    securityClassification: data.security_classification,
  }),
  CallClientSessionInfoUpdatedEvent: (_half, { data }) => ({ clientSessionInfo: data.info }),
}

function connected(half: CallHalf, { backend }: Shaping): Partial<CallHalf> {
  return { state: 'Active', answerTime: half.answerTime ?? backend.model.now(), heldSince: undefined }
}

/** Somebody else came into the session, which has another tracking id for that. */
function joined(half: CallHalf, by: Shaping): Partial<CallHalf> {
  return { ...connected(half, by), trackingId: by.backend.model.newTrackingId() }
}

const describe = (half: CallHalf, type: ConferenceEventType): Conference => ({
  userId: half.userId,
  state: type === 'ConferenceReleasedEvent' ? 'Released' : type === 'ConferenceHeldEvent' ? 'Held' : 'Active',
  isMuted: type === 'ConferenceMutedEvent',
  participants: new Map(
    type === 'ConferenceReleasedEvent'
      ? []
      : [
          [
            half.callId,
            { isMuted: type === 'ConferenceCallMutedEvent', isDeaf: type === 'ConferenceCallMadeDeafEvent' },
          ],
        ],
  ),
})
