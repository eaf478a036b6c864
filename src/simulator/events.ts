import { callElement, conferenceElement, partyElement } from './call-xml.ts'
import type { CallDialect } from './call-xml.ts'
import type { CallHalf } from './call-half.ts'
import type { EventType, UserEventType } from './event-types.ts'
import type { Conference, Notice } from './notice.ts'
import {
  SCHEMA_INSTANCE_NAMESPACE,
  XML_DECLARATION,
  XSI_NAMESPACE,
  element,
  escape,
  optional,
  serialisePrefixed,
} from './xml.ts'
import type { XmlElement } from './xml.ts'

/** The payload of a notice: the children of `eventData`, serialised, in the order of the XSD. */
export function renderNotice(notice: Notice, dialect: CallDialect): string {
  const { type } = notice
  if (type === 'HookStatusEvent') return render(element('hookStatus', notice.hookStatus ?? 'On-Hook'))
  if (type === 'CallParkedAgainstEvent') {
    return notice.parkedParty === undefined ? '' : render(partyElement('parkedParty', notice.parkedParty, dialect))
  }
  if (type === 'CallSubscriptionEvent' || type === 'CallSubscriptionResyncEvent') {
    return renderSnapshot(notice, dialect)
  }
  if (notice.conference !== undefined) return render(conferenceElement(notice.conference))
  if (type === 'CallRedirectedEvent') return render(element('calls', callElements(notice.halves, dialect)))
  const reason = type === 'CallRecordingStoppedEvent' ? (notice.recordingStopped ?? 'User Requested') : undefined
  return render(...callElements(notice.halves, dialect), optional('reason', reason))
}

/** The payload of CallSubscriptionEvent and CallSubscriptionResyncEvent. */
function renderSnapshot(
  state: {
    readonly halves: readonly CallHalf[]
    readonly conference?: Conference
    readonly hookStatus?: 'On-Hook' | 'Off-Hook'
  },
  dialect: CallDialect,
): string {
  return render(
    state.halves.length === 0 ? undefined : element('calls', callElements(state.halves, dialect)),
    state.conference === undefined ? undefined : conferenceElement(state.conference),
    element('hookStatus', state.hookStatus ?? 'On-Hook'),
  )
}

/** What a user event reports; fields that do not belong to its type are ignored. */
export type UserEventData = {
  readonly active?: boolean | undefined
  readonly number?: string | undefined
  readonly newMessages?: number | undefined
  readonly oldMessages?: number | undefined
  readonly agentState?: string | undefined
  readonly unavailableCode?: string | undefined
}

type Rendering = { readonly now: number; readonly plainTimestamps: boolean }

/** The payload of an event about a user. `plainTimestamps` is the form before R19. */
export const renderUserEvent = (type: UserEventType, data: UserEventData, options: Rendering): string =>
  render(...USER_EVENT_PAYLOADS[type](data, options))

const USER_EVENT_PAYLOADS: {
  readonly [type in UserEventType]: (data: UserEventData, options: Rendering) => readonly (XmlElement | undefined)[]
} = {
  AgentStateEvent: (data, options) => [element('agentStateInfo', agentState(data, options))],
  AgentSubscriptionEvent: (data, options) => [element('joinData'), element('stateInfo', agentState(data, options))],
  CallParkedAgainstEvent: () => [],
  VoiceMailMessageSummaryEvent: ({ newMessages, oldMessages }) => [
    element('messageSummary', [positive('newMessages', newMessages), positive('oldMessages', oldMessages)]),
  ],
  DoNotDisturbEvent: (data) => [element('info', [active(data), element('ringSplash', 'false')])],
  CallForwardingAlwaysEvent: (data) => [
    element('info', [active(data), forwardTo(data), element('ringSplash', 'false')]),
  ],
  CallForwardingBusyEvent: (data) => [element('info', [active(data), forwardTo(data)])],
  CallForwardingNoAnswerEvent: (data) => [
    element('info', [active(data), forwardTo(data), element('numberOfRings', 3)]),
  ],
  RemoteOfficeEvent: (data) => [element('info', [active(data), optional('remoteOfficeNumber', data.number)])],
  CallWaitingEvent: (data) => [element('info', [active(data)])],
}

const active = (data: UserEventData): XmlElement => element('active', String(data.active ?? false))
const forwardTo = (data: UserEventData): XmlElement | undefined =>
  data.number === undefined ? undefined : element('forwardToPhoneNumber', `tel:${data.number}`)

const agentState = (data: UserEventData, options: Rendering): XmlElement[] => {
  const timestamp = options.plainTimestamps
    ? element('stateTimestamp', options.now)
    : element('stateTimestamp', [element('value', options.now)])
  const code = optional('unavailableCode', data.unavailableCode)
  return [element('state', data.agentState ?? 'Available'), timestamp, ...(code === undefined ? [] : [code])]
}

/** Everything of an event but the channel that it is sent on, which is known only when it is sent. */
export type Envelope = {
  readonly eventId: string
  readonly sequenceNumber: number
  /** The owner of the subscription. */
  readonly userId: string
  readonly applicationId: string
  readonly subscriptionId: string
  /** The monitored user; undefined leaves it out. */
  readonly targetId: string | undefined
  readonly type: EventType
  /** The serialised children of `eventData`. */
  readonly eventData: string
  readonly extraElements: boolean
}

/**
 * A whole event document: declaration and root on one line, without a line feed
 * (XSD XSIBaseEvent `SubscriptionEvent`).
 */
export function eventDocument(event: Envelope, channelId: string, oldAttributeOrder: boolean): string {
  const target = event.targetId === undefined ? '' : tag('targetId', event.targetId)
  const data = event.eventData === '' ? '/>' : `>${event.eventData}</xsi:eventData>`
  return (
    rootStart('SubscriptionEvent', oldAttributeOrder) +
    tag('eventID', event.eventId) +
    tag('sequenceNumber', String(event.sequenceNumber)) +
    tag('userId', event.userId) +
    tag('externalApplicationId', event.applicationId) +
    tag('subscriptionId', event.subscriptionId) +
    tag('channelId', channelId) +
    target +
    (event.extraElements ? '<xsi:futureEventAttribute future="1">&#233;</xsi:futureEventAttribute>' : '') +
    `<xsi:eventData xsi1:type="xsi:${event.type}"${data}</xsi:Event>`
  )
}

/** The farewell of a channel. */
export const channelTerminatedDocument = (channelId: string, reason: string, oldAttributeOrder: boolean): string =>
  `${rootStart('ChannelTerminatedEvent', oldAttributeOrder)}${tag('channelId', channelId)}${tag('reason', reason)}</xsi:Event>`

/** The answer to foreign content on a channel's connection. */
export const errorEventDocument = (code: number, message: string, oldAttributeOrder: boolean): string =>
  `${rootStart('ErrorEvent', oldAttributeOrder)}${tag('errorCode', String(code))}${tag('errorMessage', message)}</xsi:Event>`

/** The echo of a heartbeat: 97 bytes. */
export const HEARTBEAT_DOCUMENT = `${XML_DECLARATION}<ChannelHeartBeat xmlns="${XSI_NAMESPACE}"/>`

function rootStart(type: string, oldAttributeOrder: boolean): string {
  const namespaces = `xmlns:xsi="${XSI_NAMESPACE}" xmlns:xsi1="${SCHEMA_INSTANCE_NAMESPACE}"`
  const typeAttribute = `xsi1:type="xsi:${type}"`
  const attributes = oldAttributeOrder ? `${typeAttribute} ${namespaces}` : `${namespaces} ${typeAttribute}`
  return `${XML_DECLARATION}<xsi:Event ${attributes}>`
}

const tag = (name: string, text: string): string => `<xsi:${name}>${escape(text)}</xsi:${name}>`
const positive = (name: string, count: number | undefined): XmlElement | undefined =>
  count === undefined || count === 0 ? undefined : element(name, count)
const callElements = (halves: readonly CallHalf[], dialect: CallDialect): XmlElement[] =>
  halves.map((half) => callElement(half, dialect))
const render = (...nodes: readonly (XmlElement | undefined)[]): string =>
  nodes.map((node) => (node === undefined ? '' : serialisePrefixed(node))).join('')
