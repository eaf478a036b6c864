import { sql } from 'kysely'
import type { DeliveryFilter } from '../../src/core/delivery-record.ts'
import { Deliveries } from '../../src/records/deliveries.ts'
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

  /** Every row as text, by table. */
  async dump(): Promise<readonly (readonly string[])[]> {
    const dumps = ['deliveries', 'attempts', 'webhook_events'].map(async (table) => {
      const { rows } = await this.opened.records.query((db) =>
        sql<{ row: string }>`select t::text as row from ${sql.table(table)} t order by 1`.execute(db),
      )
      return rows.map(({ row }) => row)
    })
    return Promise.all(dumps)
  }

  stop(): Promise<unknown> {
    return this.opened.stop()
  }
}
