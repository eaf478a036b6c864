import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Kysely, sql } from 'kysely'
import { expect, test } from 'vitest'
import { systemClock } from '../core/clock.ts'
import { silentLogger } from '../core/logger.ts'
import { startTestPostgres } from '../../test/support/postgres.ts'
import { STORES, type StoreName } from '../../test/support/records.ts'
import { migrate } from './migrate.ts'
import { foundation } from './migrations/0001-foundation.ts'
import { PgliteStore } from './pglite-store.ts'
import { createPostgresDialect } from './postgres.ts'
import type { Schema } from './schema.ts'

test.each(STORES)('endpoints made before webhook delivery get its defaults, on %s', async (store) => {
  await using opened = await openEmpty(store)
  const { db } = opened
  await migrate(db, () => 0, [{ name: '0001-foundation', statements: foundation }])
  await sql`insert into apps values ('a', 's1', 'crm', now())`.execute(db)
  await sql`insert into endpoints (endpoint_id, app_id, url, enabled, created_at, updated_at)
    values ('on', 'a', 'https://x.example.net', true, now(), now()),
      ('off', 'a', 'https://x.example.net', false, now(), now())`.execute(db)
  await sql`insert into endpoint_secrets values ('s', 'on', 'envelope', now(), null)`.execute(db)

  expect(await migrate(db, () => 0)).toContain('0002-webhook-delivery')

  const defaults = {
    order_hold_ms: 10_000,
    coalesce: false,
    max_in_flight: 10,
    rate_per_second: null,
    signatures: ['v1'],
    verified: true,
    header_names: [],
    headers: null,
  }
  const endpoints = await db.selectFrom('endpoints').selectAll().orderBy('endpoint_id').execute()
  expect(endpoints).toMatchObject([
    { ...defaults, endpoint_id: 'off', enabled: false, disabled_reason: 'requested' },
    { ...defaults, endpoint_id: 'on', enabled: true, disabled_reason: null },
  ])
  expect(await db.selectFrom('endpoint_secrets').select(['secret_id', 'kind']).execute()).toEqual([
    { secret_id: 's', kind: 'v1' },
  ])
})

type Opened = AsyncDisposable & { readonly db: Kysely<Schema> }

/** A database of its own without a table. */
async function openEmpty(store: StoreName): Promise<Opened> {
  if (store === 'pglite') {
    const dataDir = await mkdtemp(join(tmpdir(), 'callhalf-migrations-'))
    const pglite = await PgliteStore.open({ dataDir, queryTimeoutMs: undefined, clock: systemClock, log: silentLogger })
    return {
      db: pglite.db,
      async [Symbol.asyncDispose]() {
        await pglite.close(AbortSignal.timeout(5_000))
        await rm(dataDir, { recursive: true, force: true })
      },
    }
  }
  const postgres = await startTestPostgres()
  const url = await postgres.createDatabase()
  const db = new Kysely<Schema>({
    dialect: createPostgresDialect({ url, poolSize: 1, statementTimeoutMs: 5_000, log: silentLogger }),
  })
  return {
    db,
    async [Symbol.asyncDispose]() {
      await db.destroy()
      await postgres.stop()
    },
  }
}
