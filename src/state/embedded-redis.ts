import { spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { lstat, mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { GatewayError } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import type { Service } from '../core/service.ts'
import { isExecutable, libraryPathOf } from './unpacked.ts'

const BINARY_NAMES = ['redis-server', 'valkey-server']
const USUAL_FOLDERS = ['/usr/bin', '/usr/local/bin', '/opt/homebrew/bin']
const START_TIMEOUT_MS = 20_000
/** For replaying a large append-only file. */
const LOADING_TIMEOUT_MS = 600_000
const STOP_TIMEOUT_MS = 10_000
const PROBE_TIMEOUT_MS = 2_000
const WATCH_MS = 250
const RESTART_WAIT_MAX_MS = 5_000
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
export type RedisBinary = { readonly path: string; readonly loadPath?: string }

/**
 * The gateway's own redis-server: private unix socket, append-only file, started and stopped with the
 * gateway, and started again should it die. If the process is killed the server ends too (Linux, through
 * setpriv); one that still runs on the same folder is used as it is, since two on one append-only file
 * would destroy it.
 */
export class EmbeddedRedis implements Service {
  readonly name = 'embedded-redis'
  readonly socketPath: string
  readonly #options: EmbeddedRedisOptions
  readonly #dataDir: string
  #child: ChildProcess | undefined
  #stopping = new AbortController()
  #watching: Promise<void> = Promise.resolve()

  constructor(options: EmbeddedRedisOptions) {
    this.#options = options
    this.#dataDir = resolve(options.dataDir)
    this.socketPath = socketPathFor(this.#dataDir)
  }

  async start(): Promise<void> {
    await mkdir(this.#dataDir, { recursive: true, mode: 0o700 })
    await makePrivate(dirname(this.socketPath))
    this.#stopping = new AbortController()
    await this.#ensure()
    this.#watching = this.#watch(this.#stopping.signal)
  }

  async stop(deadline: AbortSignal): Promise<void> {
    this.#stopping.abort()
    await this.#watching
    await this.#end(deadline)
  }

  /** Leaves a server that answers, ours or one that was running. */
  async #ensure(): Promise<void> {
    const { log } = this.#options
    if ((await this.#untilSettled(() => undefined)) === 'ready') {
      log.info({ socket: this.socketPath }, 'adopted a running embedded redis')
      return
    }
    const binary = await findRedis(this.#options)
    if (binary === undefined) throw new GatewayError('store_unavailable', { detail: NO_REDIS })
    const output: string[] = []
    const child = this.#launch(binary, output)
    if ((await this.#untilSettled(() => child)) === 'ready') {
      log.info({ binary: binary.path, pid: child.pid, socket: this.socketPath }, 'embedded redis started')
      return
    }
    await this.#end(AbortSignal.timeout(STOP_TIMEOUT_MS))
    const said = output.join('').trim().slice(-400)
    throw new GatewayError('store_unavailable', { detail: `redis-server (${binary.path}) did not start: ${said}` })
  }

  #launch(binary: RedisBinary, output: string[]): ChildProcess {
    const child = spawnServer(binary)
    this.#child = child
    // A program that cannot be run at all says so here, and shows as exited to whoever waits for it.
    child.once('error', (error) => keepTail(output, error.message))
    child.stdout?.setEncoding('utf8').on('data', (text: string) => keepTail(output, text))
    child.stderr?.setEncoding('utf8').on('data', (text: string) => keepTail(output, text))
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(serverConfig(this.#dataDir, this.socketPath, this.#options.hz ?? 100))
    return child
  }

  /**
   * Waits while a server replays its append-only file (it answers LOADING), and, if there is a child, for
   * it to begin to listen or to end. One that is still loading is never taken for absent: a second server on
   * its file would destroy it.
   */
  async #untilSettled(childOf: () => ChildProcess | undefined): Promise<'ready' | 'absent'> {
    const startedAt = performance.now()
    for (;;) {
      const answer = await probe(this.socketPath)
      if (answer === 'ready') return answer
      const waitedMs = performance.now() - startedAt
      if (answer === 'loading' && waitedMs > LOADING_TIMEOUT_MS) {
        throw new GatewayError('store_unavailable', { detail: `redis-server is still loading ${this.#dataDir}` })
      }
      const child = childOf()
      const isComing = child !== undefined && isRunning(child) && waitedMs <= START_TIMEOUT_MS
      if (answer === 'absent' && !isComing) return 'absent'
      await delay(15)
    }
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { log } = this.#options
    for (let failures = 0; ;) {
      try {
        await delay(Math.min(WATCH_MS * (1 + failures), RESTART_WAIT_MAX_MS), undefined, { signal })
      } catch {
        return
      }
      const child = this.#child
      const isWell = child === undefined ? (await probe(this.socketPath)) !== 'absent' : isRunning(child)
      // Nobody can reach a server whose socket was removed, though it runs.
      if (isWell && existsSync(this.socketPath)) continue
      log.error({ failures }, 'embedded redis ended or lost its socket; starting it again')
      try {
        await this.#end(AbortSignal.timeout(STOP_TIMEOUT_MS))
        await this.#ensure()
        failures = 0
      } catch (error) {
        failures += 1
        log.error({ err: error, failures }, 'embedded redis could not be started again')
      }
    }
  }

  async #end(deadline: AbortSignal): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || !isRunning(child)) return
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    const forced = AbortSignal.any([deadline, AbortSignal.timeout(STOP_TIMEOUT_MS)])
    const force = () => child.kill('SIGKILL')
    forced.addEventListener('abort', force, { once: true })
    if (forced.aborted) force()
    await exited
    forced.removeEventListener('abort', force)
  }
}

const isRunning = (child: ChildProcess): boolean =>
  child.pid !== undefined && child.exitCode === null && child.signalCode === null

const NO_REDIS =
  'No redis-server was found. Install one (Debian: apt-get install redis-server; macOS: brew install redis), ' +
  'run `npm run provide` to unpack one into this project without root, or set REDIS_URL.'

/** The redis-server to use: on the search path, in the usual folders, or unpacked by the set-up script. */
async function findRedis(
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
  return { path, loadPath: await libraryPathOf(where.unpackedDir) }
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
    env: binary.loadPath === undefined ? {} : { LD_LIBRARY_PATH: binary.loadPath },
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
    // A clock is read and a histogram kept for each command of each script; nobody reads them.
    'latency-tracking no',
    'daemonize no',
    '',
  ].join('\n')

function socketPathFor(dataDir: string): string {
  const path = join(dataDir, 'redis.sock')
  if (Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX) return path
  const name = createHash('sha256').update(dataDir).digest('hex').slice(0, 16)
  return join(tmpdir(), `callhalf-${name}`, 'redis.sock')
}

/**
 * Makes the socket's folder and sees that it is ours alone: in a folder that others can write to, somebody
 * could put a server of theirs in our place.
 */
async function makePrivate(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const found = await lstat(folder)
  const isOurs = process.getuid === undefined || found.uid === process.getuid()
  if (found.isDirectory() && isOurs && (found.mode & 0o022) === 0) return
  throw new GatewayError('store_unavailable', {
    detail: `${folder} must belong to the gateway's user, and no one else may write to it.`,
  })
}

async function probe(socketPath: string): Promise<'ready' | 'loading' | 'absent'> {
  const client = new Redis({
    path: socketPath,
    lazyConnect: true,
    enableOfflineQueue: false,
    enableReadyCheck: false,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    connectTimeout: PROBE_TIMEOUT_MS,
    commandTimeout: PROBE_TIMEOUT_MS,
  })
  client.on('error', () => undefined)
  try {
    await client.connect()
    await client.ping()
    return 'ready'
  } catch (error) {
    return error instanceof Error && error.message.startsWith('LOADING') ? 'loading' : 'absent'
  } finally {
    client.disconnect()
  }
}

function keepTail(lines: string[], text: string): void {
  lines.push(text)
  while (lines.length > 20) lines.shift()
}
