import { spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, constants } from 'node:fs'
import { mkdir, readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join, resolve } from 'node:path'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { GatewayError } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import type { Service } from '../core/service.ts'

const BINARY_NAMES = ['redis-server', 'valkey-server']
const USUAL_FOLDERS = ['/usr/bin', '/usr/local/bin', '/opt/homebrew/bin']
const START_TIMEOUT_MS = 20_000
const STOP_TIMEOUT_MS = 10_000
/** Linux refuses unix socket paths longer than 107 bytes (sun_path). */
const SOCKET_PATH_BYTES_MAX = 100

export type EmbeddedRedisOptions = {
  /** Where the append-only file is kept; made if missing. */
  readonly dataDir: string
  /** The environment's PATH, searched for the binary. */
  readonly searchPath: string
  /** A folder into which the set-up script may have unpacked Redis. */
  readonly unpackedDir?: string
  readonly log: Logger
  /** Folders searched after `searchPath`; the usual places unless given. */
  readonly folders?: readonly string[]
  /** Redis checks the timers of blocking reads `hz` times a second; 100 keeps delayed jobs punctual. */
  readonly hz?: number
}

/** A redis-server program and the environment it needs. */
export type RedisBinary = { readonly path: string; readonly libraryPath?: string }

/**
 * The gateway's own redis-server: private unix socket, append-only file, started and stopped with the
 * gateway. If the process is killed the server ends too (Linux, through setpriv); if one is still
 * running on the same folder it is used as it is.
 */
export class EmbeddedRedis implements Service {
  readonly name = 'embedded-redis'
  readonly socketPath: string
  readonly #options: EmbeddedRedisOptions
  #child: ChildProcess | undefined

  constructor(options: EmbeddedRedisOptions) {
    this.#options = options
    this.socketPath = socketPathFor(resolve(options.dataDir))
  }

  async start(): Promise<void> {
    await mkdir(this.#options.dataDir, { recursive: true, mode: 0o700 })
    if (await answersPing(this.socketPath)) {
      this.#options.log.info({ socket: this.socketPath }, 'adopted a running embedded redis')
      return
    }
    const binary = await findRedis(this.#options)
    if (binary === undefined) throw new GatewayError('store_unavailable', { detail: NO_REDIS })
    const child = spawnServer(binary)
    this.#child = child
    const stderr: string[] = []
    child.stdout?.setEncoding('utf8').on('data', (text: string) => keepTail(stderr, text))
    child.stderr?.setEncoding('utf8').on('data', (text: string) => keepTail(stderr, text))
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(serverConfig(resolve(this.#options.dataDir), this.socketPath, this.#options.hz ?? 100))
    try {
      await this.#untilReady(child)
    } catch (cause) {
      await this.stop(AbortSignal.timeout(STOP_TIMEOUT_MS))
      throw new GatewayError('store_unavailable', {
        detail: `redis-server (${binary.path}) did not start: ${stderr.join('').trim().slice(-400)}`,
        cause,
      })
    }
    this.#options.log.info({ binary: binary.path, pid: child.pid, socket: this.socketPath }, 'embedded redis started')
  }

  async stop(deadline: AbortSignal): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    const forced = AbortSignal.any([deadline, AbortSignal.timeout(STOP_TIMEOUT_MS)])
    const force = () => child.kill('SIGKILL')
    forced.addEventListener('abort', force, { once: true })
    if (forced.aborted) force()
    await exited
    forced.removeEventListener('abort', force)
  }

  /** Polls until PONG: a server replaying its append-only file answers LOADING first. */
  async #untilReady(child: ChildProcess): Promise<void> {
    const spawnFailure = new Promise<never>((_resolve, reject) => child.once('error', reject))
    spawnFailure.catch(() => undefined)
    const started = performance.now()
    while (performance.now() - started < START_TIMEOUT_MS) {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error('redis-server exited')
      if (await Promise.race([answersPing(this.socketPath), spawnFailure])) return
      await delay(15)
    }
    throw new Error('redis-server did not answer in time')
  }
}

const NO_REDIS =
  'No redis-server was found. Install one (Debian: apt-get install redis-server; macOS: brew install redis), ' +
  'run `npm run provide` to unpack one into this project without root, or set REDIS_URL.'

/** The redis-server to use: on the search path, in the usual folders, or unpacked by the set-up script. */
export async function findRedis(
  where: Pick<EmbeddedRedisOptions, 'searchPath' | 'folders' | 'unpackedDir'>,
): Promise<RedisBinary | undefined> {
  const onPath = where.searchPath.split(delimiter).filter((folder) => folder !== '')
  const folders = [...onPath, ...(where.folders ?? USUAL_FOLDERS)]
  for (const folder of folders) {
    for (const name of BINARY_NAMES) {
      const path = join(folder, name)
      if (isExecutable(path)) return { path }
    }
  }
  if (where.unpackedDir === undefined) return undefined
  const path = join(where.unpackedDir, 'usr/bin/redis-server')
  if (!isExecutable(path)) return undefined
  return { path, libraryPath: await libraryFolders(join(where.unpackedDir, 'usr/lib')) }
}

async function libraryFolders(root: string): Promise<string> {
  const entries = await readdir(root, { withFileTypes: true })
  return [root, ...entries.filter((entry) => entry.isDirectory()).map((entry) => join(root, entry.name))].join(':')
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** `setpriv --pdeathsig` ends the server when this process dies without having stopped it. */
function spawnServer(binary: RedisBinary): ChildProcess {
  const setpriv = process.platform === 'linux' ? ['/usr/bin/setpriv', '/bin/setpriv'].find(isExecutable) : undefined
  const command = setpriv ?? binary.path
  const args = setpriv === undefined ? ['-'] : ['--pdeathsig', 'TERM', binary.path, '-']
  // Detached: a Ctrl-C in the terminal must not reach Redis before the gateway has drained.
  return spawn(command, args, {
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
    env: binary.libraryPath === undefined ? {} : { LD_LIBRARY_PATH: binary.libraryPath },
  })
}

const serverConfig = (dir: string, socketPath: string, hz: number): string =>
  [
    'port 0',
    `unixsocket "${socketPath}"`,
    'unixsocketperm 700',
    `dir "${dir}"`,
    'appendonly yes',
    'appendfsync everysec',
    'save ""',
    'maxmemory-policy noeviction',
    `hz ${hz}`,
    'daemonize no',
    '',
  ].join('\n')

function socketPathFor(dataDir: string): string {
  const path = join(dataDir, 'redis.sock')
  if (Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX) return path
  const name = createHash('sha256').update(dataDir).digest('hex').slice(0, 16)
  return join(tmpdir(), `callhalf-${name}.sock`)
}

async function answersPing(socketPath: string): Promise<boolean> {
  const client = new Redis({
    path: socketPath,
    lazyConnect: true,
    enableOfflineQueue: false,
    enableReadyCheck: false,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    connectTimeout: 1_000,
  })
  client.on('error', () => undefined)
  try {
    await client.connect()
    return (await client.ping()) === 'PONG'
  } catch {
    return false
  } finally {
    client.disconnect()
  }
}

function keepTail(lines: string[], text: string): void {
  lines.push(text)
  while (lines.length > 20) lines.shift()
}
