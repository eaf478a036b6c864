import * as v from 'valibot'
import { GatewayError } from '../core/errors.ts'
import type { CallId, SubscriberId } from '../core/ids.ts'
import { CallIdSchema, SubscriberIdSchema } from '../core/ids.ts'
import type { XsiCall } from './call-element.ts'
import { readCall, withoutUndefined } from './call-element.ts'
import { decodeXml } from './charset.ts'
import type { XmlBounds } from './document.ts'
import { parseXml } from './document.ts'
import { isPathSegment } from './paths.ts'
import type { XmlElement } from './xml-element.ts'
import { childOf, childrenOf, detachedTextOf, textOf, XSI_NAMESPACE } from './xml-element.ts'

/** A notification: the envelope of XSD `SubscriptionEvent` and its payload. */
export type XsiEvent = {
  /** The key of the acknowledgement, and of de-duplication: a redelivery has the same. */
  readonly eventId: string
  /** Per subscription, 1 to 2147483647, then 1 again. */
  readonly sequenceNumber: number
  /** The subscription's owner, not the monitored user. */
  readonly ownerId?: string
  /** The monitored user; the network leaves it out when it is the owner. */
  readonly targetId: SubscriberId
  readonly subscriptionId: string
  readonly channelId?: string
  readonly applicationId?: string
  /** The local name of the payload's type (`CallReceivedEvent`); `{namespace}name` for a foreign one. */
  readonly dataType: string
  readonly data: XmlElement | undefined
}

/** A subscription as the network reports it (XSD `Subscription`). */
export type XsiSubscription = {
  readonly subscriptionId: string
  readonly subscriberId?: string
  /** `User`, `Group`, `ServiceProvider`, `System`. */
  readonly targetIdType?: string
  readonly targetId?: string
  /** Names of event packages, usually one. */
  readonly packages: readonly string[]
  /** Seconds it still has, as granted. */
  readonly expiresSeconds?: number
  readonly channelSetId?: string
  readonly applicationId?: string
}

/** Every document that XSI sends on a channel or as an answer, and that matters here. */
export type XsiDocument =
  | { readonly type: 'channel'; readonly channelId: string; readonly expiresSeconds?: number }
  | { readonly type: 'heartbeat' }
  | { readonly type: 'event'; readonly event: XsiEvent }
  /** An event that cannot be used, but must be acknowledged all the same. */
  | {
      readonly type: 'malformed-event'
      readonly eventId: string
      readonly reason: string
      readonly subscriptionId?: string
      readonly targetId?: SubscriberId
    }
  | { readonly type: 'channel-terminated'; readonly channelId?: string; readonly reason?: string }
  | { readonly type: 'error-event'; readonly errorCode?: string; readonly errorMessage?: string }
  | { readonly type: 'error-info'; readonly errorCode?: string; readonly summary: string }
  | { readonly type: 'subscription'; readonly subscription: XsiSubscription }
  | { readonly type: 'subscription-list'; readonly subscriptions: readonly XsiSubscription[] }
  | { readonly type: 'calls'; readonly callIds: readonly CallId[] }
  | { readonly type: 'call'; readonly call: XsiCall }
  | { readonly type: 'call-start-info'; readonly callId: CallId; readonly trackingId: string }
  | { readonly type: 'unknown'; readonly root: string }

const IdSchema = v.pipe(v.string(), v.minLength(1), v.maxLength(256))
/** An id that is put into paths: with one that cannot be, a channel or a subscription is of no use. */
const PathIdSchema = v.pipe(IdSchema, v.check(isPathSegment))
const CountSchema = v.pipe(
  v.string(),
  v.regex(/^\d{1,10}$/),
  v.transform(Number),
  v.minValue(0),
  v.maxValue(2_147_483_647),
)
const SequenceSchema = v.pipe(CountSchema, v.minValue(1))

/**
 * Parses one XSI document. `charset` is the one that HTTP named, if any. An event that is broken in any
 * way but for its eventID comes back as `malformed-event`, so that it can be acknowledged and one odd
 * event never ends a channel. Throws `protocol_error` for anything else that is not well-formed XML or
 * lacks what its type needs.
 */
export function parseDocument(bytes: Uint8Array, charset?: string, bounds: Partial<XmlBounds> = {}): XsiDocument {
  let root: XmlElement
  try {
    root = parseXml(bytes, charset, bounds)
  } catch (error) {
    const eventId = salvageEventId(bytes, charset)
    if (eventId === undefined) throw error
    return { type: 'malformed-event', eventId, reason: 'the document is not well-formed XML' }
  }
  if (root.name === 'xcap-error') return readXcapError(root)
  if (root.namespace !== XSI_NAMESPACE && root.namespace !== '') return { type: 'unknown', root: root.name }
  return READERS.get(root.name)?.(root) ?? { type: 'unknown', root: root.name }
}

const READERS: ReadonlyMap<string, (root: XmlElement) => XsiDocument> = new Map([
  ['Channel', readChannelReply],
  // The specification prints both spellings (2020.07, p. 341 and 377).
  ['ChannelHeartBeat', () => ({ type: 'heartbeat' })],
  ['ChannelHeartbeat', () => ({ type: 'heartbeat' })],
  ['Event', readEvent],
  ['ErrorInfo', readErrorInfo],
  ['Subscription', (root) => ({ type: 'subscription', subscription: readSubscription(root) })],
  ['SubscriptionList', readSubscriptionList],
  ['Calls', readCalls],
  ['Call', readCallDetails],
  ['CallStartInfo', readCallStartInfo],
] satisfies [string, (root: XmlElement) => XsiDocument][])

function readEvent(root: XmlElement): XsiDocument {
  const rootType = localTypeName(root)
  if (rootType === 'ChannelTerminatedEvent') {
    return withoutUndefined({
      type: 'channel-terminated' as const,
      channelId: textOf(root, 'channelId'),
      reason: textOf(root, 'reason'),
    })
  }
  const eventId = optional(IdSchema, textOf(root, 'eventID'))
  if (rootType === 'ErrorEvent' && eventId === undefined) {
    return withoutUndefined({
      type: 'error-event' as const,
      errorCode: textOf(root, 'errorCode'),
      errorMessage: textOf(root, 'errorMessage')?.slice(0, 256),
    })
  }
  if (eventId === undefined) throw lacking('an event has no eventID')
  return readNotification(root, eventId)
}

function readNotification(root: XmlElement, eventId: string): XsiDocument {
  const ownerId = detachedTextOf(root, 'userId') ?? detachedTextOf(root, 'clientId')
  const sequenceNumber = optional(SequenceSchema, textOf(root, 'sequenceNumber'))
  // These two are kept for as long as the subscription lives, or longer.
  const subscriptionId = optional(IdSchema, detachedTextOf(root, 'subscriptionId'))
  const targetId = optional(SubscriberIdSchema, detachedTextOf(root, 'targetId') ?? ownerId)
  if (sequenceNumber === undefined || subscriptionId === undefined || targetId === undefined) {
    const reason =
      sequenceNumber === undefined
        ? 'the sequenceNumber is missing or invalid'
        : subscriptionId === undefined
          ? 'the subscriptionId is missing or invalid'
          : 'the targetId is missing or invalid'
    return withoutUndefined({ type: 'malformed-event' as const, eventId, reason, subscriptionId, targetId })
  }
  const data = childOf(root, 'eventData')
  const event: XsiEvent = {
    ...withoutUndefined({
      ownerId,
      channelId: textOf(root, 'channelId'),
      applicationId: textOf(root, 'externalApplicationId'),
    }),
    eventId,
    sequenceNumber,
    targetId,
    subscriptionId,
    dataType: (data === undefined ? undefined : localTypeName(data)) ?? '',
    data,
  }
  return { type: 'event', event }
}

/** The type's local name when it is XSI's, in full otherwise: a foreign type must not pass for ours. */
function localTypeName({ type }: XmlElement): string | undefined {
  if (type === undefined) return undefined
  return type.namespace === XSI_NAMESPACE || type.namespace === '' ? type.name : `{${type.namespace}}${type.name}`
}

function readChannelReply(root: XmlElement): XsiDocument {
  const channelId = optional(PathIdSchema, detachedTextOf(root, 'channelId'))
  if (channelId === undefined) throw lacking('a channel has no usable channelId')
  return withoutUndefined({
    type: 'channel' as const,
    channelId,
    expiresSeconds: optional(CountSchema, textOf(root, 'expires')),
  })
}

function readSubscription(element: XmlElement): XsiSubscription {
  // Kept for as long as the subscription lives.
  const subscriptionId = optional(PathIdSchema, detachedTextOf(element, 'subscriptionId'))
  if (subscriptionId === undefined) throw lacking('a subscription has no usable subscriptionId')
  const packages = [element, childOf(element, 'eventPackageList')].flatMap((parent) =>
    childrenOf(parent, 'event').map((event) => event.text),
  )
  return withoutUndefined({
    subscriptionId,
    subscriberId: textOf(element, 'subscriberId'),
    targetIdType: textOf(element, 'targetIdType'),
    targetId: textOf(element, 'targetId'),
    packages,
    expiresSeconds: optional(CountSchema, textOf(element, 'expires')),
    channelSetId: textOf(element, 'channelSetId'),
    applicationId: textOf(element, 'applicationId'),
  })
}

function readSubscriptionList(root: XmlElement): XsiDocument {
  return { type: 'subscription-list', subscriptions: childrenOf(root, 'subscription').map(readSubscription) }
}

function readCalls(root: XmlElement): XsiDocument {
  const callIds = childrenOf(root, 'call').map((call) => {
    const callId = optional(CallIdSchema, textOf(call, 'callId'))
    // Skipping it would make the call look ended.
    if (callId === undefined) throw lacking('a listed call has no callId')
    return callId
  })
  return { type: 'calls', callIds }
}

function readCallDetails(root: XmlElement): XsiDocument {
  const call = readCall(root)
  if (call === undefined) throw lacking('a call has no callId')
  return { type: 'call', call }
}

function readCallStartInfo(root: XmlElement): XsiDocument {
  const callId = optional(CallIdSchema, textOf(root, 'callId'))
  if (callId === undefined) throw lacking('a started call has no callId')
  // Spelled externalTrackingId here, extTrackingId in events.
  const trackingId = textOf(root, 'externalTrackingId') ?? textOf(root, 'extTrackingId') ?? ''
  return { type: 'call-start-info', callId, trackingId }
}

function readErrorInfo(root: XmlElement): XsiDocument {
  return withoutUndefined({
    type: 'error-info' as const,
    errorCode: textOf(root, 'errorCode')?.slice(0, 32),
    summary: (textOf(root, 'summaryEnglish') ?? textOf(root, 'summary') ?? '').slice(0, 256),
  })
}

/** RFC 4825 11.1: one child element names the condition, its `phrase` explains it. */
function readXcapError(root: XmlElement): XsiDocument {
  const condition = root.children[0]
  const summary = condition?.attributes.get('phrase') ?? condition?.name ?? 'xcap-error'
  return { type: 'error-info', summary: summary.slice(0, 256) }
}

/** The eventID of a document that is not XML, by sight: enough to acknowledge it. */
function salvageEventId(bytes: Uint8Array, charset: string | undefined): string | undefined {
  const text = decodeXml(bytes.subarray(0, 4096), charset)
  return /<(?:[\w.-]{1,64}:)?eventID>\s{0,64}([\w.:@-]{1,256})\s{0,64}</.exec(text)?.[1]
}

const optional = <Schema extends v.GenericSchema>(
  schema: Schema,
  value: unknown,
): v.InferOutput<Schema> | undefined => {
  const parsed = v.safeParse(schema, value)
  return parsed.success ? parsed.output : undefined
}

const lacking = (detail: string): GatewayError => new GatewayError('protocol_error', { detail })
