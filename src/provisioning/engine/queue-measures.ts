import { sql } from 'kysely'
import { isFinalOrder, ORDER_STATES } from '../model/order.ts'
import type { ProvisioningDatabase } from '../store/database.ts'
import type { FulfilmentMetrics } from './fulfilment-metrics.ts'

/** Sets the gauges that are about all instances. */
export async function measureQueue(database: ProvisioningDatabase, metrics: FulfilmentMetrics): Promise<void> {
  const oldest = await database.query((db) =>
    db
      .selectFrom('fulfilments')
      .select(sql<number>`coalesce(extract(epoch from now() - min(due_at)), 0)::double precision`.as('age'))
      .where('due_at', '<=', sql<Date>`now()`)
      .executeTakeFirst(),
  )
  metrics.queueAgeSeconds.set(oldest?.age ?? 0)
  const open = await database.query((db) =>
    db
      .selectFrom('orders')
      .select(['state', sql<number>`count(*)::integer`.as('count')])
      .where('completed_at', 'is', null)
      .groupBy('state')
      .execute(),
  )
  const counts = new Map(open.map((row) => [row.state, row.count]))
  for (const state of ORDER_STATES) {
    if (!isFinalOrder(state)) metrics.openOrders.set({ state }, counts.get(state) ?? 0)
  }
}
