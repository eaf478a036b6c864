import { sql } from 'kysely'
import { expect } from 'vitest'
import type { ProvisioningDatabase } from '../../src/provisioning/store/database.ts'
import type { Order } from '../../src/provisioning/store/orders.ts'

const FINAL = ['completed', 'partial', 'failed', 'cancelled']

/**
 * Fails unless a final order and everything about it agree: items, services, numbers, the carrier's lines, charges,
 * the invoice and the events. `lines` are the numbers of which the carrier has a line; the order's own begin services.
 */
export async function checkBooks(
  database: ProvisioningDatabase,
  {
    order,
    lines,
    violations,
  }: { readonly order: Order; readonly lines: readonly string[]; readonly violations: readonly string[] },
): Promise<void> {
  expect(violations).toEqual([])
  const { orderId } = order
  const column = async (statement: ReturnType<typeof sql<{ value: string }>>) => {
    const { rows } = await database.query((db) => statement.execute(db))
    return rows.map((row) => row.value)
  }
  expect(FINAL).toContain(order.state)
  expect(order.completedAt).toBeTypeOf('number')
  const all = order.items.map((item) => item.number)
  const completed = order.items.filter((item) => item.state === 'completed').map((item) => item.number)
  expect(order.items.filter((item) => !FINAL.includes(item.state))).toEqual([])
  if (order.state === 'completed') expect(completed).toEqual(all)
  if (order.state === 'failed' || order.state === 'cancelled') expect(completed).toEqual([])
  if (!order.partialAllowed) expect(order.state).not.toBe('partial')
  expect(order.quantityFulfilled).toBe(completed.length)

  expect(lines.filter((line) => all.includes(line)).toSorted()).toEqual(completed)
  expect(
    await column(
      sql`select e164 as value from services where order_id = ${orderId} and state = 'active' order by e164`,
    ),
  ).toEqual(completed)
  const held = sql<{ value: string }>`select e164 as value from numbers
    where e164 = any(${all}::text[]) and (order_id is not null or state not in ('available', 'removed', 'in_service'))`
  expect(await column(held)).toEqual([])
  if (order.action !== 'add') {
    const served = sql<{ value: string }>`select e164 as value from numbers
      where e164 = any(${all}::text[]) and state = 'in_service' order by e164`
    expect(await column(served)).toEqual(completed)
  }

  const charged = sql<{ value: string }>`select e164 as value from ledger join order_items using (item_id)
    where ledger.order_id = ${orderId} order by e164`
  expect(await column(charged)).toEqual(completed)
  const billed = sql<{ value: string }>`
    select (select coalesce(sum(amount), 0) from ledger where order_id = ${orderId})::text || ' ' ||
      (select coalesce(sum(total), 0) from invoices where order_id = ${orderId})::text || ' ' ||
      (select coalesce(sum(one_time_price), 0) from order_items where order_id = ${orderId} and state = 'completed')::text
      as value`
  const [sums = ''] = await column(billed)
  expect(new Set(sums.split(' ').map(Number)).size).toBe(1)

  const ends = sql<{ value: string }>`select type as value from provisioning_outbox
    where order_key = ${`order:${orderId}`}
      and type in ('order.completed', 'order.partial', 'order.failed', 'order.cancelled')`
  expect(await column(ends)).toEqual([`order.${order.state}`])
  const begun = sql<{ value: string }>`select payload::jsonb->>'number' as value from provisioning_outbox
    where type = 'number.in_service' and payload::jsonb->>'order_id' = ${orderId} order by 1`
  expect((await column(begun)).toSorted()).toEqual(completed)
  const open = sql<{
    value: string
  }>`select state as value from fulfilments where order_id = ${orderId} and state <> 'done'`
  expect(await column(open)).toEqual([])
}
