import { sql, type Kysely } from 'kysely'
import { GatewayError } from '../core/errors.ts'
import { foundation } from './migrations/0001-foundation.ts'
import { webhookDelivery } from './migrations/0002-webhook-delivery.ts'
import { subscriberDepartures } from './migrations/0003-subscriber-departures.ts'
import { provisioning } from './migrations/0004-provisioning.ts'
import { provisioningOrders } from './migrations/0005-provisioning-orders.ts'
import { provisioningRequests } from './migrations/0006-provisioning-requests.ts'
import { orderMirror } from './migrations/0007-order-mirror.ts'
import { firstAttempts } from './migrations/0008-first-attempts.ts'
import { channelRestarts } from './migrations/0009-channel-restarts.ts'
import type { Schema } from './schema.ts'

/** One step of the schema: SQL statements, run in one transaction. A released step is never edited. */
export type Migration = { readonly name: string; readonly statements: string }

/** Every step in order; forward only. */
const MIGRATIONS: readonly Migration[] = [
  { name: '0001-foundation', statements: foundation },
  { name: '0002-webhook-delivery', statements: webhookDelivery },
  { name: '0003-subscriber-departures', statements: subscriberDepartures },
  { name: '0004-provisioning', statements: provisioning },
  { name: '0005-provisioning-orders', statements: provisioningOrders },
  { name: '0006-provisioning-requests', statements: provisioningRequests },
  { name: '0007-order-mirror', statements: orderMirror },
  { name: '0008-first-attempts', statements: firstAttempts },
  { name: '0009-channel-restarts', statements: channelRestarts },
]

/** Names our advisory lock among those of other programs in the same database. */
const ADVISORY_LOCK = 4_217_590_731

/**
 * Brings the schema up to date and returns the names of the steps applied now. Each step has its own
 * transaction and takes an advisory lock in it, so that of several processes starting at once one
 * applies a step and the others find it done. Rejects with `store_unavailable` when the database has
 * steps that this version does not know: it was opened by a newer one.
 */
export async function migrate(
  db: Kysely<Schema>,
  now: () => number,
  migrations: readonly Migration[] = MIGRATIONS,
): Promise<readonly string[]> {
  const appliedNow: string[] = []
  for (;;) {
    const name = await db.transaction().execute((transaction) => applyNext(transaction, now, migrations))
    if (name === undefined) return appliedNow
    appliedNow.push(name)
  }
}

async function applyNext(
  transaction: Kysely<Schema>,
  now: () => number,
  migrations: readonly Migration[],
): Promise<string | undefined> {
  await sql`select pg_advisory_xact_lock(${sql.lit(ADVISORY_LOCK)})`.execute(transaction)
  await sql`create table if not exists migrations (name text primary key, applied_at timestamptz not null)`.execute(
    transaction,
  )
  const rows = await transaction.selectFrom('migrations').select('name').execute()
  const applied = new Set(rows.map((row) => row.name))
  const unknown = [...applied].filter((name) => !migrations.some((migration) => migration.name === name))
  if (unknown.length > 0) {
    throw new GatewayError('store_unavailable', {
      detail: `The database was opened by a newer version of Callhalf (it has ${unknown.join(', ')}). Run that version.`,
    })
  }
  const next = migrations.find((migration) => !applied.has(migration.name))
  if (next === undefined) return undefined
  // One statement at a time: a prepared statement, which PGlite always uses, holds only one. Each begins at the
  // beginning of a line; what is inside a function does not.
  for (const statement of next.statements.split(/;\s*\n(?=\S|$)/).filter((text) => text.trim() !== '')) {
    await sql.raw(statement).execute(transaction)
  }
  await transaction
    .insertInto('migrations')
    .values({ name: next.name, applied_at: new Date(now()) })
    .execute()
  return next.name
}
