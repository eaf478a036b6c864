import { sql, type Selectable } from 'kysely'
import { GatewayError } from '../../core/errors.ts'
import { toMoney, type Money } from '../model/money.ts'
import type { ItemState, OrderAction, OrderState } from '../model/order.ts'
import type { ProvisioningDatabase, Queries } from './database.ts'
import { listRows, type ListFields, type ListRequest, type Page } from './listing.ts'
import type { ProvisioningSchema } from './schema.ts'

/** One number of an order. Times are in milliseconds since 1970. */
type OrderItem = {
  readonly itemId: string
  readonly number: string
  readonly state: ItemState
  /** The provider's own reference of the line. */
  readonly providerRef?: string
  /** When a ported number comes over, as the losing carrier confirmed it. */
  readonly focDate?: number
  readonly error?: { readonly code: string; readonly message: string }
  readonly updatedAt: number
}

/** A step on the way of an order, for those who wait for it. */
type Milestone = { readonly at: number; readonly number?: string; readonly text: string }

export type OrderHistoryEntry = Milestone & { readonly seq: number; readonly kind: 'state' | 'milestone' | 'note' }

/** An order without what it has one for each number of. */
export type OrderSummary = {
  readonly orderId: string
  readonly customerId: string
  readonly productId: string
  readonly face: string
  readonly action: OrderAction
  readonly state: OrderState
  /** Why it failed, was cancelled, or is held. */
  readonly outcomeReason?: string
  readonly partialAllowed: boolean
  readonly requestedDate?: number
  readonly externalId?: string
  /** The terms, without the losing carrier's PIN. */
  readonly parameters: Readonly<Record<string, unknown>>
  readonly metadata: Readonly<Record<string, string>>
  readonly quantityRequested: number
  /** Numbers for which it has been done. */
  readonly quantityFulfilled: number
  /** For all of its numbers; what is not delivered is not charged. */
  readonly oneTime: Money
  readonly monthly: Money
  readonly createdAt: number
  readonly updatedAt: number
  readonly completedAt?: number
  /** Grows with every change. */
  readonly version: number
}

export type Order = OrderSummary & {
  /** In the order of their numbers. */
  readonly items: readonly OrderItem[]
  readonly milestones: readonly Milestone[]
}

export const ORDER_FIELDS = {
  state: { column: 'state', kind: 'text', isSortable: true },
  action: { column: 'action', kind: 'text', isSortable: true },
  productId: { column: 'product_id', kind: 'text', isSortable: true },
  externalId: { column: 'external_id', kind: 'text' },
  createdAt: { column: 'created_at', kind: 'time', isSortable: true },
  updatedAt: { column: 'updated_at', kind: 'time', isSortable: true },
} as const satisfies ListFields

/** Orders, to be read. They are made by `Ordering` and moved on by `Fulfiller`. */
export class Orders {
  readonly #database: ProvisioningDatabase

  constructor(database: ProvisioningDatabase) {
    this.#database = database
  }

  /** Rejects with `order_not_found`, also for an order of another customer. */
  find(customerId: string, orderId: string): Promise<Order> {
    return this.#database.query((db) => findOrder(db, { customerId, orderId }))
  }

  /** One page, by id, so oldest first, unless another order is asked for. */
  async list(customerId: string, request: ListRequest): Promise<Page<OrderSummary>> {
    const source = {
      table: 'orders',
      idColumn: 'order_id',
      fields: ORDER_FIELDS,
      where: sql`customer_id = ${customerId}`,
    }
    const page = await this.#database.query((db) => listRows<OrderRow>(db, source, request))
    return { ...page, items: page.items.map(toSummary) }
  }

  /** Everything that happened to the order, oldest first. Rejects with `order_not_found`. */
  history(customerId: string, orderId: string): Promise<readonly OrderHistoryEntry[]> {
    return this.#database.query(async (db) => {
      await findRow(db, { customerId, orderId })
      return readHistory(db, orderId)
    })
  }
}

export type OrderRef = { readonly customerId: string; readonly orderId: string }

/** The order as it stands for `queries`. Rejects with `order_not_found`. */
export async function findOrder(queries: Queries, ref: OrderRef): Promise<Order> {
  const row = await findRow(queries, ref)
  const items = await queries
    .selectFrom('order_items')
    .selectAll()
    .where('order_id', '=', ref.orderId)
    .orderBy('e164')
    .execute()
  const milestones = await readHistory(queries, ref.orderId, 'milestone')
  return {
    ...toSummary(row),
    items: items.map(toItem),
    milestones: milestones.map(({ at, number, text }) => ({ at, ...(number !== undefined && { number }), text })),
  }
}

async function findRow(queries: Queries, { customerId, orderId }: OrderRef): Promise<OrderRow> {
  const row = await queries
    .selectFrom('orders')
    .selectAll()
    .where('order_id', '=', orderId)
    .where('customer_id', '=', customerId)
    .executeTakeFirst()
  if (row === undefined) throw new GatewayError('order_not_found')
  return row
}

async function readHistory(
  queries: Queries,
  orderId: string,
  kind?: OrderHistoryEntry['kind'],
): Promise<readonly OrderHistoryEntry[]> {
  let query = queries.selectFrom('order_history').selectAll().where('order_id', '=', orderId)
  if (kind !== undefined) query = query.where('kind', '=', kind)
  const rows = await query.orderBy('seq').execute()
  return rows.map((row) => ({
    seq: row.seq,
    at: row.at.getTime(),
    kind: row.kind,
    ...(row.e164 !== null && { number: row.e164 }),
    text: row.text,
  }))
}

type OrderRow = Selectable<ProvisioningSchema['orders']>

const toSummary = (row: OrderRow): OrderSummary => ({
  orderId: row.order_id,
  customerId: row.customer_id,
  productId: row.product_id,
  face: row.face,
  action: row.action,
  state: row.state,
  ...(row.outcome_reason !== null && { outcomeReason: row.outcome_reason }),
  partialAllowed: row.partial_allowed,
  ...(row.requested_date !== null && { requestedDate: row.requested_date.getTime() }),
  ...(row.external_id !== null && { externalId: row.external_id }),
  parameters: withoutPin(row.parameters),
  metadata: row.metadata,
  quantityRequested: row.quantity_requested,
  quantityFulfilled: row.quantity_fulfilled,
  oneTime: toMoney(row.one_time_price, row.currency),
  monthly: toMoney(row.monthly_price, row.currency),
  createdAt: row.created_at.getTime(),
  updatedAt: row.updated_at.getTime(),
  ...(row.completed_at !== null && { completedAt: row.completed_at.getTime() }),
  version: row.version,
})

/** The PIN opens an account at another carrier: it goes there and nowhere else. */
function withoutPin(parameters: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { losingCarrier } = parameters
  if (typeof losingCarrier !== 'object' || losingCarrier === null || !('pin' in losingCarrier)) return parameters
  const { pin: _, ...rest } = losingCarrier
  return { ...parameters, losingCarrier: rest }
}

const toItem = (row: Selectable<ProvisioningSchema['order_items']>): OrderItem => ({
  itemId: row.item_id,
  number: row.e164,
  state: row.state,
  ...(row.provider_ref !== null && { providerRef: row.provider_ref }),
  ...(row.foc_date !== null && { focDate: row.foc_date.getTime() }),
  ...(row.error_code !== null && { error: { code: row.error_code, message: row.error_message ?? '' } }),
  updatedAt: row.updated_at.getTime(),
})
