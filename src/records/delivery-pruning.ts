import { sql, type Transaction } from 'kysely'
import { lockDeliveries } from './delivery-writer.ts'
import type { Schema } from './schema.ts'

type Victim = { readonly delivery_id: string; readonly event_id: string }

/**
 * When a delivery came to its end: one that is still pending will have by its expiry. Word for word the
 * expression of the index `deliveries_by_end`.
 */
export const ENDS_AT = sql`(coalesce(ended_at, expires_at))`

/**
 * Removes up to `limit` deliveries with what belongs to them: those of removed apps first, then those that
 * ended before `before`, in the order of their ends. Resolves with how many it was.
 */
export async function pruneDeliveries(
  transaction: Transaction<Schema>,
  { before, limit }: { readonly before: number; readonly limit: number },
): Promise<number> {
  await lockDeliveries(transaction)
  const orphaned = await removeOfRemovedApps(transaction, { before, limit })
  return orphaned + (await removeEnded(transaction, { before, limit: limit - orphaned }))
}

/**
 * An app stays among the removed ones for as long as deliveries are kept: the engine may report some after
 * the app is gone.
 */
async function removeOfRemovedApps(
  transaction: Transaction<Schema>,
  { before, limit }: { readonly before: number; readonly limit: number },
): Promise<number> {
  const apps = await transaction.selectFrom('removed_apps').select('app_id').execute()
  if (apps.length === 0) return 0
  const victims = await transaction
    .selectFrom('deliveries')
    .select(['delivery_id', 'event_id'])
    .where(sql<boolean>`app_id = any(${apps.map((app) => app.app_id)}::text[])`)
    .limit(limit)
    .execute()
  await remove(transaction, victims)
  if (victims.length < limit) {
    await transaction.deleteFrom('removed_apps').where('removed_at', '<', new Date(before)).execute()
  }
  return victims.length
}

async function removeEnded(
  transaction: Transaction<Schema>,
  { before, limit }: { readonly before: number; readonly limit: number },
): Promise<number> {
  if (limit <= 0) return 0
  const { rows } = await sql<Victim>`
    select delivery_id, event_id from deliveries where ${ENDS_AT} < ${new Date(before)}
    order by ${ENDS_AT} limit ${limit}`.execute(transaction)
  await remove(transaction, rows)
  return rows.length
}

/** An event knows how many deliveries it has, and goes with the last one: its others need not be looked for. */
async function remove(transaction: Transaction<Schema>, victims: readonly Victim[]): Promise<void> {
  if (victims.length === 0) return
  const ids = victims.map((victim) => victim.delivery_id)
  await sql`delete from deliveries where delivery_id = any(${ids}::text[])`.execute(transaction)
  await sql`delete from attempts where delivery_id = any(${ids}::text[])`.execute(transaction)
  const counts = new Map<string, number>()
  for (const { event_id: eventId } of victims) counts.set(eventId, (counts.get(eventId) ?? 0) + 1)
  const fewer = sql`unnest(${[...counts.keys()]}::text[], ${[...counts.values()]}::integer[]) as fewer (event_id, n)`
  const gone = await sql`
    delete from webhook_events e using ${fewer} where e.event_id = fewer.event_id and e.deliveries <= fewer.n
    returning e.event_id`.execute(transaction)
  if (gone.rows.length === counts.size) return
  await sql`
    update webhook_events e set deliveries = e.deliveries - fewer.n from ${fewer}
    where e.event_id = fewer.event_id`.execute(transaction)
}
