import { createHash } from 'node:crypto'
import type { AppId, EndpointId } from '../core/ids.ts'
import type { Position } from '../core/position.ts'

/** The queue of one endpoint's events that must arrive in order: the unit of work and of wake-ups. */
export type Lane = {
  readonly appId: AppId
  readonly endpointId: EndpointId
  readonly orderKey: string
}

/** An event of an app as it is kept until every endpoint has it. */
export type StoredEvent = {
  /** `<app id>:<epoch>-<offset>`, unique for ever. */
  readonly eventId: string
  readonly type: string
  /** When the dispatcher took it from the log, in milliseconds since the epoch. */
  readonly acceptedAt: number
  /** The call's `sequence_number`, for events that have one. */
  readonly sequence?: string
  /** The body exactly as it is sent. */
  readonly payload: string
}

export const eventIdOf = (appId: AppId, { epoch, offset }: Position): string => `${appId}:${epoch}-${offset}`

/** `<epoch>:<offset>`: the place in the app's log that an event id names. */
export const positionOf = (eventId: string): string => eventId.slice(eventId.lastIndexOf(':') + 1).replace('-', ':')

/**
 * The `webhook-id` of an event at an endpoint: the same for every attempt, by any process, so that a
 * receiver can tell a repetition. Derived, so nothing has to be stored; without a `.`, which would make
 * the signed content ambiguous.
 */
export const messageIdOf = (endpointId: EndpointId, eventId: string): string =>
  `msg_${createHash('sha256').update(`${endpointId} ${eventId}`).digest('base64url').slice(0, 27)}`
