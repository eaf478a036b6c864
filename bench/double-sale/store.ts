import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../src/core/clock.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { SandboxProvider } from '../../src/provisioning/adapters/sandbox/provider.ts'
import { toProvisioningDatabase } from '../../src/provisioning/store/database.ts'
import { Cipher } from '../../src/records/cipher.ts'
import { Records } from '../../src/records/connection.ts'

const SECRET_KEY = Buffer.alloc(32, 3)

/** A process's way to the tables: PostgreSQL by its url, or a PGlite of its own. */
export async function openStore(databaseUrl: string | undefined) {
  const dataDir = await mkdtemp(join(tmpdir(), 'callhalf-double-sale-'))
  const records = new Records({
    ...(databaseUrl !== undefined && { databaseUrl }),
    dataDir,
    cipher: new Cipher([SECRET_KEY]),
    clock: systemClock,
    log: silentLogger,
  })
  await records.start()
  const database = toProvisioningDatabase(records)
  const sandbox = new SandboxProvider({ database, clock: systemClock, log: silentLogger, fulfilMs: 0 })
  return {
    database,
    sandbox,
    async close() {
      await records.stop(AbortSignal.timeout(5_000))
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}
