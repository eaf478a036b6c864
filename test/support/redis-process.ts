import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { Redis } from 'ioredis'
import { libraryPathOf } from '../../src/state/unpacked.ts'
import { until } from './until.ts'

const UNPACKED = join(import.meta.dirname, '../../.callhalf/debian')

/** Settings of redis-server besides the usual ones of a test. */
export type RedisSettings = Readonly<Record<string, string | number>>

/** A redis-server on a TCP port, with an append-only file; to be killed and started at will. */
export class RedisProcess implements AsyncDisposable {
  readonly port: number
  readonly #dir: string
  readonly #settings: RedisSettings
  #child: ChildProcess | undefined

  private constructor(port: number, dir: string, settings: RedisSettings) {
    this.port = port
    this.#dir = dir
    this.#settings = settings
  }

  static async start(settings: RedisSettings = {}): Promise<RedisProcess> {
    const server = new RedisProcess(await freePort(), await mkdtemp(join(tmpdir(), 'callhalf-redis-')), settings)
    await server.launch()
    return server
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  /** Starts it on the data that is there. */
  async launch(): Promise<void> {
    const { command, env } = await findServer()
    const settings = {
      port: this.port,
      bind: '127.0.0.1',
      dir: this.#dir,
      appendonly: 'yes',
      // A process that is killed loses nothing by it, only a machine would.
      appendfsync: 'everysec',
      save: '',
      'repl-diskless-sync-delay': 0,
      'enable-debug-command': 'local',
      ...this.#settings,
    }
    const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)])
    const child = spawn(command, args, { stdio: 'ignore', env })
    this.#child = child
    await until('redis-server to answer', async () => {
      if (child.exitCode !== null) throw new Error(`redis-server ended with ${child.exitCode}`)
      return this.run((client) => client.ping()).catch(() => undefined)
    })
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }

  /** SIGSTOP: its connections stay open and silent, as those of a machine that has gone. */
  pause(): void {
    this.#child?.kill('SIGSTOP')
  }

  /** SIGCONT. */
  resume(): void {
    this.#child?.kill('SIGCONT')
  }

  /** While it is not running: nothing of its data is left. */
  async wipe(): Promise<void> {
    for (const name of await readdir(this.#dir)) await rm(join(this.#dir, name), { recursive: true })
  }

  /** Runs commands on a connection of their own. */
  async run<Result>(work: (client: Redis) => Promise<Result>): Promise<Result> {
    const client = new Redis(this.url, { lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0 })
    client.on('error', () => undefined)
    try {
      await client.connect()
      return await work(client)
    } finally {
      client.disconnect()
    }
  }

  /** Follows `master` from now on; resolves when it has all of its data. */
  async follow(master: RedisProcess): Promise<void> {
    await this.run((client) => client.replicaof('127.0.0.1', master.port))
    await until('the replica to be in sync', () =>
      this.run(async (client) =>
        (await client.info('replication')).includes('master_link_status:up') ? true : undefined,
      ),
    )
  }

  /** Takes writes from now on, and hears no more of its master. */
  async promote(): Promise<void> {
    await this.run((client) => client.replicaof('NO', 'ONE'))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    await rm(this.#dir, { recursive: true, force: true })
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('the port is not known')
  return address.port
}

/** The redis-server program of this machine, or the one that was unpacked. */
export async function findServer(): Promise<{ readonly command: string; readonly env: NodeJS.ProcessEnv }> {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/bin', '/usr/local/bin', '/opt/homebrew/bin']
  const found = folders.map((folder) => join(folder, 'redis-server')).find((path) => existsSync(path))
  if (found !== undefined) return { command: found, env: {} }
  return { command: join(UNPACKED, 'usr/bin/redis-server'), env: { LD_LIBRARY_PATH: await libraryPathOf(UNPACKED) } }
}
