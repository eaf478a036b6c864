import * as v from 'valibot'
import { E164 } from './e164.ts'

/**
 * What an order asks for. `any`, `reserve`, `range` and `port` bring numbers into service; `add` puts a
 * service on a number that the caller names and need not have from us (text enablement); `move`, `change` and
 * `delete` are about services that the customer has; `deleteAll` is a `delete` of all of them.
 */
export const ORDER_ACTIONS = [
  'any',
  'port',
  'reserve',
  'range',
  'add',
  'move',
  'change',
  'delete',
  'deleteAll',
] as const
export type OrderAction = (typeof ORDER_ACTIONS)[number]

/** Names of TM Forum's ordering APIs (TMF622, TMF641). */
export const ORDER_STATES = [
  'acknowledged',
  'inProgress',
  'pending',
  'held',
  'completed',
  'partial',
  'failed',
  'rejected',
  'assessingCancellation',
  'pendingCancellation',
  'cancelled',
] as const
export type OrderState = (typeof ORDER_STATES)[number]

/** The life of a number in the inventory; names as in Kazoo's number manager and Bandwidth's inventory. */
export const NUMBER_STATES = [
  'discovery',
  'available',
  'reserved',
  'in_service',
  'released',
  'aging',
  'port_in',
  'port_out',
  'removed',
] as const
export type NumberState = (typeof NUMBER_STATES)[number]

/** What an app is told when an order has come into a state. */
export const ORDER_EVENT_OF = {
  acknowledged: 'order.acknowledged',
  inProgress: 'order.in_progress',
  pending: 'order.pending',
  held: 'order.held',
  completed: 'order.completed',
  partial: 'order.partial',
  failed: 'order.failed',
  rejected: 'order.failed',
  assessingCancellation: 'order.cancelling',
  pendingCancellation: 'order.cancelling',
  cancelled: 'order.cancelled',
} as const satisfies Readonly<Record<OrderState, `order.${string}`>>
export type OrderEventType = (typeof ORDER_EVENT_OF)[OrderState]
export const ORDER_EVENT_TYPES: readonly OrderEventType[] = [...new Set(Object.values(ORDER_EVENT_OF))]

/**
 * `number.in_service`: a service on the number has begun; `number.changed`: it is otherwise than it was, or
 * elsewhere; `number.released`: it has ended; `number.porting`: the number is on its way to or from us.
 */
export const NUMBER_EVENT_TYPES = ['number.in_service', 'number.released', 'number.changed', 'number.porting'] as const
export type NumberEventType = (typeof NUMBER_EVENT_TYPES)[number]

const text = v.string()
const timestamp = v.pipe(v.number(), v.integer(), v.description('When it happened'))
const whole = v.pipe(v.number(), v.integer(), v.minValue(0))

/** What an app is told about an order of one of its customers. */
export const OrderEventPayloadSchema = v.pipe(
  v.object({
    app_id: text,
    customer_id: text,
    order_id: text,
    product_id: text,
    event: v.pipe(v.picklist(ORDER_EVENT_TYPES), v.description('What happened')),
    action: v.picklist(ORDER_ACTIONS),
    state: v.pipe(v.picklist(ORDER_STATES), v.description('As the order itself has it')),
    previous_state: v.pipe(v.optional(v.picklist(ORDER_STATES)), v.description('Absent on the first event')),
    reason: v.pipe(v.optional(text), v.description('Why it failed, was cancelled, or waits')),
    external_id: v.pipe(v.optional(text), v.description("The caller's own id of the order")),
    quantity_requested: whole,
    quantity_fulfilled: whole,
    one_time: v.pipe(
      v.object({
        amount: v.pipe(text, v.regex(/^\d+(?:\.\d+)?$/), v.description('An exact decimal')),
        currency: v.pipe(text, v.regex(/^[A-Z]{3}$/), v.description('ISO 4217')),
      }),
      v.description('What the order costs once; nothing is charged for what is not delivered'),
    ),
    timestamp,
  }),
  v.metadata({ ref: 'OrderEvent', title: 'An order has changed' }),
)
export type OrderEventPayload = v.InferOutput<typeof OrderEventPayloadSchema>

/** What an app is told about a number of one of its customers. */
export const NumberEventPayloadSchema = v.pipe(
  v.object({
    app_id: text,
    customer_id: text,
    number: v.pipe(text, v.regex(E164), v.description('E.164')),
    product_id: text,
    order_id: v.pipe(text, v.description('The order that it follows from')),
    service_id: v.pipe(v.optional(text), v.description('The service on the number; absent before there is one')),
    event: v.pipe(v.picklist(NUMBER_EVENT_TYPES), v.description('What happened')),
    state: v.picklist(NUMBER_STATES),
    previous_state: v.optional(v.picklist(NUMBER_STATES)),
    timestamp,
  }),
  v.metadata({ ref: 'NumberEvent', title: 'A number has changed' }),
)
export type NumberEventPayload = v.InferOutput<typeof NumberEventPayloadSchema>
