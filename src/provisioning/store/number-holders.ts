import { sql } from 'kysely'
import type { Queries } from './database.ts'

/** Whether somebody has a service of this kind on the number already, or has ordered one. */
export type NumberHolders = { readonly isYours: boolean; readonly isAnothers: boolean }

/**
 * Of a messaging service: a live one, or an open order of one; and the number itself must not be another customer's.
 * Of a number: whoever has it in service, in porting, or on order; in the inventory it is the installation's.
 */
export async function findHolders(
  queries: Queries,
  { e164, kind, customerId }: { readonly e164: string; readonly kind: string; readonly customerId: string },
): Promise<NumberHolders> {
  const { rows } = await sql<{ is_yours: boolean | null; is_anothers: boolean | null }>`
    select bool_or(customer_id = ${customerId}) as is_yours, bool_or(customer_id <> ${customerId}) as is_anothers
    from (
      select customer_id from services join products using (product_id)
      where services.e164 = ${e164} and services.state <> 'ended' and products.kind = ${kind}
      union all
      select customer_id from order_items join products using (product_id)
      where order_items.e164 = ${e164} and order_items.state not in ('completed', 'failed', 'cancelled')
        and products.kind = ${kind}
      union all
      select coalesce(case when state not in ('aging', 'available') and reservation_id is null then customer_id end, '')
      from numbers
      where numbers.e164 = ${e164} and numbers.state <> 'removed'
        and (${kind}::text = 'number' or customer_id <> ${customerId}
          and (state in ('in_service', 'port_in', 'port_out') or state = 'reserved' and order_id is not null))
    ) as holders`.execute(queries)
  const [row] = rows
  return { isYours: row?.is_yours === true, isAnothers: row?.is_anothers === true }
}
