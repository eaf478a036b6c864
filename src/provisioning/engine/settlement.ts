import type { InvoiceLine } from '../model/account.ts'
import { sql } from 'kysely'
import { newId } from '../model/ids.ts'
import { addAmounts, formatMoney, toMicros } from '../model/money.ts'
import { BEGINNING_ACTIONS } from '../model/order.ts'
import { appendAudit } from '../store/audit.ts'
import type { Queries } from '../store/database.ts'
import type { LockedOrder } from './locked-order.ts'

const DUE_DAYS = 30

/**
 * Charges what was delivered, in the transaction that makes the order final: the one-time price of each completed
 * item that began a service, and one invoice of exactly these charges. A repetition would violate the keys of
 * `ledger` and `invoices`. Ends are audited; what was kept for the losing carrier only is forgotten.
 */
export async function settle(tx: Queries, order: LockedOrder): Promise<void> {
  if (BEGINNING_ACTIONS.has(order.action)) await charge(tx, order)
  if (order.parameters.action === 'port') {
    await sql`update orders set parameters = parameters #- '{losingCarrier,pin}' where order_id = ${order.order_id}`.execute(
      tx,
    )
  }
  await appendAudit(tx, [
    {
      chain: order.customer_id,
      actor: 'engine',
      entity: 'order',
      entityId: order.order_id,
      action: order.state,
      after: {
        quantityFulfilled: order.quantity_fulfilled,
        ...(order.outcome_reason !== null && { reason: order.outcome_reason }),
      },
    },
  ])
}

async function charge(tx: Queries, order: LockedOrder): Promise<void> {
  const charged = await tx
    .insertInto('ledger')
    .columns(['customer_id', 'order_id', 'item_id', 'kind', 'amount', 'currency'])
    .expression((from) =>
      from
        .selectFrom('order_items')
        .select([
          'customer_id',
          'order_id',
          'item_id',
          sql<string>`'charge'`.as('kind'),
          'one_time_price',
          sql<string>`${order.currency}::text`.as('currency'),
        ])
        .where('order_id', '=', order.order_id)
        .where('state', '=', 'completed')
        .orderBy('e164'),
    )
    .returning('amount')
    .execute()
  if (charged.length === 0) return
  const total = formatMoney(addAmounts(charged.map(({ amount }) => amount)), order.currency).amount
  await tx
    .insertInto('invoices')
    .values({
      invoice_id: newId('invoice', order.now.getTime()),
      customer_id: order.customer_id,
      order_id: order.order_id,
      // What costs nothing is not owed.
      status: toMicros(total) === 0n ? 'paid' : 'open',
      currency: order.currency,
      lines: JSON.stringify(toLines(order, charged)),
      subtotal: total,
      tax: '0',
      total,
      due_at: sql<Date>`now() + make_interval(days => ${DUE_DAYS})`,
    })
    .execute()
}

/** Items of the same price together. */
function toLines(order: LockedOrder, charged: readonly { readonly amount: string }[]): readonly InvoiceLine[] {
  const quantities = new Map<string, number>()
  for (const { amount } of charged) quantities.set(amount, (quantities.get(amount) ?? 0) + 1)
  return [...quantities].map(([amount, quantity]) => ({
    orderId: order.order_id,
    description: order.product_name,
    quantity,
    unitAmount: formatMoney(toMicros(amount), order.currency).amount,
    amount: formatMoney(toMicros(amount) * BigInt(quantity), order.currency).amount,
  }))
}
