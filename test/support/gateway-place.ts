import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openTestDatabase, type StoreName } from './records.ts'
import { copyEmbeddedTemplate } from './store-templates.ts'

/** Where a whole gateway keeps what is its own, as long as a test needs it. */
export type GatewayPlace = AsyncDisposable & {
  readonly dataDir: string
  /** Undefined: what it has embedded. */
  readonly databaseUrl: string | undefined
  /** The variables that say so. */
  readonly env: Readonly<Record<string, string>>
}

/** A data folder, and a database with the sandbox's catalogue. */
export async function makeGatewayPlace(store: StoreName): Promise<GatewayPlace> {
  const dataDir = await mkdtemp(join(tmpdir(), 'callhalf-gateway-'))
  const database = store === 'postgresql' ? await openTestDatabase('catalogue') : undefined
  if (database === undefined) await copyEmbeddedTemplate(join(dataDir, 'records'), 'catalogue')
  return {
    dataDir,
    databaseUrl: database?.url,
    env: { CALLHALF_DATA_DIR: dataDir, ...(database !== undefined && { DATABASE_URL: database.url }) },
    async [Symbol.asyncDispose]() {
      await database?.close()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}
