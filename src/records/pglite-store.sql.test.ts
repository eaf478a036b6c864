import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { silentLogger } from '../core/logger.ts'
import { startTestRecords, type TestRecords } from '../../test/support/records.ts'
import { until } from '../../test/support/until.ts'
import { Records } from './connection.ts'

const QUERY_TIMEOUT_MS = 2_000
const deadline = () => AbortSignal.timeout(5_000)
const unavailable = { code: 'store_unavailable', retryAfterSeconds: 1 }

let owner: TestRecords
let records: Records
/** The messages logged by `records`. */
let said: string[] = []
const note = (_fields: object, message: string) => void said.push(message)

beforeAll(async () => {
  // Migrated by an opener with time enough; the one under test is impatient.
  owner = await startTestRecords('pglite')
  await owner.records.query((db) => sql`create table scratch (n int)`.execute(db))
  await owner.records.stop(deadline())
  const log = { ...silentLogger, info: note, error: note }
  records = new Records({ ...owner.options, statementTimeoutMs: QUERY_TIMEOUT_MS, log })
  await records.start()
})
beforeEach(() => {
  said = []
})
afterAll(async () => {
  await records?.stop(deadline())
  await owner?.stop()
})

const insert = (n: number) => records.query((db) => sql`insert into scratch values (${n})`.execute(db))
const list = async () =>
  (await records.query((db) => sql<{ n: number }>`select n from scratch order by n`.execute(db))).rows.map(({ n }) => n)
/** Ends the worker by a query that outlasts its deadline. */
const endless = sql`select count(*) from generate_series(1, 1000000000000) a`
const untilReopened = () =>
  until('the database to be opened again', () => said.includes('the embedded database works again') || undefined)

test('after a worker has ended queries fail at once, until another one on the files, locked all along, serves them', async () => {
  await insert(1)
  await expect(records.query((db) => endless.execute(db))).rejects.toMatchObject(unavailable)
  const asked = performance.now()
  await expect(records.check()).rejects.toMatchObject(unavailable)
  expect(performance.now() - asked).toBeLessThan(100)
  await expect(new Records(owner.options).start()).rejects.toMatchObject({
    detail: expect.stringContaining('uses the embedded database'),
  })
  await untilReopened()
  await insert(2)
  expect(await list()).toEqual([1, 2])
})

test('a transaction does not go on in another worker than it began in', async () => {
  const failing = records.transaction(async (transaction) => {
    await sql`insert into scratch values (3)`.execute(transaction)
    await endless.execute(transaction).catch(() => undefined)
    await untilReopened()
    await sql`insert into scratch values (4)`.execute(transaction)
  })
  await expect(failing).rejects.toMatchObject(unavailable)
  expect(await list()).toEqual([1, 2])
})

test('records that stop while the database is reopened leave the files to the next opener', async () => {
  await expect(records.query((db) => endless.execute(db))).rejects.toMatchObject(unavailable)
  await until('the worker to be missed', () => said.length > 0 || undefined)
  await records.stop(deadline())
  expect(said).not.toContain('the embedded database works again')
  await owner.records.start()
  const { rows } = await owner.records.query((db) => sql`select n from scratch order by n`.execute(db))
  expect(rows).toEqual([{ n: 1 }, { n: 2 }])
})
