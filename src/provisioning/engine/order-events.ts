import { appendEvents, type OutboxEvent } from '../store/outbox.ts'
import type { Queries } from '../store/database.ts'
import { toMoney } from '../model/money.ts'
import type { NumberState } from '../model/number-state.ts'
import type { OrderState } from '../model/order.ts'
import { ORDER_EVENT_OF } from '../../core/provisioning-event.ts'
import type { NumberEventPayload, NumberEventType, OrderEventPayload } from '../../core/provisioning-event.ts'
import type { LockedOrder } from './locked-order.ts'

/** What happened to numbers of an order. */
export type NumberChange = {
  readonly number: string
  readonly serviceId?: string
  readonly event: NumberEventType
  readonly state: NumberState
  readonly previousState?: NumberState
}

/** Keeps what the customer's app is to be told of an order that has come into a state; it holds the new values. */
export async function tellOrder(
  tx: Queries,
  order: LockedOrder,
  change: { readonly previousState?: OrderState; readonly reason?: string },
): Promise<void> {
  if (order.app_id === null) return
  const payload: OrderEventPayload = {
    app_id: order.app_id,
    customer_id: order.customer_id,
    order_id: order.order_id,
    product_id: order.product_id,
    event: ORDER_EVENT_OF[order.state],
    action: order.action,
    state: order.state,
    ...(change.previousState !== undefined && { previous_state: change.previousState }),
    ...(change.reason !== undefined && { reason: change.reason }),
    ...(order.external_id !== null && { external_id: order.external_id }),
    quantity_requested: order.quantity_requested,
    quantity_fulfilled: order.quantity_fulfilled,
    one_time: toMoney(order.one_time_price, order.currency),
    timestamp: order.now.getTime(),
  }
  await appendEvents(tx, [
    {
      appId: order.app_id,
      type: payload.event,
      orderKey: `order:${order.order_id}`,
      payload: JSON.stringify(payload),
    },
  ])
}

/** Keeps what the customer's app is to be told of numbers, which the transaction has locked. */
export async function tellNumbers(tx: Queries, order: LockedOrder, changes: readonly NumberChange[]): Promise<void> {
  const appId = order.app_id
  if (appId === null) return
  for (let from = 0; from < changes.length; from += EVENTS_AT_ONCE) {
    await appendEvents(
      tx,
      changes.slice(from, from + EVENTS_AT_ONCE).map((change) => toNumberEvent(appId, order, change)),
    )
  }
}

const EVENTS_AT_ONCE = 1_000

function toNumberEvent(appId: string, order: LockedOrder, change: NumberChange): OutboxEvent {
  const payload: NumberEventPayload = {
    app_id: appId,
    customer_id: order.customer_id,
    number: change.number,
    product_id: order.product_id,
    order_id: order.order_id,
    ...(change.serviceId !== undefined && { service_id: change.serviceId }),
    event: change.event,
    state: change.state,
    ...(change.previousState !== undefined && { previous_state: change.previousState }),
    timestamp: order.now.getTime(),
  }
  return { appId, type: change.event, orderKey: `number:${change.number}`, payload: JSON.stringify(payload) }
}
