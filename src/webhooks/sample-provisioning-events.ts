import type { AppId } from '../core/ids.ts'
import { ORDER_EVENT_OF, ORDER_STATES } from '../core/provisioning-event.ts'
import type {
  NumberEventPayload,
  NumberEventType,
  OrderEventPayload,
  OrderEventType,
  OrderState,
} from '../core/provisioning-event.ts'
import {
  BATCH_ENDED,
  REQUEST_ENDED,
  type BatchEventPayload,
  type RequestEventPayload,
} from '../core/provisioning-request-event.ts'

export type ProvisioningSampleContext = { readonly appId: AppId; readonly name: string; readonly now: number }

const NUMBER = '+15555550100'
const QUANTITY = 2

/** How far an order of two numbers is when it comes into a state. */
const ORDERS: Readonly<
  Record<OrderEventType, Pick<OrderEventPayload, 'quantity_fulfilled'> & Partial<OrderEventPayload>>
> = {
  'order.acknowledged': { quantity_fulfilled: 0 },
  'order.in_progress': { quantity_fulfilled: 0, previous_state: 'acknowledged' },
  'order.pending': { quantity_fulfilled: 0, previous_state: 'inProgress', reason: 'waiting_for_losing_carrier' },
  'order.held': { quantity_fulfilled: 0, previous_state: 'inProgress', reason: 'provider_unavailable' },
  'order.completed': { quantity_fulfilled: QUANTITY, previous_state: 'inProgress' },
  'order.partial': { quantity_fulfilled: 1, previous_state: 'inProgress', reason: 'number_refused' },
  'order.failed': { quantity_fulfilled: 0, previous_state: 'inProgress', reason: 'number_refused' },
  'order.cancelled': { quantity_fulfilled: 0, previous_state: 'assessingCancellation', reason: 'requested' },
  'order.cancelling': { quantity_fulfilled: 0, previous_state: 'inProgress', reason: 'requested' },
}

/** A plausible payload of an order's event; everything in it says that it is a sample. */
export function createOrderSample(
  event: OrderEventType,
  { appId, name, now }: ProvisioningSampleContext,
): OrderEventPayload {
  return {
    app_id: appId,
    customer_id: `cus_sample-${name}`,
    order_id: `ord_sample-${name}`,
    product_id: 'prd_sample',
    event,
    action: event === 'order.pending' ? 'port' : 'any',
    state: stateOf(event),
    external_id: `sample-${name}`,
    quantity_requested: QUANTITY,
    one_time: { amount: '2.50', currency: 'USD' },
    timestamp: now,
    ...ORDERS[event],
  }
}

/** The first of the states that are told by the event. */
const stateOf = (event: OrderEventType): OrderState =>
  ORDER_STATES.find((state) => ORDER_EVENT_OF[state] === event) ?? 'acknowledged'

const NUMBERS: Readonly<Record<NumberEventType, Pick<NumberEventPayload, 'state' | 'previous_state'>>> = {
  'number.in_service': { state: 'in_service', previous_state: 'reserved' },
  'number.released': { state: 'aging', previous_state: 'in_service' },
  'number.changed': { state: 'in_service', previous_state: 'in_service' },
  'number.porting': { state: 'port_in' },
}

/** A plausible payload of a number's event. */
export function createNumberSample(
  event: NumberEventType,
  { appId, name, now }: ProvisioningSampleContext,
): NumberEventPayload {
  return {
    app_id: appId,
    customer_id: `cus_sample-${name}`,
    number: NUMBER,
    product_id: 'prd_sample',
    order_id: `ord_sample-${name}`,
    ...(event !== 'number.porting' && { service_id: `inv_sample-${name}` }),
    event,
    ...NUMBERS[event],
    timestamp: now,
  }
}

const BATCH = { provisioning_request_batch_id: 1, total_object_count: 1 }

/** A plausible payload of the end of a provisioning request. */
export function createRequestEndSample(context: ProvisioningSampleContext): RequestEventPayload {
  return {
    ...endOf(context),
    event: REQUEST_ENDED,
    provisioning_request_id: 1,
    provisioning_request_batch_id: BATCH.provisioning_request_batch_id,
    provisioned_object_code: 'SAMPLE',
    provisioned_object_internal_id: `sample-${context.name}`,
    status_id: 3,
    status: 'Complete',
  }
}

/** A plausible payload of the end of a batch. */
export const createBatchEndSample = (context: ProvisioningSampleContext): BatchEventPayload => ({
  ...endOf(context),
  event: BATCH_ENDED,
  ...BATCH,
})

const endOf = ({ appId, name, now }: ProvisioningSampleContext) => ({
  app_id: appId,
  environment: 'sample',
  link: { link_type_id: 1, link_type: 'Orders', link_value: `sample/${name}` },
  callback: { callback_id: 1, service: 'Sample', service_version: '1', relative_path: 'sample/ended' },
  timestamp: now,
})
