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
