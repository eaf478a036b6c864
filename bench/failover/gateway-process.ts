import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { ApiClient } from '../../src/cli/api-client.ts'
import { waitUntil } from '../webhooks/rig/wait.ts'

/** What all instances share. */
export type Shared = {
  readonly redisUrl: string
  readonly databaseUrl: string
  readonly adminKey: string
  readonly secretKey: string
}

export type ChannelState = { readonly node: string; readonly state: string; readonly role?: string }

const READY_TIMEOUT_MS = 60_000

/** One gateway process of several; keeps its port through restarts. */
export class GatewayProcess {
  readonly name: string
  readonly #shared: Shared
  readonly #dataDir: string
  #child: ChildProcess | undefined
  #port = 0

  private constructor(name: string, shared: Shared, dataDir: string) {
    this.name = name
    this.#shared = shared
    this.#dataDir = dataDir
  }

  static async start(name: string, shared: Shared): Promise<GatewayProcess> {
    const gateway = new GatewayProcess(name, shared, await mkdtemp(join(tmpdir(), `callhalf-${name}-`)))
    await gateway.launch()
    return gateway
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  get admin(): ApiClient {
    return new ApiClient({ baseUrl: this.url, key: this.#shared.adminKey, timeoutMs: 5_000 })
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  async launch(): Promise<void> {
    const { redisUrl, databaseUrl, adminKey, secretKey } = this.#shared
    const child = spawn(process.execPath, [join(import.meta.dirname, '../../bin/callhalf.js'), 'serve'], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: {
        PATH: process.env['PATH'],
        CALLHALF_PORT: String(this.#port),
        CALLHALF_DATA_DIR: this.#dataDir,
        CALLHALF_ADMIN_KEY: adminKey,
        CALLHALF_SECRET_KEY: secretKey,
        CALLHALF_ALLOW_PRIVATE_TARGETS: '127.0.0.0/8',
        CALLHALF_LOG_LEVEL: process.env['CALLHALF_LOG_LEVEL'] ?? 'error',
        REDIS_URL: redisUrl,
        DATABASE_URL: databaseUrl,
      },
    })
    this.#child = child
    for await (const line of createInterface({ input: child.stdout })) {
      const port = /^Callhalf listens on http:\/\/[^:]+:(\d+)/.exec(line)?.[1]
      if (port === undefined) continue
      this.#port = Number(port)
      child.stdout.resume()
      break
    }
    if (this.#port === 0) throw new Error(`${this.name} did not start`)
    await waitUntil(`${this.name} to be ready`, () => this.#isReady(), { timeoutMs: READY_TIMEOUT_MS })
  }

  /** Sends a signal to the process; SIGKILL and SIGTERM are waited for. */
  async signal(signal: 'SIGKILL' | 'SIGTERM' | 'SIGSTOP' | 'SIGCONT'): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = signal === 'SIGKILL' || signal === 'SIGTERM' ? once(child, 'exit') : undefined
    child.kill(signal)
    await exited
  }

  async stop(): Promise<void> {
    await this.signal('SIGCONT')
    await this.signal('SIGTERM')
    await rm(this.#dataDir, { recursive: true, force: true })
  }

  /** Its own view of a network's channels; undefined while it cannot be asked. */
  async channels(networkId: string): Promise<readonly ChannelState[] | undefined> {
    try {
      const { body } = await this.admin.call('GET', `/admin/networks/${networkId}/channels`)
      return (body as { channels: readonly ChannelState[] }).channels
    } catch {
      return undefined
    }
  }

  /** The sum of a metric's values with these labels; 0 when there is none. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const response = await fetch(`${this.url}/metrics`, {
      headers: { authorization: `Bearer ${this.#shared.adminKey}` },
      signal: AbortSignal.timeout(5_000),
    })
    let sum = 0
    for (const line of (await response.text()).split('\n')) {
      const [, found, text = '', value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? []
      const hasLabels = Object.entries(labels).every(([label, wanted]) => text.includes(`${label}="${wanted}"`))
      if (found === name && hasLabels) sum += Number(value)
    }
    return sum
  }

  async #isReady(): Promise<boolean> {
    try {
      await new ApiClient({ baseUrl: this.url, timeoutMs: 2_000 }).call('GET', '/readyz')
      return true
    } catch {
      return false
    }
  }
}
