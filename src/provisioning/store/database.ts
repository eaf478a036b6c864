import type { Kysely, Transaction } from 'kysely'
import type { ProvisioningSchema } from './schema.ts'

/** The provisioning tables, on PostgreSQL or PGlite. Everything that goes wrong comes out as a GatewayError. */
export interface ProvisioningDatabase {
  query<Result>(work: (db: Kysely<ProvisioningSchema>) => Promise<Result>): Promise<Result>
  /** Runs `work` in one transaction, which must wait for nothing but its own queries. */
  transaction<Result>(work: (transaction: Transaction<ProvisioningSchema>) => Promise<Result>): Promise<Result>
}

/** A connection that is in a transaction, or not. */
export type Queries = Kysely<ProvisioningSchema>

/** What `records` offers, which knows its own tables only. */
type SqlStore = {
  query<Result>(work: (db: unknown) => Promise<Result>): Promise<Result>
  transaction<Result>(work: (transaction: unknown) => Promise<Result>): Promise<Result>
}

/** Provisioning's view of a store in which migrations 0004 and 0005 have been applied. */
export function toProvisioningDatabase(store: SqlStore): ProvisioningDatabase {
  return {
    // The store's types name other tables of the same database; migrations 0004 and 0005 say that these are there, too.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    query: (work) => store.query((db) => work(db as Kysely<ProvisioningSchema>)),
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    transaction: (work) => store.transaction((db) => work(db as Transaction<ProvisioningSchema>)),
  }
}
