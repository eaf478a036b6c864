import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ApiClient } from '../../src/cli/api-client.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { formatPosition } from '../../src/core/position.ts'
import type { Gateway } from '../../src/gateway.ts'
import type { LedgerEntry } from '../../src/simulator/ledger.ts'
import { Simulator } from '../../src/simulator/simulator.ts'
import { startGateway } from './installation.ts'
import { openTestDatabase, type TestDatabase } from './records.ts'
import type { ReceivedFrame } from './stream-client.ts'
import { StreamClient } from './stream-client.ts'
import { until } from './until.ts'
import { WebhookReceiver } from './webhook-receiver.ts'

const CREDENTIALS = { username: 'admin@example.net', password: 'correct horse' }
/** Longer than any instance is away. */
const FOLLOW_TIMEOUT_MS = 120_000
const ADMIN_KEY = 'an-admin-key-of-tests'
const ALL_ROLES = 'http,channels,webhooks'

/** Fails when one position is ever seen with two contents, on whatever way. */
class Witness {
  readonly epochs = new Set<string>()
  readonly #contents = new Map<string, string>()
  readonly contradictions: string[] = []

  saw(position: string, content: object): void {
    this.epochs.add(position.slice(0, position.indexOf(':')))
    // The order of the fields is no content.
    const text = JSON.stringify(Object.entries(content).toSorted(([a], [b]) => (a < b ? -1 : 1)))
    const known = this.#contents.get(position)
    if (known !== undefined && known !== text) this.contradictions.push(`${position}: ${known} and ${text}`)
    this.#contents.set(position, text)
  }

  get size(): number {
    return this.#contents.size
  }
}

type Channel = { readonly node: string; readonly state: string; readonly role?: string }

/** Several gateways in this process on one Redis and one PostgreSQL, beside a simulator with two nodes. */
export class Cluster implements AsyncDisposable {
  readonly simulator: Simulator
  readonly gateways: readonly Gateway[]
  readonly receiver = new WebhookReceiver()
  readonly witness = new Witness()
  readonly users: readonly string[]
  /** Every frame of every stream client, and whose it is, in the order of arrival. */
  readonly frames: (ReceivedFrame & { readonly instance: number })[] = []
  readonly #database: TestDatabase
  readonly #dataDirs: readonly string[]
  readonly #clients: StreamClient[] = []
  /** Those of `gateways` that serve the API. */
  readonly #serving: readonly number[]
  networkId = ''
  appId = ''
  #apiKey = ''
  #isClosing = false

  private constructor(options: {
    readonly simulator: Simulator
    readonly database: TestDatabase
    readonly gateways: readonly Gateway[]
    readonly dataDirs: readonly string[]
    readonly users: readonly string[]
    readonly serving: readonly number[]
  }) {
    this.simulator = options.simulator
    this.#database = options.database
    this.gateways = options.gateways
    this.#dataDirs = options.dataDirs
    this.users = options.users
    this.#serving = options.serving
  }

  static async start(options: {
    readonly redisUrl: string
    /** How many, each with all roles; or the roles of each, of which the first serves the API. */
    readonly instances: number | readonly string[]
    readonly users?: number
  }): Promise<Cluster> {
    const simulator = new Simulator({
      ports: [0, 0],
      controlPort: 0,
      ...CREDENTIALS,
      log: silentLogger,
      settings: { noAnswerMs: 600_000, ackTimeoutMs: 1_500 },
    })
    await simulator.start()
    const database = await openTestDatabase('nothing')
    const gateways: Gateway[] = []
    const dataDirs: string[] = []
    const { instances } = options
    const roles = typeof instances === 'number' ? Array.from({ length: instances }, () => ALL_ROLES) : instances
    for (const role of roles) {
      const dataDir = await mkdtemp(join(tmpdir(), 'callhalf-cluster-'))
      dataDirs.push(dataDir)
      gateways.push(
        await startGateway(dataDir, {
          REDIS_URL: options.redisUrl,
          DATABASE_URL: database.url,
          CALLHALF_ADMIN_KEY: ADMIN_KEY,
          CALLHALF_ROLES: role,
          CALLHALF_SECRET_KEY: Buffer.alloc(32, 9).toString('base64'),
          CALLHALF_LOG_LEVEL: process.env['CALLHALF_TEST_LOG'] ?? 'silent',
        }),
      )
    }
    const users = Array.from({ length: options.users ?? 10 }, (_, index) => `user${index + 1}@example.net`)
    const serving = [...roles.keys()].filter((index) => roles[index]?.includes('http'))
    const cluster = new Cluster({ simulator, database, gateways, dataDirs, users, serving })
    await cluster.#setUp()
    return cluster
  }

  get control(): ApiClient {
    return new ApiClient({ baseUrl: this.simulator.controlUrl })
  }

  /** The app, as a client of one instance. */
  asApp(instance: number): ApiClient {
    return new ApiClient({ baseUrl: this.gateways[instance]?.url ?? '', key: this.#apiKey, timeoutMs: 5_000 })
  }

  asAdmin(instance: number): ApiClient {
    return new ApiClient({ baseUrl: this.gateways[instance]?.url ?? '', key: ADMIN_KEY, timeoutMs: 5_000 })
  }

  /** An instance's own view of the network's channels. */
  async channels(instance: number): Promise<readonly Channel[]> {
    const { body } = await this.asAdmin(instance).call('GET', `/admin/networks/${this.networkId}/channels`)
    return (body as { channels: readonly Channel[] }).channels
  }

  /**
   * Both nodes have an open channel of an owner and one of a standby, as far as the instances say so that serve the
   * API, and every subscriber is confirmed.
   */
  async untilHotStandby(timeoutMs = 40_000): Promise<void> {
    await until(
      'an owner and a standby for each node',
      async () => {
        if (this.#serving.length < this.gateways.length) return true
        const views = await Promise.all(this.#serving.map((index) => this.channels(index).catch(() => [])))
        const open = views.flat().filter(({ state }) => state === 'open')
        const of = (role: string) => new Set(open.filter((channel) => channel.role === role).map(({ node }) => node))
        return of('owner').size === 2 && (this.gateways.length === 1 || of('standby').size === 2)
      },
      timeoutMs,
    )
    await until(
      'every subscriber to be confirmed',
      async () => {
        const { body } = await this.asAdmin(0).call('GET', `/admin/networks/${this.networkId}/channels`)
        return (body as { subscriptions: { active: number } }).subscriptions.active === this.users.length
      },
      timeoutMs,
    )
  }

  /** The calls as an instance lists them; undefined while it cannot. */
  async calls(
    instance: number,
  ): Promise<readonly { readonly call_id: string; readonly stale?: boolean }[] | undefined> {
    try {
      const { body } = await this.asApp(instance).call('GET', `/apps/${this.appId}/calls`)
      return body as { call_id: string; stale?: boolean }[]
    } catch {
      return undefined
    }
  }

  async ring(userId: string): Promise<string> {
    const { body } = await this.control.call('POST', `/users/${encodeURIComponent(userId)}/incoming-calls`, {
      from: '+15550199000',
    })
    return (body as { call_id: string }).call_id
  }

  async hangUp(callId: string): Promise<void> {
    await this.control.call('POST', `/calls/${encodeURIComponent(callId)}/remote/hangup`)
  }

  /** What the app was told of a call by webhook: the states, each once, in order of their numbers. */
  statesByWebhook(callId: string): readonly string[] {
    const states = new Map<number, string>()
    for (const { body } of this.receiver.received) {
      const payload = JSON.parse(body) as { call_id?: string; state?: string; sequence_number?: string }
      if (payload.call_id === callId) states.set(Number(payload.sequence_number), String(payload.state))
    }
    return [...states].toSorted(([a], [b]) => a - b).map(([, state]) => state)
  }

  /** Everything that the network made of a call, and how each event was answered last. */
  async eventsOf(callId: string): Promise<readonly LedgerEntry[]> {
    const { body } = await this.control.call('GET', '/ledger?limit=100000')
    return (body as { entries: LedgerEntry[] }).entries.filter(({ call_id: id }) => id === callId)
  }

  /** A stream of an instance, not subscribed yet. */
  openStream(instance: number): Promise<StreamClient> {
    return StreamClient.open(`${this.gateways[instance]?.url}/apps/${this.appId}/stream`, { key: this.#apiKey })
  }

  /** Follows the stream of an instance through reconnects, resuming after the last position. */
  follow(instance: number): void {
    void this.#follow(instance).catch(() => undefined) // ends with the cluster
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosing = true
    for (const client of this.#clients) client.socket.terminate()
    await Promise.all(this.gateways.map((gateway) => gateway.stop().catch(() => undefined)))
    await this.simulator.stop(AbortSignal.timeout(5_000))
    await this.receiver.stop()
    await this.#database.close()
    for (const dataDir of this.#dataDirs) await rm(dataDir, { recursive: true, force: true })
  }

  async #follow(instance: number): Promise<void> {
    let last: ReceivedFrame['position'] | undefined
    while (!this.#isClosing) {
      const client = await until(
        `instance ${instance} to take a stream`,
        async () => (this.#isClosing ? 'closing' : await this.openStream(instance).catch(() => undefined)),
        FOLLOW_TIMEOUT_MS,
      )
      if (client === 'closing') return
      this.#clients.push(client)
      client.onFrame = (frame) => {
        this.frames.push({ ...frame, instance })
        if (frame.position !== undefined && frame.type !== 'ping') last = frame.position
        if (frame.type === 'event' && frame.position !== undefined && frame.data !== undefined) {
          this.witness.saw(formatPosition(frame.position), frame.data)
        }
      }
      client.subscribe(last ?? null)
      await client.closed
    }
  }

  async #setUp(): Promise<void> {
    const admin = this.asAdmin(0)
    await this.receiver.start()
    this.receiver.answer((res, { headers, body }) => {
      this.witness.saw(String(headers['callhalf-position']), JSON.parse(body) as object)
      res.writeHead(200).end()
    })
    for (const [index, userId] of this.users.entries()) {
      await this.control.call('POST', '/users', { user_id: userId, number: `+1555010${String(1_000 + index)}` })
    }
    const { body: network } = await admin.call('POST', '/admin/networks', {
      name: 'lab',
      adapter: 'broadsoft',
      config: { xsp: this.simulator.xspUrls, ...CREDENTIALS, subscribe: 'user' },
    })
    const { body: app } = await admin.call('POST', '/admin/apps', { name: 'crm' })
    this.networkId = (network as { network_id: string }).network_id
    this.appId = (app as { app_id: string }).app_id
    this.#apiKey = (app as { api_key: string }).api_key
    for (const [index, userId] of this.users.entries()) {
      await admin.call('PUT', `/admin/apps/${this.appId}/subscribers/${encodeURIComponent(userId)}`, {
        network_id: this.networkId,
        subscriber_number: `+1555010${String(1_000 + index)}`,
      })
    }
    await this.asApp(0).call('POST', `/apps/${this.appId}/webhooks`, { url: `${this.receiver.url}/events` })
    await this.untilHotStandby()
    for (const index of this.#serving) this.follow(index)
    await until('the streams to be open', () =>
      this.frames.filter(({ type }) => type === 'subscribed').length === this.#serving.length ? true : undefined,
    )
  }
}
