import { XSI_NAMESPACE } from './xml-element.ts'

/** What a channel is asked for (XSI Interface Specification 2020.07, p. 346; XSD `Channel`). */
export type ChannelRequest = {
  readonly channelSetId?: string
  readonly priority?: number
  readonly weight?: number
  /** At least 3600 is granted, whatever is asked; the answer says what was granted. */
  readonly expiresSeconds: number
  readonly applicationId?: string
}

/** What a subscription is asked for; a refresh has only `expiresSeconds` (XSD `Subscription`). */
export type SubscriptionRequest = {
  /** The event package (`Advanced Call`). */
  readonly event?: string
  readonly expiresSeconds: number
  readonly channelSetId?: string
  readonly applicationId?: string
}

export type EventResponse = {
  readonly eventId: string
  /** 200: done. 500: the next channel of the set gets it. */
  readonly statusCode: 200 | 500
  /** Mandatory in the XSD. */
  readonly reason: string
}

/** The body of a channel add, or of its refresh when only `expiresSeconds` is given. */
export const buildChannel = (channel: ChannelRequest): string =>
  build('Channel', [
    ['channelSetId', channel.channelSetId],
    ['priority', channel.priority],
    ['weight', channel.weight],
    ['expires', channel.expiresSeconds],
    ['applicationId', channel.applicationId],
  ])

/** The body of a subscription add or refresh. `expires` must stand before the contact. */
export const buildSubscription = (subscription: SubscriptionRequest): string =>
  build('Subscription', [
    ['event', subscription.event],
    ['expires', subscription.expiresSeconds],
    ['channelSetId', subscription.channelSetId],
    ['applicationId', subscription.applicationId],
  ])

/** The body of an acknowledgement (POST channel/eventresponse). */
export const buildEventResponse = (response: EventResponse): string =>
  build('EventResponse', [
    ['eventID', response.eventId],
    ['statusCode', response.statusCode],
    ['reason', response.reason],
  ])

/** Elements in the order given, which must be the XSD's: servers validate it. Undefined ones are left out. */
function build(root: string, elements: readonly (readonly [string, string | number | undefined])[]): string {
  let children = ''
  for (const [name, value] of elements) {
    if (value !== undefined) children += `<${name}>${typeof value === 'number' ? value : escape(value)}</${name}>`
  }
  return `<?xml version="1.0" encoding="UTF-8"?><${root} xmlns="${XSI_NAMESPACE}">${children}</${root}>`
}

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

/** For text. What XML forbids altogether cannot be in it: it comes from a document, or was checked as configuration. */
const escape = (text: string): string => text.replaceAll(/[&<>"]/g, (character) => ESCAPES[character] ?? character)
