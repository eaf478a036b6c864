import { sql } from 'kysely'
import type { ProvisioningDatabase } from '../../src/provisioning/store/database.ts'

const TABLES = [
  'customers',
  'contacts',
  'payment_methods',
  'product_locations',
  'connections',
  'products',
  'numbers',
  'reservations',
  'reservation_items',
  'orders',
  'order_items',
  'order_history',
  'fulfilments',
  'services',
  'ledger',
  'invoices',
  'provisioning_keys',
  'provisioning_idempotency',
  'provisioning_outbox',
  'audit',
  'audit_chains',
] as const

/**
 * What these provisioning tables have in them, all of them unless given: of each, how many rows, and the sum of their
 * hashes, which needs no order.
 */
export async function dumpProvisioning(
  database: ProvisioningDatabase,
  tables: readonly string[] = TABLES,
): Promise<Readonly<Record<string, string>>> {
  const parts = tables.map(
    (table) => sql`select ${table}::text as name,
      count(*) || ' ' || coalesce(sum(hashtextextended(r::text, 0)), 0) as digest
      from ${sql.table(table)} as r`,
  )
  const { rows } = await database.query((db) =>
    sql<{ name: string; digest: string }>`${sql.join(parts, sql` union all `)}`.execute(db),
  )
  return Object.fromEntries(rows.map(({ name, digest }) => [name, digest]))
}
