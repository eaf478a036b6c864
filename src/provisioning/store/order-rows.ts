import { sql } from 'kysely'
import type { ItemState } from '../model/order.ts'
import type { OrderHistoryEntry } from './orders.ts'
import type { Queries } from './database.ts'

/** How many items of an order are in each state. */
export async function countItemStates(tx: Queries, orderId: string): Promise<ReadonlyMap<ItemState, number>> {
  const rows = await tx
    .selectFrom('order_items')
    .select(['state', sql<number>`count(*)::integer`.as('count')])
    .where('order_id', '=', orderId)
    .groupBy('state')
    .execute()
  return new Map(rows.map((row) => [row.state, row.count]))
}

/** What items become, besides their state. */
export type ItemChange = {
  readonly fulfilment_id?: string
  readonly foc_date?: Date
  readonly error_code?: string
  readonly error_message?: string
}

/** Sets the same for several items of an order; the caller has its lock and has checked that they may. */
export async function setItems(
  tx: Queries,
  itemIds: readonly string[],
  change: ItemChange & { readonly state?: ItemState },
): Promise<void> {
  if (itemIds.length === 0) return
  await tx
    .updateTable('order_items')
    .set({ ...change, updated_at: sql<Date>`now()` })
    .where(sql<boolean>`item_id = any(${[...itemIds]}::text[])`)
    .execute()
}

/** Items that are done, with the provider's reference of each. */
export async function completeItems(
  tx: Queries,
  items: readonly { readonly item_id: string; readonly provider_ref: string | null }[],
): Promise<void> {
  if (items.length === 0) return
  await sql`
    update order_items set state = 'completed', provider_ref = coalesce(done.provider_ref, order_items.provider_ref),
      error_code = null, error_message = null, updated_at = now()
    from unnest(${items.map((item) => item.item_id)}::text[], ${items.map((item) => item.provider_ref)}::text[])
      as done (item_id, provider_ref)
    where order_items.item_id = done.item_id`.execute(tx)
}

/** Items for which the provider has undone what it did. */
export async function markUndone(tx: Queries, itemIds: readonly string[]): Promise<void> {
  if (itemIds.length === 0) return
  await tx
    .updateTable('order_items')
    .set({ undone_at: sql<Date>`now()` })
    .where(sql<boolean>`item_id = any(${[...itemIds]}::text[])`)
    .execute()
}

/** Appends to what `Orders.history` tells. */
export async function appendHistory(
  tx: Queries,
  orderId: string,
  entries: readonly { readonly kind: OrderHistoryEntry['kind']; readonly number?: string; readonly text: string }[],
): Promise<void> {
  if (entries.length === 0) return
  await tx
    .insertInto('order_history')
    .values(entries.map(({ kind, number, text }) => ({ order_id: orderId, kind, e164: number ?? null, text })))
    .execute()
}
