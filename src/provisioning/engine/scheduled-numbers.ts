import { sql } from 'kysely'
import { GatewayError } from '../../core/errors.ts'
import type { OrderAction } from '../model/order.ts'
import type { PlaceOrder } from '../model/order-terms.ts'
import type { Queries } from '../store/database.ts'

/** Numbers of the inventory that a customer may have on order for later, at no charge until then: one large order's. */
export const SCHEDULED_NUMBERS_MAX = 5_000
/** Those that take numbers out of the inventory. */
const TAKING: ReadonlySet<OrderAction> = new Set(['any', 'range', 'reserve'])

/** Whether an order keeps numbers from others before it is carried out. */
export const takesForLater = ({ terms, requestedDate }: Pick<PlaceOrder, 'terms' | 'requestedDate'>): boolean =>
  requestedDate !== undefined && TAKING.has(terms.action)

/**
 * Keeps a customer from having the inventory to itself by orders for later, which can be cancelled at no charge. The
 * caller has locked the customer, so that what it has on order is counted exactly. Rejects with `quantity_exceeded`.
 */
export async function refuseHoarding(tx: Queries, request: PlaceOrder, asked: number): Promise<void> {
  if (!takesForLater(request)) return
  const { rows } = await sql<{ scheduled: number }>`
    select coalesce(sum(quantity_requested), 0)::integer as scheduled from orders
    where customer_id = ${request.customerId} and completed_at is null and requested_date > now()
      and action = any(${[...TAKING]}::text[])`.execute(tx)
  if ((rows[0]?.scheduled ?? 0) + asked <= SCHEDULED_NUMBERS_MAX) return
  throw new GatewayError('quantity_exceeded', {
    detail: `A customer has at most ${SCHEDULED_NUMBERS_MAX} numbers on order for later.`,
    fields: { maximum: SCHEDULED_NUMBERS_MAX },
  })
}
