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

/** What all of the provisioning tables have in them, as one digest for each. */
export async function dumpProvisioning(database: ProvisioningDatabase): Promise<Readonly<Record<string, string>>> {
  const parts = TABLES.map(
    (table) => sql`select ${table}::text as name,
      count(*) || ' ' || md5(coalesce(string_agg(r::text, chr(10) order by r::text collate "C"), '')) as digest
      from ${sql.table(table)} as r`,
  )
  const { rows } = await database.query((db) =>
    sql<{ name: string; digest: string }>`${sql.join(parts, sql` union all `)}`.execute(db),
  )
  return Object.fromEntries(rows.map(({ name, digest }) => [name, digest]))
}
