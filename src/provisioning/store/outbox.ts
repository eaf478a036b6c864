import { sql } from 'kysely'
import type { Queries } from './database.ts'

/** What an app is to be told, kept until its log has it. */
export type OutboxEvent = {
  readonly appId: string
  /** `order.completed`, `number.in_service` … */
  readonly type: string
  /** Events with the same key are told in the order of their ids. */
  readonly orderKey: string
  /** JSON, as the app receives it. */
  readonly payload: string
}

/** Keeps events in the transaction that makes them true. The caller holds a lock on what `orderKey` names. */
export async function appendEvents(queries: Queries, events: readonly OutboxEvent[]): Promise<void> {
  if (events.length === 0) return
  await queries
    .insertInto('provisioning_outbox')
    .values(events.map(({ appId, type, orderKey, payload }) => ({ app_id: appId, type, order_key: orderKey, payload })))
    .execute()
}

/** An event that waits, as the database has it. */
export type WaitingEvent = OutboxEvent & {
  readonly eventId: number
  /** When it came about, in milliseconds since 1970. */
  readonly createdAt: number
  /** How long ago that is, by the database's clock. */
  readonly ageMs: number
}

/** Events after `after`, oldest first. */
export async function readEvents(
  queries: Queries,
  { after, limit }: { readonly after: number; readonly limit: number },
): Promise<readonly WaitingEvent[]> {
  const rows = await queries
    .selectFrom('provisioning_outbox')
    .selectAll()
    .select(sql<number>`(extract(epoch from now() - created_at) * 1000)::double precision`.as('age_ms'))
    .where('event_id', '>', after)
    .orderBy('event_id')
    .limit(limit)
    .execute()
  return rows.map((row) => ({
    eventId: row.event_id,
    appId: row.app_id,
    type: row.type,
    orderKey: row.order_key,
    payload: row.payload,
    createdAt: row.created_at.getTime(),
    ageMs: Math.max(row.age_ms, 0),
  }))
}

/** Forgets events that their apps' logs have. */
export async function deleteEvents(queries: Queries, eventIds: readonly number[]): Promise<void> {
  if (eventIds.length === 0) return
  await sql`delete from provisioning_outbox where event_id = any(${[...eventIds]}::bigint[])`.execute(queries)
}
