const BASIC = [
  'CallOriginatingEvent',
  'CallOriginatedEvent',
  'CallCollectingEvent',
  'CallReceivedEvent',
  'CallAnsweredEvent',
  'CallReleasingEvent',
  'CallReleasedEvent',
  'CallSubscriptionEvent',
  'CallSubscriptionResyncEvent',
  'HookStatusEvent',
] as const

/** Conference events by their wire names (XSD), which differ from the prose in capitals. */
export const CONFERENCE_EVENT_TYPES = [
  'ConferenceStartedEvent',
  'ConferenceHeldEvent',
  'ConferenceRetrievedEvent',
  'ConferenceReleasedEvent',
  'ConferenceUpdatedEvent',
  'ConferenceMutedEvent',
  'ConferenceUnmutedEvent',
  'ConferenceCallMutedEvent',
  'ConferenceCallUnMutedEvent',
  'ConferenceCallMadeDeafEvent',
  'ConferenceCallMadeUnDeafEvent',
] as const
export type ConferenceEventType = (typeof CONFERENCE_EVENT_TYPES)[number]

const STANDARD = [
  ...BASIC,
  'CallHeldEvent',
  'CallRetrievedEvent',
  'CallRecordingStartingEvent',
  'CallRecordingStartedEvent',
  'CallRecordingPausedEvent',
  'CallRecordingResumedEvent',
  'CallRecordingStoppedEvent',
  'CallTransferredEvent',
  'CallMonitoredEvent',
  'CallBargedInEvent',
  'CallParkRetrievedEvent',
  'CallPickedUpEvent',
  'CallForwardedEvent',
  'CallUpdatedEvent',
  ...CONFERENCE_EVENT_TYPES,
  'CallSecurityClassificationUpdatedEvent',
  'CallClientSessionInfoUpdatedEvent',
  'PlayMusicOnHoldFailureEvent',
] as const

/** Every event type of the call packages (XSI Interface Specification 2020.07, pp. 352–362, 380–413). */
export const CALL_EVENT_TYPES = [...STANDARD, 'CallRedirectedEvent', 'CallDetachedEvent'] as const
export type CallEventType = (typeof CALL_EVENT_TYPES)[number]

/** Event types about a user rather than a call. */
export const USER_EVENT_TYPES = [
  'AgentStateEvent',
  'AgentSubscriptionEvent',
  'CallParkedAgainstEvent',
  'VoiceMailMessageSummaryEvent',
  'DoNotDisturbEvent',
  'CallForwardingAlwaysEvent',
  'CallForwardingBusyEvent',
  'CallForwardingNoAnswerEvent',
  'CallWaitingEvent',
  'RemoteOfficeEvent',
] as const
export type UserEventType = (typeof USER_EVENT_TYPES)[number]

/** Every event type that can be in a subscription. */
export type EventType = CallEventType | UserEventType | 'SubscriptionTerminatedEvent' | 'CallHistoryEvent'

/**
 * Package names exactly as the XSD `EventPackage` has them, with the event types of each that the
 * simulator produces. A package with an empty list can be subscribed to and stays silent.
 */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  'Advanced Call': CALL_EVENT_TYPES,
  'Basic Call': BASIC,
  'BroadWorks Anywhere': [],
  'Call Center Agent': ['AgentStateEvent', 'AgentSubscriptionEvent'],
  'Call Center Agent Monitoring': [],
  'Call Center Configuration': [],
  'Call Center Monitoring': [],
  'Call Center Queue': [],
  'Call Forwarding Always': ['CallForwardingAlwaysEvent'],
  'Call Forwarding Always Secondary': [],
  'Call Forwarding Busy': ['CallForwardingBusyEvent'],
  'Call Forwarding No Answer': ['CallForwardingNoAnswerEvent'],
  'Call Park': ['CallParkedAgainstEvent'],
  'Call Recording': [],
  'Call Transfer': [],
  'Call Waiting': ['CallWaitingEvent'],
  'Collaborate Room': [],
  'CommPilot Express': [],
  'Do Not Disturb': ['DoNotDisturbEvent'],
  'Flexible Seating Guest': [],
  'Hoteling Guest': [],
  'Last Number Redial': [],
  'Meet Me Conference': [],
  'Music On Hold': [],
  'N-Way Call': [],
  'Personal Assistant': [],
  'Push Notification Registration': [],
  'Remote Office': ['RemoteOfficeEvent'],
  'Route Point Queue': [],
  'Security Classification': [],
  'Sequential Ring': [],
  'Silent Alerting': [],
  'Simultaneous Ring Personal': [],
  'Standard Call': STANDARD,
  'Third-Party Voice Mail Support': [],
  'Three-Way Call': [],
  'Voice Mail Message Summary': ['VoiceMailMessageSummaryEvent'],
  'Voice Messaging': [],
}

export const isEventPackage = (name: string): boolean => Object.hasOwn(PACKAGES, name)

/** Whether a subscription to this package is told of events of this type. */
export const packageHas = (name: string, type: EventType): boolean =>
  type === 'SubscriptionTerminatedEvent' || type === 'CallHistoryEvent' || (PACKAGES[name] ?? []).includes(type)

/** The event that a new or refreshed user subscription to this package starts with. */
export function snapshotTypeOf(name: string): EventType | undefined {
  if (/^(Basic|Standard|Advanced) Call$/.test(name)) return 'CallSubscriptionEvent'
  if (name === 'Call Center Agent') return 'AgentSubscriptionEvent'
  const [only] = PACKAGES[name] ?? []
  return USER_EVENT_TYPES.find((type) => type === only)
}
