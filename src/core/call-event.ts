import * as v from 'valibot'
import { CALL_STATES, CallStateSchema, DirectionSchema, RecordingStateSchema, ReleaseCauseSchema } from './call.ts'

/** `call.<state>` when the state changed, `call.updated` when something else did. */
export const CALL_EVENT_TYPES = [...CALL_STATES.map((state) => `call.${state}` as const), 'call.updated'] as const
export type CallEventType = (typeof CALL_EVENT_TYPES)[number]

/** The event of an app being given a subscriber. */
export const SUBSCRIBER_ASSIGNED = 'subscriber.assigned'
/** The event of an app losing a subscriber: it sees no more of its calls. */
export const SUBSCRIBER_UNASSIGNED = 'subscriber.unassigned'

const text = v.string()
const milliseconds = v.pipe(v.number(), v.integer())

/**
 * The Calls Webhook payload: the fields of the calls API document with the document's types, then our
 * additions (each optional for a receiver). The same object is a stream event's `data`.
 */
export const CallEventPayloadSchema = v.pipe(
  v.object({
    app_id: text,
    subscriber_id: text,
    subscriber_number: text,
    subscriber_name: v.optional(text),
    subscriber_account_id: v.optional(text),
    remote_number: text,
    remote_name: v.optional(text),
    call_id: text,
    sequence_number: v.pipe(text, v.regex(/^[1-9]\d*$/), v.description('Dense per call, from "1"')),
    direction: DirectionSchema,
    state: CallStateSchema,
    timestamp: v.pipe(milliseconds, v.description('When the gateway stored the change')),
    event: v.pipe(v.picklist(CALL_EVENT_TYPES), v.description('What changed')),
    network_id: text,
    previous_state: v.pipe(v.optional(CallStateSchema), v.description('Absent on the first event of a call')),
    tracking_id: v.pipe(text, v.description('Common to the halves of one session')),
    started_at: milliseconds,
    answered_at: v.optional(milliseconds),
    released_at: v.optional(milliseconds),
    release_cause: v.optional(ReleaseCauseSchema),
    releasing_party: v.optional(v.picklist(['local', 'remote'])),
    redirect: v.optional(v.object({ number: v.optional(text), reason: text })),
    recording: v.optional(RecordingStateSchema),
    flags: v.optional(v.array(v.picklist(['collecting', 'treatment', 'recall']))),
    synthetic: v.pipe(
      v.optional(v.literal(true)),
      v.description('Concluded from a snapshot, not reported as it happened'),
    ),
  }),
  v.metadata({ ref: 'CallEvent', title: 'Calls Webhook payload' }),
)
export type CallEventPayload = v.InferOutput<typeof CallEventPayloadSchema>

/** The Subscriber Webhook payload of the calls API document. */
export const SubscriberEventPayloadSchema = v.pipe(
  v.object({
    app_id: text,
    subscriber_id: text,
    subscriber_number: text,
    subscriber_name: v.optional(text),
    subscriber_account_id: v.optional(text),
    network_id: text,
  }),
  v.metadata({ ref: 'SubscriberEvent', title: 'Subscriber Webhook payload' }),
)
export type SubscriberEventPayload = v.InferOutput<typeof SubscriberEventPayloadSchema>

/** What an app is told when it loses a subscriber; the subscriber as the app knew it. */
export const SubscriberDeparturePayloadSchema = v.pipe(
  v.object({
    app_id: text,
    subscriber_id: text,
    subscriber_number: text,
    network_id: text,
  }),
  v.metadata({ ref: 'SubscriberDeparture', title: 'The app has lost a subscriber' }),
)
export type SubscriberDeparturePayload = v.InferOutput<typeof SubscriberDeparturePayloadSchema>
