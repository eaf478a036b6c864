import { sql, type Selectable } from 'kysely'
import { GatewayError } from '../../core/errors.ts'
import type { Queries } from '../store/database.ts'
import type { ProvisioningSchema } from '../store/schema.ts'

/** An order that nobody else can move on until the transaction ends, and what is often asked of it. */
export type LockedOrder = Selectable<ProvisioningSchema['orders']> & {
  readonly app_id: string | null
  readonly product_kind: string
  readonly product_name: string
  readonly provider: string
  /** The database's, at the beginning of the transaction. */
  readonly now: Date
}

/**
 * Locks an order. Whoever changes an order, its items or its fulfilments does this first, so that changes of one
 * order follow one another. Rejects with `order_not_found`.
 */
export async function lockOrder(tx: Queries, orderId: string): Promise<LockedOrder> {
  const order = await tx
    .selectFrom('orders')
    .innerJoin('customers', 'customers.customer_id', 'orders.customer_id')
    .innerJoin('products', 'products.product_id', 'orders.product_id')
    .selectAll('orders')
    .select([
      'customers.app_id',
      'products.kind as product_kind',
      'products.name as product_name',
      'products.provider',
      sql<Date>`now()`.as('now'),
    ])
    .where('orders.order_id', '=', orderId)
    .forUpdate('orders')
    .executeTakeFirst()
  if (order === undefined) throw new GatewayError('order_not_found')
  return order
}
