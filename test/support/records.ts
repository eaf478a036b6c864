import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock, type Clock } from '../../src/core/clock.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { Cipher } from '../../src/records/cipher.ts'
import { Records, type RecordsOptions } from '../../src/records/connection.ts'
import { startTestPostgres } from './postgres.ts'
import { copyEmbeddedTemplate, copyServerTemplate, type Stock } from './store-templates.ts'

/** The two stores that every suite of the records runs on. */
export const STORES = ['pglite', 'postgresql'] as const
export type StoreName = (typeof STORES)[number]

const TEST_SECRET_KEY = Buffer.alloc(32, 5)

/** Records on a store of this test file's own; stop it in `afterAll`. */
export type TestRecords = {
  /** Started. */
  readonly records: Records
  /** Those of `records`, for a second one on the same store. */
  readonly options: RecordsOptions
  /** Settable time, starting at the real one. */
  readonly clock: Clock & { advance(ms: number): void }
  stop(): Promise<void>
}

export async function startTestRecords(store: StoreName, stock: Stock = 'nothing'): Promise<TestRecords> {
  const dataDir = await mkdtemp(join(tmpdir(), 'callhalf-records-'))
  const server = store === 'postgresql' ? await openTestDatabase(stock) : undefined
  if (server === undefined) await copyEmbeddedTemplate(dataDir, stock)
  const clock = adjustableClock()
  const options: RecordsOptions = {
    ...(server !== undefined && { databaseUrl: server.url }),
    dataDir,
    cipher: new Cipher([TEST_SECRET_KEY]),
    clock,
    log: silentLogger,
  }
  const records = new Records(options)
  await records.start()
  return {
    records,
    options,
    clock,
    async stop() {
      await records.stop(AbortSignal.timeout(5_000))
      await server?.close()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

/** A database on a PostgreSQL; `close` drops it. */
export type TestDatabase = { readonly url: string; close(): Promise<void> }

/** A copy on the PostgreSQL of the run, or else an empty database on a server of its own. */
export async function openTestDatabase(stock: Stock): Promise<TestDatabase> {
  const copy = await copyServerTemplate(stock)
  if (copy !== undefined) return { url: copy.url, close: () => copy.drop() }
  const postgres = await startTestPostgres()
  return { url: await postgres.createDatabase(), close: () => postgres.stop() }
}

function adjustableClock(): Clock & { advance(ms: number): void } {
  let ahead = 0
  return {
    now: () => systemClock.now() + ahead,
    monotonic: () => systemClock.monotonic() + ahead,
    wait: (ms, signal) => systemClock.wait(ms, signal),
    advance(ms) {
      ahead += ms
    },
  }
}
