import type { Selectable } from 'kysely'
import type { AttemptRecord, Delivery, DeliveryFact, RecordedEvent } from '../core/delivery-record.ts'
import type { DeliveryState } from './delivery-state.ts'
import { GatewayError } from '../core/errors.ts'
import { toDate, toText } from './pg-values.ts'
import type { Schema } from './schema.ts'

type Taken = Extract<DeliveryFact, { kind: 'taken' }>
type Attempted = Extract<DeliveryFact, { kind: 'attempted' }>

/** A row as it is sent to the database in JSON. */
type JsonRow<Table> = { readonly [Column in keyof Table]: JsonCell<Table[Column]> }
type JsonCell<Value> = Value extends Date ? string : Value

const CALL_ID_MAX = 256
const RESPONSE_MAX = 4_096

export const toEventRow = (
  event: RecordedEvent,
  deliveries: number,
): JsonRow<Selectable<Schema['webhook_events']>> => ({
  event_id: event.eventId,
  app_id: event.appId,
  type: toText(event.type),
  order_key: toText(event.orderKey),
  call_id: toTextOrNull(event.callId?.slice(0, CALL_ID_MAX)),
  subscriber_id: toTextOrNull(event.subscriberId),
  sequence: toTextOrNull(event.sequence),
  occurred_at: toTimestamp(event.occurredAt),
  deliveries,
  payload: toText(event.payload),
})

export const toDeliveryRow = (
  { event, at }: Taken,
  endpoint: Taken['endpoints'][number],
  { state, first }: { readonly state: DeliveryState; readonly first: Attempted | undefined },
): JsonRow<Selectable<Schema['deliveries']>> => ({
  ...toStateRow(endpoint.deliveryId, state),
  first_attempt: first === undefined ? null : formatFirstAttempt(first),
  app_id: event.appId,
  endpoint_id: endpoint.endpointId,
  event_id: event.eventId,
  call_id: toTextOrNull(event.callId?.slice(0, CALL_ID_MAX)),
  type: toText(event.type),
  class: endpoint.class,
  created_at: toTimestamp(at),
})

export const toStateRow = (deliveryId: string, state: DeliveryState) => ({
  delivery_id: deliveryId,
  status: state.status,
  attempts: state.attempts,
  replays: state.replays,
  expires_at: toTimestamp(state.expiresAt),
  ended_at: toTimestampOrNull(state.endedAt),
  next_attempt_at: toTimestampOrNull(state.nextAttemptAt),
  last_attempt_at: toTimestampOrNull(state.lastAttemptAt),
  last_outcome: state.lastOutcome ?? null,
  last_status: state.lastStatus ?? null,
  marks: state.marks.length === 0 ? null : state.marks,
})

export const toAttemptRow = ({ factId, deliveryId, attempt }: Attempted): JsonRow<Selectable<Schema['attempts']>> => ({
  delivery_id: deliveryId,
  fact_id: factId,
  number: attempt.number,
  started_at: toTimestamp(attempt.startedAt),
  target: attempt.target,
  outcome: attempt.outcome,
  status: attempt.status ?? null,
  dns_ms: attempt.timing.dnsMs ?? null,
  connect_ms: attempt.timing.connectMs ?? null,
  tls_ms: attempt.timing.tlsMs ?? null,
  first_byte_ms: attempt.timing.firstByteMs ?? null,
  total_ms: attempt.timing.totalMs,
  remote_address: toTextOrNull(attempt.remoteAddress),
  reused: attempt.reused ?? null,
  replay: attempt.replay === true,
  response: toTextOrNull(attempt.response?.slice(0, RESPONSE_MAX)),
})

/** An attempt as it stands in the row of its delivery, with the id of the fact that told of it. */
export type FirstAttempt = { readonly factId: string; readonly attempt: AttemptRecord }

function formatFirstAttempt({ factId, attempt }: Attempted): string {
  const { remoteAddress, response } = attempt
  const kept: AttemptRecord = {
    ...attempt,
    startedAt: toDate(attempt.startedAt).getTime(),
    ...(remoteAddress !== undefined && { remoteAddress: toText(remoteAddress) }),
    ...(response !== undefined && { response: toText(response.slice(0, RESPONSE_MAX)) }),
  }
  return JSON.stringify({ factId, attempt: kept } satisfies FirstAttempt)
}

/** Reads what {@link toDeliveryRow} wrote. */
export function parseFirstAttempt(text: string): FirstAttempt {
  const first: unknown = JSON.parse(text)
  if (!isFirstAttempt(first)) throw new GatewayError('internal', { detail: 'an attempt in the records is damaged' })
  return first
}

const isFirstAttempt = (value: unknown): value is FirstAttempt =>
  typeof value === 'object' &&
  value !== null &&
  'factId' in value &&
  'attempt' in value &&
  typeof value.attempt === 'object'

export const toState = (row: Pick<Selectable<Schema['deliveries']>, StateColumn>): DeliveryState => ({
  status: row.status,
  attempts: row.attempts,
  replays: row.replays,
  expiresAt: row.expires_at.getTime(),
  ...(row.ended_at !== null && { endedAt: row.ended_at.getTime() }),
  ...(row.next_attempt_at !== null && { nextAttemptAt: row.next_attempt_at.getTime() }),
  ...(row.last_attempt_at !== null && { lastAttemptAt: row.last_attempt_at.getTime() }),
  ...(row.last_outcome !== null && { lastOutcome: row.last_outcome }),
  ...(row.last_status !== null && { lastStatus: row.last_status }),
  marks: row.marks ?? [],
})
type StateColumn = Exclude<keyof ReturnType<typeof toStateRow>, 'delivery_id'>

/** A delivery with the columns of its event that it shows. */
export type DeliveryRow = Selectable<Schema['deliveries']> &
  Pick<Selectable<Schema['webhook_events']>, 'order_key' | 'subscriber_id' | 'sequence' | 'occurred_at'>

export function toDelivery(row: DeliveryRow): Delivery {
  const { marks: _marks, ...state } = toState(row)
  return {
    deliveryId: row.delivery_id,
    appId: row.app_id,
    endpointId: row.endpoint_id,
    eventId: row.event_id,
    type: row.type,
    class: row.class,
    orderKey: row.order_key,
    ...(row.call_id !== null && { callId: row.call_id }),
    ...(row.subscriber_id !== null && { subscriberId: row.subscriber_id }),
    ...(row.sequence !== null && { sequence: row.sequence }),
    occurredAt: row.occurred_at.getTime(),
    createdAt: row.created_at.getTime(),
    ...state,
  }
}

export const toEvent = (row: Selectable<Schema['webhook_events']>): RecordedEvent => ({
  eventId: row.event_id,
  appId: row.app_id,
  type: row.type,
  orderKey: row.order_key,
  ...(row.call_id !== null && { callId: row.call_id }),
  ...(row.subscriber_id !== null && { subscriberId: row.subscriber_id }),
  ...(row.sequence !== null && { sequence: row.sequence }),
  occurredAt: row.occurred_at.getTime(),
  payload: row.payload,
})

export const toAttempt = (row: Selectable<Schema['attempts']>): AttemptRecord => ({
  number: row.number,
  startedAt: row.started_at.getTime(),
  target: row.target,
  outcome: row.outcome,
  ...(row.status !== null && { status: row.status }),
  timing: {
    ...(row.dns_ms !== null && { dnsMs: row.dns_ms }),
    ...(row.connect_ms !== null && { connectMs: row.connect_ms }),
    ...(row.tls_ms !== null && { tlsMs: row.tls_ms }),
    ...(row.first_byte_ms !== null && { firstByteMs: row.first_byte_ms }),
    totalMs: row.total_ms,
  },
  ...(row.remote_address !== null && { remoteAddress: row.remote_address }),
  ...(row.reused !== null && { reused: row.reused }),
  ...(row.response !== null && { response: row.response }),
  ...(row.replay && { replay: true as const }),
})

/** A receiver's answer, or a network's, must not keep a batch from being written. */
const toTextOrNull = (text: string | undefined): string | null => (text === undefined ? null : toText(text))

/** What a payload calls its time is not ours, and may be no time at all. */
const toTimestamp = (ms: number): string => toDate(ms).toISOString()
const toTimestampOrNull = (ms: number | undefined): string | null => (ms === undefined ? null : toTimestamp(ms))
