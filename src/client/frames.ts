/**
 * What goes over the wire, as docs/stream-protocol.md describes it. Written out here instead of taken from the
 * gateway's schemas, so that the built client has no dependency; frames.test.ts holds the two together.
 */

/** A place in the app's log; opaque. */
export type Position = { readonly epoch: string; readonly offset: number }

export type CallState =
  | 'initiating'
  | 'alerting'
  | 'ringing'
  | 'active'
  | 'held'
  | 'remote_held'
  | 'detached'
  | 'released'

/** What live calls have in common with their events. Times are milliseconds since 1970. */
export type LiveCall = {
  readonly subscriber_id: string
  readonly subscriber_number: string
  readonly subscriber_name?: string | undefined
  readonly remote_number: string
  readonly remote_name?: string | undefined
  readonly call_id: string
  readonly direction: 'incoming' | 'outgoing'
  readonly state: CallState
  /** That of the last event that this state includes; a number in decimal. */
  readonly sequence_number: string
  readonly network_id: string
  readonly tracking_id: string
  readonly started_at: number
  readonly answered_at?: number | undefined
  readonly recording?: 'pending' | 'started' | 'paused' | 'failed' | undefined
  readonly redirect?: { readonly number?: string | undefined; readonly reason: string } | undefined
}

/** A call in a snapshot: what `GET /apps/{app_id}/calls` lists. */
export type SnapshotCall = LiveCall & {
  readonly can_answer?: true | undefined
  readonly can_resume?: true | undefined
  readonly stale?: true | undefined
}

export type CallEventType = `call.${CallState}` | 'call.updated'

/** What an event says about a call: the webhook's payload. */
export type CallEvent = LiveCall & {
  readonly app_id: string
  readonly subscriber_account_id?: string | undefined
  readonly timestamp: number
  readonly event: CallEventType
  readonly previous_state?: CallState | undefined
  readonly released_at?: number | undefined
  readonly release_cause?: string | undefined
  readonly releasing_party?: 'local' | 'remote' | undefined
  readonly flags?: readonly ('collecting' | 'treatment' | 'recall')[] | undefined
  readonly synthetic?: true | undefined
}

/** That the app was given a subscriber. */
export type SubscriberEvent = SubscriberDeparture & {
  readonly subscriber_name?: string | undefined
  readonly subscriber_account_id?: string | undefined
}

/** That the app has lost a subscriber. */
export type SubscriberDeparture = {
  readonly app_id: string
  readonly subscriber_id: string
  readonly subscriber_number: string
  readonly network_id: string
}

export type OrderEventType =
  | 'order.acknowledged'
  | 'order.in_progress'
  | 'order.pending'
  | 'order.held'
  | 'order.completed'
  | 'order.partial'
  | 'order.failed'
  | 'order.cancelling'
  | 'order.cancelled'

export type OrderState =
  | 'acknowledged'
  | 'inProgress'
  | 'pending'
  | 'held'
  | 'completed'
  | 'partial'
  | 'failed'
  | 'rejected'
  | 'assessingCancellation'
  | 'pendingCancellation'
  | 'cancelled'

/** What became of an order of one of the app's customers. */
export type OrderEvent = {
  readonly app_id: string
  readonly customer_id: string
  readonly order_id: string
  readonly product_id: string
  readonly event: OrderEventType
  readonly action: 'any' | 'port' | 'reserve' | 'range' | 'add' | 'move' | 'change' | 'delete' | 'deleteAll'
  readonly state: OrderState
  readonly previous_state?: OrderState | undefined
  readonly reason?: string | undefined
  readonly external_id?: string | undefined
  readonly quantity_requested: number
  readonly quantity_fulfilled: number
  /** An exact decimal of an ISO 4217 currency. */
  readonly one_time: { readonly amount: string; readonly currency: string }
  readonly timestamp: number
}

export type NumberEventType = 'number.in_service' | 'number.released' | 'number.changed' | 'number.porting'

export type NumberState =
  | 'discovery'
  | 'available'
  | 'reserved'
  | 'in_service'
  | 'released'
  | 'aging'
  | 'port_in'
  | 'port_out'
  | 'removed'

/** What became of a number of one of the app's customers. */
export type NumberEvent = {
  readonly app_id: string
  readonly customer_id: string
  readonly number: string
  readonly product_id: string
  readonly order_id: string
  readonly service_id?: string | undefined
  readonly event: NumberEventType
  readonly state: NumberState
  readonly previous_state?: NumberState | undefined
  readonly timestamp: number
}

/** For which link of a provisioning request something is told, and whom its type names. */
type LinkedEnd = {
  readonly app_id: string
  readonly environment: string
  readonly link: { readonly link_type_id: number; readonly link_type: string; readonly link_value: string }
  readonly callback: {
    readonly callback_id: number
    readonly service: string
    readonly service_version: string
    readonly relative_path: string
  }
  readonly timestamp: number
}

/** A provisioning request of one of the app's environments has ended; one that is `In Error` may be run again. */
export type ProvisioningRequestEvent = LinkedEnd & {
  readonly event: 'provisioning_request.ended'
  readonly provisioning_request_id: number
  readonly provisioning_request_batch_id?: number | undefined
  readonly provisioned_object_code?: string | undefined
  readonly provisioned_object_internal_id?: string | undefined
  readonly status_id: number
  readonly status: 'Complete' | 'In Error' | 'Cancelled'
  readonly status_note?: string | undefined
}

/** A batch of provisioning requests has all its members, and all have ended. */
export type ProvisioningBatchEvent = LinkedEnd & {
  readonly event: 'provisioning_batch.ended'
  readonly provisioning_request_batch_id: number
  readonly total_object_count: number
}

/** Why events could not be recovered. */
export type GapReason = 'epoch_changed' | 'trimmed' | 'ahead_of_log'

/** What an app is told of; each part absent means everything. */
export type Filter = {
  readonly subscriber_ids?: readonly string[]
  /** Event types such as `call.ringing`, or prefixes: `call.*`. */
  readonly event_types?: readonly string[]
}

/** The body of an error (RFC 9457); `code` is the stable part. */
export type Problem = {
  readonly status: number
  readonly code: string
  readonly title?: string
  readonly detail?: string
  readonly [member: string]: unknown
}

/** A call to place: the body of `POST /apps/{app_id}/calls`. */
export type Dial = {
  readonly subscriber_id: string
  readonly subscriber_number: string
  readonly remote_number: string
  readonly subscriber_name?: string
  readonly remote_name?: string
}

/** The answer to a placed call. */
export type PlacedCall = {
  readonly subscriber_id: string
  readonly subscriber_number: string
  readonly remote_number: string
  readonly subscriber_name?: string | undefined
  readonly remote_name?: string | undefined
  readonly call_id: string
  readonly direction: 'incoming' | 'outgoing'
}

export type EventFrame = { readonly type: 'event'; readonly position: Position } & (
  | { readonly event: CallEventType; readonly data: CallEvent }
  | { readonly event: 'subscriber.assigned'; readonly data: SubscriberEvent }
  | { readonly event: 'subscriber.unassigned'; readonly data: SubscriberDeparture }
  | { readonly event: OrderEventType; readonly data: OrderEvent }
  | { readonly event: NumberEventType; readonly data: NumberEvent }
  | { readonly event: 'provisioning_request.ended'; readonly data: ProvisioningRequestEvent }
  | { readonly event: 'provisioning_batch.ended'; readonly data: ProvisioningBatchEvent }
)

export type ServerFrame =
  | { readonly type: 'subscribed'; readonly recovered: true; readonly position: Position }
  | {
      readonly type: 'subscribed'
      readonly recovered: false
      readonly reason?: GapReason
      readonly position: Position
      readonly snapshot: readonly SnapshotCall[]
    }
  | EventFrame
  | { readonly type: 'gap'; readonly reason: GapReason }
  | { readonly type: 'snapshot'; readonly position: Position; readonly snapshot: readonly SnapshotCall[] }
  | {
      readonly type: 'filtered'
      readonly request_id?: string
      readonly position: Position
      readonly snapshot: readonly SnapshotCall[]
    }
  | { readonly type: 'coalesced'; readonly dropped: number }
  | { readonly type: 'ping'; readonly position?: Position }
  | ReplyFrame

export type ReplyFrame = {
  readonly type: 'reply'
  readonly request_id: string
  readonly status: number
  readonly body?: unknown
  readonly problem?: Problem
  readonly idempotent_replayed?: true
  readonly retry_after_ms?: number
}

export type ClientFrame =
  | { readonly op: 'subscribe'; readonly after: Position | null; readonly filter?: Filter }
  | { readonly op: 'filter'; readonly filter: Filter | null; readonly request_id: string }
  | { readonly op: 'answer' | 'hold' | 'resume' | 'end'; readonly call_id: string; readonly request_id: string }
  | ({ readonly op: 'dial'; readonly request_id: string; readonly idempotency_key: string } & Dial)

/** The subprotocol, and the prefix of the one that carries the token. */
export const SUBPROTOCOL = 'callhalf.v1'
export const TOKEN_SUBPROTOCOL_PREFIX = 'callhalf.token.'

/** The gateway closes with 1009 after a larger message. */
const MESSAGE_BYTES_MAX = 64 * 1024

/** Throws a RangeError for what must not be sent: it would end the stream. */
export function checkSize(message: object): void {
  const bytes = new TextEncoder().encode(JSON.stringify(message)).length
  // Room for the request id.
  if (bytes > MESSAGE_BYTES_MAX - 256) throw new RangeError(`a message of ${bytes} bytes is too large`)
}

/** What the reply to a `dial` has for a body. */
export const isPlacedCall = (body: unknown): body is PlacedCall =>
  typeof body === 'object' && body !== null && 'call_id' in body && typeof body.call_id === 'string'

const TYPES: ReadonlySet<unknown> = new Set<ServerFrame['type']>([
  'subscribed',
  'event',
  'gap',
  'snapshot',
  'filtered',
  'coalesced',
  'ping',
  'reply',
])

/**
 * A message of the gateway; undefined for a type that this client does not know, which is to be ignored.
 * Throws for what is no frame at all: something between here and the gateway speaks. What is in a frame of a
 * known type is taken as it is, since the gateway makes it from the same schemas.
 */
export function parseFrame(text: string): ServerFrame | undefined {
  const frame: unknown = JSON.parse(text)
  if (typeof frame !== 'object' || frame === null || !('type' in frame)) throw new TypeError('not a frame')
  return isKnown(frame) ? frame : undefined
}

const isKnown = (frame: { readonly type: unknown }): frame is ServerFrame => TYPES.has(frame.type)

/** Whether an event is about a call. */
export const isCallEvent = (frame: EventFrame): frame is EventFrame & { readonly data: CallEvent } =>
  frame.event.startsWith('call.')
