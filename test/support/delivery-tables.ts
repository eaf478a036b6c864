import { sql, type RawBuilder } from 'kysely'
import type { DeliveryFilter } from '../../src/core/delivery-record.ts'
import { Deliveries } from '../../src/records/deliveries.ts'
import { parseFirstAttempt, toAttempt } from '../../src/records/delivery-rows.ts'
import { startTestRecords, type TestRecords } from './records.ts'

/** Records of deliveries in a store of their own, and what tests ask of the tables themselves. */
export class DeliveryTables {
  readonly opened: TestRecords
  readonly deliveries: Deliveries

  private constructor(opened: TestRecords) {
    this.opened = opened
    this.deliveries = new Deliveries(opened.records)
  }

  static async start(store: Parameters<typeof startTestRecords>[0]): Promise<DeliveryTables> {
    return new DeliveryTables(await startTestRecords(store))
  }

  async empty(): Promise<void> {
    await this.opened.records.query((db) =>
      sql`truncate deliveries, attempts, webhook_events, removed_apps`.execute(db),
    )
  }

  /** Newest first. */
  async idsOf(filter: DeliveryFilter): Promise<readonly string[]> {
    return (await this.deliveries.list(filter, { limit: 100 })).deliveries.map((found) => found.deliveryId)
  }

  async countRows(table: 'deliveries' | 'attempts' | 'webhook_events' | 'removed_apps'): Promise<number | undefined> {
    const { rows } = await this.opened.records.query((db) =>
      sql<{ count: number }>`select count(*) as count from ${sql.table(table)}`.execute(db),
    )
    return rows[0]?.count
  }

  /** Every row as text, by table; attempts alike, wherever they stand. */
  async dump(): Promise<readonly (readonly string[])[]> {
    const rows = async (query: RawBuilder<{ row: string }>) =>
      (await this.opened.records.query((db) => query.execute(db))).rows.map(({ row }) => row)
    const firsts = await this.opened.records.query((db) =>
      db
        .selectFrom('deliveries')
        .select(['delivery_id', 'first_attempt'])
        .where('first_attempt', 'is not', null)
        .execute(),
    )
    const others = await this.opened.records.query((db) => db.selectFrom('attempts').selectAll().execute())
    const attempts = [
      ...firsts.map((row) => ({ id: row.delivery_id, ...parseFirstAttempt(row.first_attempt ?? '') })),
      ...others.map((row) => ({ id: row.delivery_id, factId: row.fact_id, attempt: toAttempt(row) })),
    ].map(({ id, factId, attempt }) =>
      JSON.stringify([id, factId, Object.entries(attempt).toSorted(([a], [b]) => a.localeCompare(b))]),
    )
    return [
      await rows(sql`select (to_jsonb(t) - 'first_attempt')::text as row from deliveries t order by 1`),
      await rows(sql`select t::text as row from webhook_events t order by 1`),
      attempts.toSorted(),
    ]
  }

  stop(): Promise<unknown> {
    return this.opened.stop()
  }
}
