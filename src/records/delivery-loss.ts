import { sql, type Transaction } from 'kysely'
import type { DeliveryStatus } from '../core/delivery-record.ts'
import { UNDELIVERED } from './delivery-query.ts'
import { lockDeliveries } from './delivery-writer.ts'
import type { Schema } from './schema.ts'

/**
 * Ends up to `limit` pending deliveries created before `before`, because nothing will become of them:
 * `dropped`, unless its only attempt that is known of was answered with a 2xx. Resolves with how many were
 * dropped, and whether there may be more.
 */
export async function dropPending(
  transaction: Transaction<Schema>,
  { before, limit, now }: { readonly before: number; readonly limit: number; readonly now: number },
): Promise<{ readonly dropped: number; readonly isDone: boolean }> {
  await lockDeliveries(transaction)
  const { rows } = await sql<{ status: DeliveryStatus }>`
    update deliveries set ended_at = ${new Date(now)}, next_attempt_at = null,
      status = case when last_outcome = 'delivered' and replays = 0 then 'delivered' else 'dropped' end
    where delivery_id in (
      select delivery_id from deliveries
      where status = 'pending' and created_at < ${new Date(before)} and ${UNDELIVERED} limit ${limit})
    returning status`.execute(transaction)
  return { dropped: rows.filter(({ status }) => status === 'dropped').length, isDone: rows.length < limit }
}
