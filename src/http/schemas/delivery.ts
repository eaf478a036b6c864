import * as v from 'valibot'
import { DELIVERY_CLASSES } from '../../core/delivery-policy.ts'
import { ATTEMPT_OUTCOMES, DELIVERY_STATUSES } from '../../core/delivery-record.ts'
import type { AttemptRecord, AttemptTiming, Delivery, DeliveryPage } from '../../core/delivery-record.ts'
import { positionOf } from '../../webhooks/delivery.ts'
import { milliseconds } from './fields.ts'

const whole = v.pipe(v.number(), v.integer())
const duration = v.optional(v.pipe(v.number(), v.description('Milliseconds')))

const timingSchema = v.pipe(
  v.object({
    dns_ms: duration,
    connect_ms: duration,
    tls_ms: duration,
    first_byte_ms: v.pipe(duration, v.description('From the request to the status line')),
    total_ms: v.pipe(v.number(), v.description('Milliseconds')),
  }),
  v.description('By part; the first three are absent on a connection that was open already'),
)

export const AttemptResourceSchema = v.pipe(
  v.object({
    number: v.pipe(whole, v.description('`callhalf-attempt`: from 1; goes on over replays')),
    started_at: milliseconds,
    target: v.pipe(v.picklist(['primary', 'failover']), v.description('`url` or `failover_url`')),
    outcome: v.picklist(ATTEMPT_OUTCOMES),
    status: v.optional(v.pipe(whole, v.description('HTTP status of the answer'))),
    timing: timingSchema,
    remote_address: v.optional(v.pipe(v.string(), v.description('Of an attempt that was connected'))),
    reused: v.optional(v.pipe(v.boolean(), v.description('Over a connection that was open already'))),
    response: v.optional(v.pipe(v.string(), v.description("The first 4 kB of the answer's body"))),
    replay: v.optional(v.literal(true)),
  }),
  v.metadata({ ref: 'Attempt', title: 'One HTTP request of a delivery' }),
)

const deliveryFields = {
  delivery_id: v.pipe(v.string(), v.description('The `webhook-id` of its requests')),
  app_id: v.string(),
  webhook_id: v.string(),
  event_type: v.string(),
  class: v.picklist(DELIVERY_CLASSES),
  call_id: v.optional(v.string()),
  subscriber_id: v.optional(v.string()),
  sequence_number: v.optional(v.string()),
  position: v.pipe(v.string(), v.description("`callhalf-position`: the event's place in the app's log")),
  occurred_at: milliseconds,
  created_at: v.pipe(milliseconds, v.description('When the event was taken for the webhook')),
  expires_at: milliseconds,
  status: v.picklist(DELIVERY_STATUSES),
  attempt_count: whole,
  last_outcome: v.optional(v.picklist(ATTEMPT_OUTCOMES)),
  last_status: v.optional(v.pipe(whole, v.description('HTTP status of the last answer'))),
  last_attempt_at: v.optional(milliseconds),
  next_attempt_at: v.optional(milliseconds),
  ended_at: v.optional(milliseconds),
  replay_count: whole,
}
const DeliveryResourceSchema = v.pipe(
  v.object(deliveryFields),
  v.metadata({ ref: 'Delivery', title: 'One event for one webhook' }),
)
export const DeliveryDetailSchema = v.pipe(
  v.object({
    ...deliveryFields,
    payload: v.pipe(v.record(v.string(), v.unknown()), v.description('The body of its requests')),
    attempts: v.array(AttemptResourceSchema),
  }),
  v.metadata({ ref: 'DeliveryDetail', title: 'A delivery with its payload and attempts' }),
)
export const DeliveryPageSchema = v.pipe(
  v.object({
    deliveries: v.array(DeliveryResourceSchema),
    cursor: v.optional(v.pipe(v.string(), v.description('Leads to the next page; absent on the last'))),
  }),
  v.metadata({ ref: 'DeliveryPage', title: 'A page of deliveries, newest first' }),
)

const toDeliveryResource = (delivery: Delivery): v.InferOutput<typeof DeliveryResourceSchema> => ({
  delivery_id: delivery.deliveryId,
  app_id: delivery.appId,
  webhook_id: delivery.endpointId,
  event_type: delivery.type,
  class: delivery.class,
  ...(delivery.callId !== undefined && { call_id: delivery.callId }),
  ...(delivery.subscriberId !== undefined && { subscriber_id: delivery.subscriberId }),
  ...(delivery.sequence !== undefined && { sequence_number: delivery.sequence }),
  position: positionOf(delivery.eventId),
  occurred_at: delivery.occurredAt,
  created_at: delivery.createdAt,
  expires_at: delivery.expiresAt,
  status: delivery.status,
  attempt_count: delivery.attempts,
  ...(delivery.lastOutcome !== undefined && { last_outcome: delivery.lastOutcome }),
  ...(delivery.lastStatus !== undefined && { last_status: delivery.lastStatus }),
  ...(delivery.lastAttemptAt !== undefined && { last_attempt_at: delivery.lastAttemptAt }),
  ...(delivery.nextAttemptAt !== undefined && { next_attempt_at: delivery.nextAttemptAt }),
  ...(delivery.endedAt !== undefined && { ended_at: delivery.endedAt }),
  replay_count: delivery.replays,
})

export const toAttemptResource = (attempt: AttemptRecord): v.InferOutput<typeof AttemptResourceSchema> => ({
  number: attempt.number,
  started_at: attempt.startedAt,
  target: attempt.target,
  outcome: attempt.outcome,
  ...(attempt.status !== undefined && { status: attempt.status }),
  timing: toTimingResource(attempt.timing),
  // Where a name led that nothing was connected to is not the app's to know: it would be a port scanner.
  ...(attempt.remoteAddress !== undefined && wasConnected(attempt) && { remote_address: attempt.remoteAddress }),
  ...(attempt.reused !== undefined && { reused: attempt.reused }),
  ...(attempt.response !== undefined && { response: attempt.response }),
  ...(attempt.replay !== undefined && { replay: attempt.replay }),
})

const wasConnected = ({ status, reused, timing }: AttemptRecord): boolean =>
  status !== undefined || reused === true || timing.connectMs !== undefined

const toTimingResource = (timing: AttemptTiming): v.InferOutput<typeof timingSchema> => ({
  ...(timing.dnsMs !== undefined && { dns_ms: timing.dnsMs }),
  ...(timing.connectMs !== undefined && { connect_ms: timing.connectMs }),
  ...(timing.tlsMs !== undefined && { tls_ms: timing.tlsMs }),
  ...(timing.firstByteMs !== undefined && { first_byte_ms: timing.firstByteMs }),
  total_ms: timing.totalMs,
})

export const toDeliveryPage = ({ deliveries, cursor }: DeliveryPage): v.InferOutput<typeof DeliveryPageSchema> => ({
  deliveries: deliveries.map(toDeliveryResource),
  ...(cursor !== undefined && { cursor }),
})

const PayloadSchema = v.pipe(v.string(), v.parseJson(), v.record(v.string(), v.unknown()))

export const toDeliveryDetail = (found: {
  readonly delivery: Delivery
  readonly payload: string
  readonly attempts: readonly AttemptRecord[]
}): v.InferOutput<typeof DeliveryDetailSchema> => ({
  ...toDeliveryResource(found.delivery),
  payload: v.parse(PayloadSchema, found.payload),
  attempts: found.attempts.map(toAttemptResource),
})
