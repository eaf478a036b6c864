import { hash } from 'node:crypto'
import type { DeliveryClass } from '../core/delivery-policy.ts'
import type { EndpointDelivery } from '../core/endpoint.ts'
import { GatewayError } from '../core/errors.ts'
import { toAppId } from '../core/ids.ts'
import type { AppId, EndpointId } from '../core/ids.ts'
import type { Position } from '../core/position.ts'

export type EndpointRef = { readonly appId: AppId; readonly endpointId: EndpointId }

/** The queue of one endpoint's events that must arrive in order: the unit of work and of wake-ups. */
export type Lane = EndpointRef & { readonly orderKey: string }

/** That a lane is to be worked on, now or at a time (milliseconds since the epoch). */
export type WakeUp = { readonly lane: Lane; readonly at?: number }

/** By what an endpoint's lanes are worked off. */
export type LaneRules = {
  /** Lanes worked on at a time, over all instances. */
  readonly slots: number
  readonly ratePerSecond?: number
  readonly orderHoldMs: number
  readonly coalesce: boolean
}

export const rulesOf = (endpoint: EndpointDelivery): LaneRules => ({
  slots: endpoint.maxInFlight,
  ...(endpoint.ratePerSecond !== undefined && { ratePerSecond: endpoint.ratePerSecond }),
  orderHoldMs: endpoint.orderHoldMs,
  coalesce: endpoint.coalesce,
})

/** What the engine itself needs to know of a payload; read from it once. */
export type EventAbout = {
  /** The call's `sequence_number`, for events that have one. */
  readonly sequence?: string
  readonly callId?: string
  readonly subscriberId?: string
  readonly direction?: string
  /** By the payload's `timestamp`, or when it was taken from the log. */
  readonly occurredAt: number
}

/** Reads what the engine wrote as JSON itself, once per event. Throws when it is something else: the store is not ours. */
export function parseAbout(json: string): EventAbout {
  const value: unknown = JSON.parse(json)
  if (!isAbout(value)) throw new GatewayError('store_unavailable')
  return value
}

const isAbout = (value: unknown): value is EventAbout =>
  typeof value === 'object' && value !== null && 'occurredAt' in value && typeof value.occurredAt === 'number'

/** An event of an app as it is kept until every endpoint has it. */
export type StoredEvent = {
  /** `<app id>:<epoch>-<offset>`, unique for ever. */
  readonly eventId: string
  readonly type: string
  readonly about: EventAbout
  /** The body exactly as it is sent. */
  readonly payload: string
}

/** An event's place in a lane; `token` is the text that stands there, by which it is named. */
export type PendingEvent = {
  readonly token: string
  readonly eventId: string
  readonly class: DeliveryClass
  /** When it was put into the lane, in milliseconds since the epoch. */
  readonly takenAt: number
  /** No attempt begins later. */
  readonly expiresAt: number
  /** Attempts that were made before it was put here: those before a replay. */
  readonly attemptsBefore: number
  readonly isReplay: boolean
  /** It held up its lane and goes on in one of its own, out of order. */
  readonly isParked: boolean
}

const CLASS_LETTERS = { act_now: 'a', state: 's', record: 'r' } as const
const CLASS_OF_LETTER: Readonly<Record<string, DeliveryClass>> = { a: 'act_now', s: 'state', r: 'record' }

/** `event id|class|taken at|expires at|label|attempts before|flags`; the scripts read the parts by place. */
export function formatToken(
  pending: Omit<PendingEvent, 'token' | 'isParked'> & { readonly sequence: string | undefined },
): string {
  const { eventId, takenAt, expiresAt, attemptsBefore, isReplay, sequence } = pending
  // What `callhalf-skipped` calls it: the sequence number, or its position for an event that has none.
  const label = sequence !== undefined && /^\d{1,15}$/.test(sequence) ? sequence : `"${positionOf(eventId)}"`
  const flags = isReplay ? 'r' : '-'
  return [eventId, CLASS_LETTERS[pending.class], takenAt, expiresAt, label, attemptsBefore, flags].join('|')
}

/** Undefined when it is none of the letters of a token. */
export const classOfLetter = (letter: string): DeliveryClass | undefined => CLASS_OF_LETTER[letter]

export function parseToken(token: string): PendingEvent {
  // From the right: nothing but the event id may hold a `|`.
  const [flags = '', attemptsBefore, , expiresAt, takenAt, letter = '', ...eventId] = token.split('|').toReversed()
  return {
    token,
    eventId: eventId.toReversed().join('|'),
    class: CLASS_OF_LETTER[letter] ?? 'record',
    takenAt: Number(takenAt),
    expiresAt: Number(expiresAt),
    attemptsBefore: Number(attemptsBefore),
    isReplay: flags.includes('r'),
    isParked: flags.includes('p'),
  }
}

export const eventIdOf = (appId: AppId, { epoch, offset }: Position): string => `${appId}:${epoch}-${offset}`

/** The app in whose log an event is. */
export const appIdOf = (eventId: string): AppId => toAppId(eventId.slice(0, Math.max(0, eventId.lastIndexOf(':'))))

/** `<epoch>:<offset>`: the place in the app's log that an event id names. */
export const positionOf = (eventId: string): string => eventId.slice(eventId.lastIndexOf(':') + 1).replace('-', ':')

/**
 * The `webhook-id` of an event at an endpoint: the same for every attempt, by any process, so that a
 * receiver can tell a repetition. Derived, so nothing has to be stored; without a `.`, which would make
 * the signed content ambiguous.
 */
export const messageIdOf = (endpointId: EndpointId, eventId: string): string =>
  `msg_${hash('sha256', `${endpointId} ${eventId}`, 'base64url').slice(0, 27)}`
