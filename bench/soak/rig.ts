import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { ApiClient } from '../../src/cli/api-client.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { Simulator } from '../../src/simulator/simulator.ts'
import type { LedgerEntry } from './compare.ts'
import { RecordingApp } from './recording-app.ts'

const CREDENTIALS = { username: 'admin@soak.example.net', password: 'soak-secret' }
const READY_TIMEOUT_MS = 60_000
const QUIET_MS = 3_000

/** Simulator, recording app and a gateway process on embedded stores, wired up through public APIs. */
export class Rig {
  readonly app = new RecordingApp()
  readonly #simulator: Simulator
  readonly #dataDir: string
  readonly #say: (line: string) => void
  readonly #env: Readonly<Record<string, string>>
  readonly #network: Readonly<Record<string, unknown>>
  #gateway: ChildProcess | undefined
  #port = 0
  #appId = ''
  #apiKey = ''
  #users: readonly string[] = []

  private constructor(options: {
    readonly simulator: Simulator
    readonly dataDir: string
    readonly say: (line: string) => void
    readonly env: Readonly<Record<string, string>>
    readonly network: Readonly<Record<string, unknown>>
  }) {
    this.#simulator = options.simulator
    this.#dataDir = options.dataDir
    this.#say = options.say
    this.#env = options.env
    this.#network = options.network
  }

  /** `env` are settings of the gateway, `network` of its network, besides the rig's own. */
  static async start(options: {
    readonly users: number
    readonly say: (line: string) => void
    readonly env?: Readonly<Record<string, string>>
    readonly network?: Readonly<Record<string, unknown>>
  }): Promise<Rig> {
    const simulator = new Simulator({ ports: [0, 0], controlPort: 0, ...CREDENTIALS, log: silentLogger })
    await simulator.start()
    const dataDir = await mkdtemp(join(tmpdir(), 'callhalf-soak-'))
    const { say, env = {}, network = {} } = options
    const rig = new Rig({ simulator, dataDir, say, env, network })
    try {
      await rig.#startGateway()
      await rig.#setUp(options.users)
    } catch (error) {
      await rig.stop()
      throw error
    }
    return rig
  }

  async stop(): Promise<void> {
    await this.app.close()
    const gateway = this.#gateway
    if (gateway !== undefined && gateway.exitCode === null && gateway.signalCode === null) {
      const exited = once(gateway, 'exit')
      gateway.kill('SIGTERM')
      await Promise.race([exited, delay(30_000).then(() => gateway.kill('SIGKILL'))])
    }
    await this.#simulator.stop(AbortSignal.timeout(5_000))
    await rm(this.#dataDir, { recursive: true, force: true })
  }

  async startLoad(load: {
    readonly callsPerSecond: number
    readonly seconds: number
    readonly callMs?: number
  }): Promise<string> {
    const { body } = await this.control.call('POST', '/load', {
      calls_per_second: load.callsPerSecond,
      seconds: load.seconds,
      call_ms: load.callMs ?? 2_000,
    })
    return (body as { load_id: string }).load_id
  }

  async untilLoadIsDone(loadId: string): Promise<void> {
    const isDone = async () => {
      const { body } = await this.control.call('GET', `/load/${loadId}`)
      return (body as { done: boolean }).done
    }
    await until(isDone, 60_000, 'the load to finish')
  }

  setFaults = (faults: Readonly<Record<string, unknown>>): Promise<unknown> =>
    this.control.call('PUT', '/faults', faults)
  clearFaults = (): Promise<unknown> => this.control.call('DELETE', '/faults')
  failover = (options: { readonly resync: boolean } = { resync: false }): Promise<unknown> =>
    this.control.call('POST', '/failover', options)

  async killAndRestartGateway(): Promise<void> {
    const gateway = this.#gateway
    if (gateway === undefined) return
    const exited = once(gateway, 'exit')
    gateway.kill('SIGKILL')
    await exited
    const startedAt = performance.now()
    await this.#startGateway()
    this.#say(`          restarted in ${(performance.now() - startedAt).toFixed(0)} ms`)
  }

  /** Ids of the calls that the network has. */
  async realCalls(): Promise<readonly string[]> {
    return callIds((await this.control.call('GET', '/calls')).body)
  }

  /** Ids of the calls that the gateway lists. */
  async listedCalls(): Promise<readonly string[]> {
    return callIds((await this.#asApp.call('GET', `/apps/${this.#appId}/calls`)).body)
  }

  /** Calls the gateway still shows after up to `withinMs`, though the simulator has none of them. */
  async ghostsAfter(withinMs: number): Promise<readonly string[]> {
    const deadline = performance.now() + withinMs
    for (;;) {
      const real = new Set(await this.realCalls())
      const shown = await this.listedCalls()
      const ghosts = shown.filter((id) => !real.has(id))
      if (ghosts.length === 0 || performance.now() > deadline) return ghosts
      await delay(250)
    }
  }

  /** Waits until nothing has arrived at the app for a while. */
  async untilQuiet(): Promise<void> {
    await until(async () => performance.now() - this.app.lastArrivalAt > QUIET_MS, 60_000, 'the app to hear no more')
  }

  async readLedger(): Promise<readonly LedgerEntry[]> {
    const entries: LedgerEntry[] = []
    for (let after = '0'; ;) {
      const { body } = await this.control.call('GET', `/ledger?limit=5000&after=${after}`)
      const page = body as { entries: LedgerEntry[]; next: number }
      entries.push(...page.entries)
      if (page.entries.length === 0) return entries
      after = String(page.next)
    }
  }

  get users(): readonly string[] {
    return this.#users
  }

  /** The simulator's control API. */
  get control(): ApiClient {
    return new ApiClient({ baseUrl: this.#simulator.controlUrl })
  }

  get #asApp(): ApiClient {
    return new ApiClient({ baseUrl: this.url, key: this.#apiKey })
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  async #startGateway(): Promise<void> {
    const gateway = spawn(process.execPath, [join(import.meta.dirname, '../../bin/callhalf.js'), 'serve'], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: {
        PATH: process.env['PATH'],
        CALLHALF_PORT: String(this.#port),
        CALLHALF_DATA_DIR: this.#dataDir,
        CALLHALF_ALLOW_PRIVATE_TARGETS: '127.0.0.0/8',
        CALLHALF_LOG_LEVEL: process.env['CALLHALF_LOG_LEVEL'] ?? 'error',
        ...this.#env,
      },
    })
    this.#gateway = gateway
    const lines = createInterface({ input: gateway.stdout })
    for await (const line of lines) {
      const port = /^Callhalf listens on http:\/\/[^:]+:(\d+)/.exec(line)?.[1]
      if (port === undefined) continue
      this.#port = Number(port)
      gateway.stdout.resume()
      break
    }
    if (this.#port === 0) throw new Error('the gateway did not start')
    await until(async () => this.#isReady(), READY_TIMEOUT_MS, 'the gateway to be ready')
  }

  async #isReady(): Promise<boolean> {
    try {
      await new ApiClient({ baseUrl: this.url, timeoutMs: 2_000 }).call('GET', '/readyz')
      return true
    } catch {
      return false
    }
  }

  async #setUp(users: number): Promise<void> {
    const adminKey = (await readFile(join(this.#dataDir, 'admin-key'), 'utf8')).trim()
    const admin = new ApiClient({ baseUrl: this.url, key: adminKey })
    this.#users = Array.from({ length: users }, (_, index) => `user${index}@soak.example.net`)
    for (const [index, userId] of this.#users.entries()) {
      await this.control.call('POST', '/users', { user_id: userId, number: `+1555${String(2_000_000 + index)}` })
    }
    const network = (
      await admin.call('POST', '/admin/networks', {
        name: 'soak',
        adapter: 'broadsoft',
        config: {
          xsp: this.#simulator.xspUrls,
          ...CREDENTIALS,
          subscribe: 'user',
          heartbeat_seconds: 1,
          ...this.#network,
        },
      })
    ).body as { network_id: string }
    const app = (await admin.call('POST', '/admin/apps', { name: 'soak' })).body as { app_id: string; api_key: string }
    this.#appId = app.app_id
    this.#apiKey = app.api_key
    const webhook = (await this.#asApp.call('POST', `/apps/${app.app_id}/webhooks`, { url: await this.app.listen() }))
      .body as { secret: string }
    this.app.trust(webhook.secret)
    for (const [index, userId] of this.#users.entries()) {
      await admin.call('PUT', `/admin/apps/${app.app_id}/subscribers/${encodeURIComponent(userId)}`, {
        network_id: network.network_id,
        subscriber_number: `+1555${String(2_000_000 + index)}`,
      })
    }
    const isCovered = async () => {
      const { body } = await admin.call('GET', `/admin/networks/${network.network_id}/channels`)
      return (body as { subscriptions: { active: number } }).subscriptions.active >= users
    }
    await until(isCovered, READY_TIMEOUT_MS, 'every user to be subscribed')
    this.app.follow([`${this.url.replace('http', 'ws')}/apps/${app.app_id}/stream`], app.api_key)
  }
}

/** The ids in a list of calls, the gateway's or the simulator's. */
const callIds = (body: unknown): string[] =>
  (Array.isArray(body) ? body : (body as { calls: unknown[] }).calls).map((call: { call_id: string }) => call.call_id)

async function until(holds: () => Promise<boolean>, timeoutMs: number, what: string): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`)
    await delay(100)
  }
}
