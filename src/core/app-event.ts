import * as v from 'valibot'
import {
  CALL_EVENT_TYPES,
  CallEventPayloadSchema,
  SUBSCRIBER_ASSIGNED,
  SUBSCRIBER_UNASSIGNED,
  SubscriberDeparturePayloadSchema,
  SubscriberEventPayloadSchema,
} from './call-event.ts'
import {
  NUMBER_EVENT_TYPES,
  NumberEventPayloadSchema,
  ORDER_EVENT_TYPES,
  OrderEventPayloadSchema,
} from './provisioning-event.ts'
import {
  BATCH_ENDED,
  BatchEventPayloadSchema,
  REQUEST_ENDED,
  RequestEventPayloadSchema,
} from './provisioning-request-event.ts'

/** Everything that an app may be told, by webhook, in a stream or on a long poll. */
export const EVENT_TYPES = [
  ...CALL_EVENT_TYPES,
  SUBSCRIBER_ASSIGNED,
  SUBSCRIBER_UNASSIGNED,
  ...ORDER_EVENT_TYPES,
  ...NUMBER_EVENT_TYPES,
  REQUEST_ENDED,
  BATCH_ENDED,
] as const

/** One pattern for each first part of a type: `call.*` … */
export const EVENT_PREFIXES: readonly string[] = [
  ...new Set(EVENT_TYPES.map((type) => `${type.slice(0, type.indexOf('.'))}.*`)),
]

/** What an event carries: which of these, its type says. */
export const EventPayloadSchema = v.union([
  CallEventPayloadSchema,
  SubscriberEventPayloadSchema,
  SubscriberDeparturePayloadSchema,
  OrderEventPayloadSchema,
  NumberEventPayloadSchema,
  RequestEventPayloadSchema,
  BatchEventPayloadSchema,
])
export type EventPayload = v.InferOutput<typeof EventPayloadSchema>
