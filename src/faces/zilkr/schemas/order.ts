import * as v from 'valibot'
import type { Quote } from '../../../provisioning/engine/ordering.ts'
import { MoneySchema } from '../../../provisioning/model/money.ts'
import { ITEM_STATES, ORDER_ACTIONS, ORDER_STATES } from '../../../provisioning/model/order.ts'
import type { Order, OrderSummary } from '../../../provisioning/store/orders.ts'
import { timestamp, toTimestamp } from './fields.ts'

const ItemSchema = v.object({
  number: v.string(),
  state: v.picklist(ITEM_STATES),
  providerRef: v.optional(v.string()),
  focDate: v.pipe(v.optional(timestamp), v.description('When a ported number comes over')),
  error: v.optional(v.object({ code: v.string(), message: v.string() })),
})
const summary = {
  id: v.string(),
  customerId: v.string(),
  productId: v.string(),
  action: v.picklist(ORDER_ACTIONS),
  state: v.pipe(v.picklist(ORDER_STATES), v.description('Follows from the states of the items')),
  outcomeReason: v.optional(v.string()),
  partialAllowed: v.boolean(),
  requestedDate: v.optional(timestamp),
  externalId: v.optional(v.string()),
  face: v.pipe(v.string(), v.description('Through which API it was ordered: zilkr, zipwhip, idi')),
  parameters: v.pipe(v.record(v.string(), v.unknown()), v.description('What was ordered')),
  metadata: v.record(v.string(), v.string()),
  quantityRequested: v.number(),
  quantityFulfilled: v.number(),
  oneTime: v.pipe(MoneySchema, v.description('For all numbers; what is not delivered is not charged')),
  monthly: MoneySchema,
  createdAt: timestamp,
  updatedAt: timestamp,
  completedAt: v.optional(timestamp),
  version: v.number(),
}
export const OrderSummarySchema = v.pipe(
  v.object(summary),
  v.metadata({ ref: 'OrderSummary', title: 'An order in a list' }),
)
export const OrderSchema = v.pipe(
  v.object({
    ...summary,
    items: v.array(ItemSchema),
    milestones: v.array(v.object({ at: timestamp, number: v.optional(v.string()), text: v.string() })),
  }),
  v.metadata({ ref: 'Order', title: 'An order' }),
)
export const QuoteSchema = v.pipe(
  v.object({
    dryRun: v.literal(true),
    quantityRequested: v.number(),
    numbers: v.pipe(v.array(v.string()), v.description('Those it would be about; they are not kept')),
    unitOneTime: MoneySchema,
    unitMonthly: MoneySchema,
    oneTime: MoneySchema,
    monthly: MoneySchema,
  }),
  v.metadata({ ref: 'OrderQuote', title: 'What an order would do and cost' }),
)

export function toOrderSummaryResource(summarised: OrderSummary) {
  const { orderId, requestedDate, completedAt, ...order } = summarised
  return {
    id: orderId,
    ...order,
    ...(requestedDate !== undefined && { requestedDate: toTimestamp(requestedDate) }),
    createdAt: toTimestamp(order.createdAt),
    updatedAt: toTimestamp(order.updatedAt),
    ...(completedAt !== undefined && { completedAt: toTimestamp(completedAt) }),
  }
}

export const toOrderResource = ({ items, milestones, ...order }: Order) => ({
  ...toOrderSummaryResource(order),
  items: items.map(({ number, state, providerRef, focDate, error }) => ({
    number,
    state,
    ...(providerRef !== undefined && { providerRef }),
    ...(focDate !== undefined && { focDate: toTimestamp(focDate) }),
    ...(error !== undefined && { error }),
  })),
  milestones: milestones.map(({ at, ...milestone }) => ({ at: toTimestamp(at), ...milestone })),
})

export const toQuoteResource = (quote: Quote) => ({ dryRun: true, ...quote })
