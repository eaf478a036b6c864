import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chown, mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from 'pg'
import { isExecutable, libraryPathOf } from '../../src/state/unpacked.ts'
import { until } from './until.ts'

const UNPACKED = join(import.meta.dirname, '../../.callhalf/debian')
const SUPERUSER = 'callhalf'

/** A PostgreSQL cluster of this test file's own; stop it in `afterAll`. */
export type TestPostgres = {
  /** The version as the server says it, `15.18 …`. */
  readonly version: string
  /** Makes an empty database and returns its URL. */
  createDatabase(): Promise<string>
  stop(): Promise<void>
}

/**
 * Makes a cluster in a temporary folder and starts it on a unix socket there. PostgreSQL refuses to run
 * as root, so root runs it as `postgres` or `nobody`. Fails with what to install when there is none.
 */
export async function startTestPostgres(): Promise<TestPostgres> {
  const bin = await findPostgres()
  const folder = await mkdtemp(join(tmpdir(), 'callhalf-pg-'))
  const user = await unprivilegedUser()
  if (user !== undefined) await chown(folder, user.uid, user.gid)
  const data = join(folder, 'data')
  const libraries = bin.startsWith(UNPACKED) ? { LD_LIBRARY_PATH: await libraryPathOf(UNPACKED) } : {}
  const env = { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8', ...libraries }
  const initdb = asUser(user, join(bin, 'initdb'), [
    '-D',
    data,
    '-U',
    SUPERUSER,
    '-A',
    'trust',
    '-E',
    'UTF8',
    '--no-sync',
  ])
  await promisify(execFile)(initdb.command, initdb.args, { cwd: folder, env, timeout: 60_000 })
  // A test's cluster need not survive the machine: no fsync. `-k` and no address: nothing but the socket.
  const settings = ['fsync=off', 'full_page_writes=off', 'max_connections=300', 'listen_addresses=']
  const args = ['-D', data, '-k', folder, ...settings.flatMap((setting) => ['-c', setting])]
  const postgres = asUser(user, join(bin, 'postgres'), args)
  const child = spawn(postgres.command, postgres.args, { cwd: folder, env, stdio: ['ignore', 'ignore', 'pipe'] })
  const output: string[] = []
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.push(text)
    if (output.length > 50) output.shift()
  })
  const query = (text: string) => runQuery(urlOf(folder, 'postgres'), text)
  let databases = 0
  try {
    const version = await until('PostgreSQL to answer', async () => {
      if (hasEnded(child)) throw new Error(`PostgreSQL ended:\n${output.join('')}`)
      return query('show server_version').catch(() => undefined)
    })
    return {
      version,
      async createDatabase() {
        databases += 1
        await query(`create database test_${databases}`)
        return urlOf(folder, `test_${databases}`)
      },
      stop: () => stopCluster(child, folder),
    }
  } catch (error) {
    await stopCluster(child, folder)
    throw error
  }
}

async function stopCluster(child: ChildProcess, folder: string): Promise<void> {
  if (!hasEnded(child)) {
    const exited = once(child, 'exit')
    // SIGINT is PostgreSQL's fast shutdown: it does not wait for clients.
    child.kill('SIGINT')
    await exited
  }
  await rm(folder, { recursive: true, force: true })
}

const hasEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null

async function runQuery(url: string, text: string): Promise<string> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 2_000 })
  client.on('error', () => undefined)
  await client.connect()
  try {
    const { rows } = await client.query<Record<string, unknown>>(text)
    return String(Object.values(rows[0] ?? {})[0])
  } finally {
    await client.end()
  }
}

const urlOf = (folder: string, database: string): string =>
  `postgres://${SUPERUSER}@localhost/${database}?host=${encodeURIComponent(folder)}`

/** The folder of the newest PostgreSQL: Debian's, unpacked by `npm run provide`, or on the PATH. */
async function findPostgres(): Promise<string> {
  const roots = ['/usr/lib/postgresql', join(UNPACKED, 'usr/lib/postgresql')]
  const found = await Promise.all(
    roots.map(async (root) => {
      const versions = await readdir(root).catch(() => [])
      return versions.toSorted((a, b) => Number(b) - Number(a)).map((version) => join(root, version, 'bin'))
    }),
  )
  const folders = [...found.flat(), ...(process.env['PATH'] ?? '').split(delimiter)]
  const bin = folders.find((folder) => isExecutable(join(folder, 'initdb')) && isExecutable(join(folder, 'postgres')))
  if (bin !== undefined) return bin
  throw new Error('These tests need PostgreSQL 15 or later: `npm run provide -- postgres` installs or unpacks it.')
}

type SystemUser = { readonly uid: number; readonly gid: number }

/** Whom to run PostgreSQL as: undefined for ourselves. */
async function unprivilegedUser(): Promise<SystemUser | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const passwd = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'))
  const line = ['postgres', 'nobody'].map((name) => passwd.find((fields) => fields[0] === name)).find(Boolean)
  if (line === undefined) throw new Error('PostgreSQL does not run as root, and there is no user postgres or nobody.')
  return { uid: Number(line[2]), gid: Number(line[3]) }
}

/** Through setpriv where there is one, which also ends the server when this process is killed. */
function asUser(
  user: SystemUser | undefined,
  program: string,
  args: readonly string[],
): { readonly command: string; readonly args: readonly string[] } {
  const setpriv = ['/usr/bin/setpriv', '/bin/setpriv'].find(isExecutable)
  if (setpriv === undefined) {
    if (user !== undefined) throw new Error('Running PostgreSQL from root needs setpriv (Debian: util-linux).')
    return { command: program, args }
  }
  const identity = user === undefined ? [] : [`--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups']
  return { command: setpriv, args: [...identity, '--pdeathsig', 'INT', program, ...args] }
}
