import { sql } from 'kysely'
import type { ProvisioningDatabase, Queries } from '../../src/provisioning/store/database.ts'

/**
 * The same database, which counts what its transactions read: every row that a scan of a table or of an index comes
 * across, also in triggers. Queries are made transactions, since PostgreSQL counts by these.
 */
export class CountedDatabase implements ProvisioningDatabase {
  /** By table. */
  readonly reads = new Map<string, number>()
  readonly #database: ProvisioningDatabase

  constructor(database: ProvisioningDatabase) {
    this.#database = database
  }

  read(table: string): number {
    return this.reads.get(table) ?? 0
  }

  get total(): number {
    return [...this.reads.values()].reduce((sum, count) => sum + count, 0)
  }

  query<Result>(work: (db: Queries) => Promise<Result>): Promise<Result> {
    return this.transaction(work)
  }

  transaction: ProvisioningDatabase['transaction'] = (work) =>
    this.#database.transaction(async (tx) => {
      // What earlier transactions of the connection have not handed in yet is counted as well.
      const before = await countReads(tx)
      const result = await work(tx)
      for (const [table, count] of await countReads(tx)) {
        this.reads.set(table, (this.reads.get(table) ?? 0) + count - (before.get(table) ?? 0))
      }
      return result
    })
}

async function countReads(tx: Queries): Promise<ReadonlyMap<string, number>> {
  const { rows } = await sql<{ relname: string; count: number }>`
    select relname, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) as count
    from pg_stat_xact_user_tables`.execute(tx)
  return new Map(rows.map(({ relname, count }) => [relname, count]))
}
