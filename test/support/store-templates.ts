import { cp, mkdtemp, rm } from 'node:fs/promises'
import { randomUUID } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import { systemClock } from '../../src/core/clock.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { seedCatalogue } from '../../src/provisioning/adapters/sandbox/seed-catalogue.ts'
import { toProvisioningDatabase } from '../../src/provisioning/store/database.ts'
import { Cipher } from '../../src/records/cipher.ts'
import { Records } from '../../src/records/connection.ts'
import { startTestPostgres } from './postgres.ts'

/**
 * Where a run of the tests has its databases, of which each file's stores are copies: making one anew takes seconds of
 * processor time, a copy a tenth of it.
 */
const PLACE = 'CALLHALF_TEST_STORE_TEMPLATES'

/** What is in a copy besides all tables: no rows, or the sandbox's catalogue as a gateway fills it in. */
export type Stock = 'nothing' | 'catalogue'

const templateOf = (stock: Stock): string => `template_with_${stock}`

type Place = { readonly folder: string; readonly serverUrl: string }

/** Makes the templates, with a PostgreSQL for the whole run; the returned function removes both. */
export async function makeStoreTemplates(): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'callhalf-templates-'))
  const postgres = await startTestPostgres()
  const serverUrl = await postgres.createDatabase()
  await Promise.all([makeEmbeddedTemplates(folder), makeServerTemplates(folder, serverUrl)])
  const place: Place = { folder, serverUrl }
  process.env[PLACE] = JSON.stringify(place)
  return async () => {
    await postgres.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

async function makeEmbeddedTemplates(folder: string): Promise<void> {
  const [nothing, catalogue] = [join(folder, templateOf('nothing')), join(folder, templateOf('catalogue'))]
  await fill({ dataDir: nothing }, 'nothing')
  await cp(nothing, catalogue, { recursive: true })
  await fill({ dataDir: catalogue }, 'catalogue')
}

async function makeServerTemplates(dataDir: string, serverUrl: string): Promise<void> {
  const [nothing, catalogue] = [templateOf('nothing'), templateOf('catalogue')]
  await query(serverUrl, `create database ${nothing}`)
  await fill({ dataDir, databaseUrl: databaseOf(serverUrl, nothing) }, 'nothing')
  await query(serverUrl, `create database ${catalogue} template ${nothing}`)
  await fill({ dataDir, databaseUrl: databaseOf(serverUrl, catalogue) }, 'catalogue')
}

/** Puts a copy of the embedded database into a data folder, if there is a template; otherwise it is made there anew. */
export async function copyEmbeddedTemplate(dataDir: string, stock: Stock): Promise<void> {
  const place = readPlace()
  if (place === undefined) return
  await cp(join(place.folder, templateOf(stock), 'pglite'), join(dataDir, 'pglite'), { recursive: true })
}

/** A copy of the template on the PostgreSQL of the run; undefined when there is none, as outside the test runner. */
export async function copyServerTemplate(
  stock: Stock,
): Promise<{ readonly url: string; drop(): Promise<void> } | undefined> {
  const place = readPlace()
  if (place === undefined) return undefined
  const name = `test_${randomUUID().replaceAll('-', '')}`
  await query(place.serverUrl, `create database ${name} template ${templateOf(stock)}`)
  return {
    url: databaseOf(place.serverUrl, name),
    drop: () => query(place.serverUrl, `drop database ${name} with (force)`),
  }
}

/** A folder that lasts as long as the run, if there is one: for what its processes can share. */
export const folderOfRun = (): string | undefined => readPlace()?.folder

function readPlace(): Place | undefined {
  const text = process.env[PLACE]
  // Written by `makeStoreTemplates`, in the process that started this one.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return text === undefined ? undefined : (JSON.parse(text) as Place)
}

async function fill(where: { readonly dataDir: string; readonly databaseUrl?: string }, stock: Stock): Promise<void> {
  const cipher = new Cipher([Buffer.alloc(32)])
  const records = new Records({ ...where, cipher, clock: systemClock, log: silentLogger })
  await records.start()
  if (stock === 'catalogue') await seedCatalogue(toProvisioningDatabase(records))
  // Each copy may be written under another key.
  await records.query((db) => db.deleteFrom('secret_key_check').execute())
  await records.stop(AbortSignal.timeout(10_000))
}

function databaseOf(url: string, name: string): string {
  const changed = new URL(url)
  changed.pathname = `/${name}`
  return changed.href
}

async function query(url: string, text: string): Promise<void> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5_000 })
  client.on('error', () => undefined)
  await client.connect()
  try {
    await client.query(text)
  } finally {
    await client.end()
  }
}
