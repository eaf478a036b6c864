import { sql } from 'kysely'
import { FINAL_ITEM_STATES } from '../../model/order.ts'
import type { Queries } from '../../store/database.ts'
import type { RequestRow } from '../store/request-rows.ts'

/**
 * Whether a step should wait for the order that its number is busy with: for so long since it could first have been
 * ordered, which is when the run began or the step before it ended; and not for an order that is for later, or waits
 * for somebody itself.
 */
export async function shouldWaitFor(
  tx: Queries,
  {
    request,
    number,
    waitMs,
  }: { readonly request: RequestRow; readonly number: string | undefined; readonly waitMs: number },
): Promise<boolean> {
  const { request_id: requestId, modified_at: begunAt } = request
  const { rows } = await sql<{ is_worth_it: boolean }>`
    select now() < greatest(${begunAt}::timestamptz, (
        select max(completed_at) from request_orders join orders using (order_id) where request_id = ${requestId}
      )) + ${waitMs}::double precision * interval '1 millisecond'
      and not exists (
        select from order_items i join orders o using (order_id)
        where i.e164 = ${number ?? ''} and i.state not in (${sql.join(FINAL_ITEM_STATES)})
          and (o.requested_date > now() or o.state in ('held', 'pending'))) as is_worth_it`.execute(tx)
  return rows[0]?.is_worth_it === true
}
