import { sql } from 'kysely'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestPostgres, type TestPostgres } from '../../test/support/postgres.ts'
import { until } from '../../test/support/until.ts'
import { systemClock } from '../core/clock.ts'
import { silentLogger } from '../core/logger.ts'
import { Cipher } from './cipher.ts'
import { Records } from './connection.ts'

let postgres: TestPostgres
beforeAll(async () => {
  postgres = await startTestPostgres()
})
afterAll(() => postgres.stop())

test('a connection that the server ends while it is borrowed fails what it is used for, not the process', async () => {
  const records = new Records({
    databaseUrl: await postgres.createDatabase(),
    dataDir: '/nonexistent',
    poolSize: 2,
    cipher: new Cipher([Buffer.alloc(32, 1)]),
    clock: systemClock,
    log: silentLogger,
  })
  await records.start()
  const borrowed = Promise.withResolvers<number>()
  const ended = Promise.withResolvers<void>()
  const working = records.transaction(async (transaction) => {
    const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(transaction)
    borrowed.resolve(rows[0]?.pid ?? 0)
    await ended.promise
    await sql`select 1`.execute(transaction)
  })
  const pid = await borrowed.promise
  await records.query((db) => sql`select pg_terminate_backend(${pid}::int)`.execute(db))
  await until('the backend to be gone', async () => {
    const { rows } = await records.query((db) => sql`select 1 from pg_stat_activity where pid = ${pid}`.execute(db))
    return rows.length === 0
  })
  ended.resolve()
  await expect(working).rejects.toMatchObject({ code: 'store_unavailable' })
  await records.query((db) => sql`select 1`.execute(db))
  await records.stop(AbortSignal.timeout(5_000))
})
