import { cp, mkdtemp, rm } from 'node:fs/promises'
import { randomUUID } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import { systemClock } from '../../src/core/clock.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { Cipher } from '../../src/records/cipher.ts'
import { Records } from '../../src/records/connection.ts'
import { startTestPostgres } from './postgres.ts'

/**
 * Where a run of the tests has its databases with all tables and no rows, of which each file's stores are copies:
 * making one anew takes seconds of processor time, a copy a tenth of it.
 */
const PLACE = 'CALLHALF_TEST_STORE_TEMPLATES'
const TEMPLATE = 'template_of_tests'

type Place = { readonly folder: string; readonly serverUrl: string }

/** Makes the templates, with a PostgreSQL for the whole run; the returned function removes both. */
export async function makeStoreTemplates(): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'callhalf-templates-'))
  const postgres = await startTestPostgres()
  const serverUrl = await postgres.createDatabase()
  const templateUrl = databaseOf(serverUrl, TEMPLATE)
  await query(serverUrl, `create database ${TEMPLATE}`)
  await Promise.all([migrate({ dataDir: folder }), migrate({ dataDir: folder, databaseUrl: templateUrl })])
  const place: Place = { folder, serverUrl }
  process.env[PLACE] = JSON.stringify(place)
  return async () => {
    await postgres.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

/** Puts a copy of the embedded database into a data folder, if there is a template; otherwise it is made there anew. */
export async function copyEmbeddedTemplate(dataDir: string): Promise<void> {
  const place = readPlace()
  if (place !== undefined) await cp(join(place.folder, 'pglite'), join(dataDir, 'pglite'), { recursive: true })
}

/** A copy of the template on the PostgreSQL of the run; undefined when there is none, as outside the test runner. */
export async function copyServerTemplate(): Promise<{ readonly url: string; drop(): Promise<void> } | undefined> {
  const place = readPlace()
  if (place === undefined) return undefined
  const name = `test_${randomUUID().replaceAll('-', '')}`
  await query(place.serverUrl, `create database ${name} template ${TEMPLATE}`)
  return {
    url: databaseOf(place.serverUrl, name),
    drop: () => query(place.serverUrl, `drop database ${name} with (force)`),
  }
}

function readPlace(): Place | undefined {
  const text = process.env[PLACE]
  // Written by `makeStoreTemplates`, in the process that started this one.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return text === undefined ? undefined : (JSON.parse(text) as Place)
}

async function migrate(where: { readonly dataDir: string; readonly databaseUrl?: string }): Promise<void> {
  const cipher = new Cipher([Buffer.alloc(32)])
  const records = new Records({ ...where, cipher, clock: systemClock, log: silentLogger })
  await records.start()
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
