import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startTestPostgres } from '../../test/support/postgres.ts'
import { systemClock } from '../../src/core/clock.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { toProvisioningDatabase, type ProvisioningDatabase } from '../../src/provisioning/store/database.ts'
import { Cipher } from '../../src/records/cipher.ts'
import { Records } from '../../src/records/connection.ts'

/** Making a million numbers is one statement. */
const STATEMENT_TIMEOUT_MS = 300_000

/** The tables of provisioning on a store of this program's own. */
export type BenchStore = AsyncDisposable & {
  readonly database: ProvisioningDatabase
  /** Of PostgreSQL, for other processes. */
  readonly url: string | undefined
}

/** PostgreSQL in a process of its own, or PGlite in this one. */
export async function startStore(kind: 'postgresql' | 'pglite', poolSize: number): Promise<BenchStore> {
  const server = kind === 'postgresql' ? await startTestPostgres() : undefined
  const url = await server?.createDatabase()
  const opened = await openStore(url, poolSize)
  return {
    database: opened.database,
    url,
    async [Symbol.asyncDispose]() {
      await opened[Symbol.asyncDispose]()
      await server?.stop()
    },
  }
}

/** Opens the PostgreSQL at `url`, or a PGlite that is gone afterwards. */
export async function openStore(url: string | undefined, poolSize: number): Promise<BenchStore> {
  const dataDir = await mkdtemp(join(tmpdir(), 'callhalf-provisioning-'))
  const records = new Records({
    ...(url !== undefined && { databaseUrl: url }),
    dataDir,
    poolSize,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
    cipher: new Cipher([Buffer.alloc(32, 7)]),
    clock: systemClock,
    log: silentLogger,
  })
  await records.start()
  return {
    database: toProvisioningDatabase(records),
    url,
    async [Symbol.asyncDispose]() {
      await records.stop(AbortSignal.timeout(5_000))
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}
