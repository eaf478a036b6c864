import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { ApiClient } from '../../src/cli/api-client.ts'
import { waitUntil } from '../webhooks/rig/wait.ts'
import type { ProbeCalls } from './probe.ts'

const PROGRAM = join(import.meta.dirname, '../../bin/callhalf.js')
const READY_TIMEOUT_MS = 90_000
const STOP_TIMEOUT_MS = 30_000

export type GatewayOptions = {
  readonly dataDir: string
  /** Where the stores are; embedded ones in the data directory when left out. */
  readonly env?: Readonly<Record<string, string>>
  readonly execArgv?: readonly string[]
}

/** The gateway as it is run in production, `callhalf serve`, with a probe in it. */
export class GatewayProcess {
  readonly url: string
  readonly adminKey: string
  /** How long it took from the start of the process until it was ready. */
  readonly startMs: number
  readonly #process: ChildProcess
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>()
  #calls = 0

  private constructor(child: ChildProcess, facts: Pick<GatewayProcess, 'url' | 'adminKey' | 'startMs'>) {
    this.#process = child
    this.url = facts.url
    this.adminKey = facts.adminKey
    this.startMs = facts.startMs
    child.on('message', (message) => this.#settle(message as Answer))
    child.once('exit', (code, signal) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`the gateway has ended (${signal ?? code})`))
      this.#waiting.clear()
    })
  }

  static async start({ dataDir, env = {}, execArgv = [] }: GatewayOptions): Promise<GatewayProcess> {
    const startedAt = performance.now()
    const probe = import.meta.resolve('./probe.ts')
    const child = spawn(process.execPath, ['--expose-gc', '--import', probe, ...execArgv, PROGRAM, 'serve'], {
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
      serialization: 'advanced',
      env: {
        PATH: process.env['PATH'],
        CALLHALF_PORT: '0',
        CALLHALF_DATA_DIR: dataDir,
        CALLHALF_ALLOW_PRIVATE_TARGETS: '127.0.0.0/8',
        CALLHALF_LOG_LEVEL: process.env['CALLHALF_LOG_LEVEL'] ?? 'error',
        ...env,
      },
    })
    try {
      const url = await readUrl(child)
      const isReady = () =>
        new ApiClient({ baseUrl: url, timeoutMs: 2_000 }).call('GET', '/readyz').then(
          () => true,
          () => false,
        )
      await waitUntil('the gateway to be ready', isReady, { timeoutMs: READY_TIMEOUT_MS })
      const adminKey = (await readFile(join(dataDir, 'admin-key'), 'utf8')).trim()
      return new GatewayProcess(child, { url, adminKey, startMs: performance.now() - startedAt })
    } catch (error) {
      child.kill('SIGKILL')
      throw error
    }
  }

  get pid(): number {
    return this.#process.pid ?? 0
  }

  get admin(): ApiClient {
    return new ApiClient({ baseUrl: this.url, key: this.adminKey, timeoutMs: 60_000 })
  }

  /** Asks the probe. */
  ask<Name extends keyof ProbeCalls>(
    name: Name,
    ...[argument]: Parameters<ProbeCalls[Name]>
  ): Promise<Awaited<ReturnType<ProbeCalls[Name]>>> {
    const id = ++this.#calls
    const waiting = Promise.withResolvers<unknown>()
    this.#waiting.set(id, waiting)
    if (!this.#process.connected) return Promise.reject(new Error('the gateway has ended'))
    this.#process.send({ id, name, argument })
    return waiting.promise as Promise<Awaited<ReturnType<ProbeCalls[Name]>>>
  }

  /** Stops it as an operator would, or after half a minute by force. */
  async end(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const exited = once(this.#process, 'exit')
    this.#process.kill('SIGTERM')
    const force = delay(STOP_TIMEOUT_MS, undefined, { ref: false }).then(() => this.#process.kill('SIGKILL'))
    await Promise.race([exited, force.then(() => exited)])
  }

  #settle({ id, result, error }: Answer): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (error === undefined) waiting?.resolve(result)
    else waiting?.reject(new Error(error))
  }
}

type Answer = { readonly id: number; readonly result?: unknown; readonly error?: string }

async function readUrl(child: ChildProcess): Promise<string> {
  const { stdout } = child
  if (stdout === null) throw new Error('the gateway has no output')
  for await (const line of createInterface({ input: stdout })) {
    const url = /^Callhalf listens on (http:\/\/\S+)/.exec(line)?.[1]
    if (url === undefined) continue
    stdout.resume()
    return url
  }
  throw new Error('the gateway did not start')
}
