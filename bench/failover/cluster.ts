import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { ApiClient } from '../../src/cli/api-client.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { Simulator } from '../../src/simulator/simulator.ts'
import { startTestPostgres, type TestPostgres } from '../../test/support/postgres.ts'
import { RedisProcess } from '../../test/support/redis-process.ts'
import type { LedgerEntry } from '../soak/compare.ts'
import { RecordingApp } from '../soak/recording-app.ts'
import { waitUntil } from '../webhooks/rig/wait.ts'
import { GatewayProcess } from './gateway-process.ts'

const CREDENTIALS = { username: 'admin@failover.example.net', password: 'failover-secret' }
const ADMIN_KEY = 'failover-bench-admin-key'
const QUIET_MS = 3_000
/** From the standby's channel opening until it knows that it has missed nothing. */
const OVERLAP_MS = 6_000

/**
 * Two gateway processes on one Redis and one PostgreSQL, a simulated BroadWorks with two nodes, and an app
 * with a webhook and a stream client on each instance.
 */
export class Cluster implements AsyncDisposable {
  readonly simulator: Simulator
  readonly redis: RedisProcess
  readonly gateways: readonly [GatewayProcess, GatewayProcess]
  /** Follows the stream of the first instance while that lives, and gets the webhooks. */
  readonly app = new RecordingApp()
  /** Follows the stream of the second instance while that lives. */
  readonly second = new RecordingApp()
  readonly #postgres: TestPostgres
  #networkId = ''
  #account = { appId: '', apiKey: '' }
  #users: readonly string[] = []

  private constructor(
    simulator: Simulator,
    stores: { readonly redis: RedisProcess; readonly postgres: TestPostgres },
    gateways: readonly [GatewayProcess, GatewayProcess],
  ) {
    this.simulator = simulator
    this.redis = stores.redis
    this.#postgres = stores.postgres
    this.gateways = gateways
  }

  static async start(users: number): Promise<Cluster> {
    const simulator = new Simulator({ ports: [0, 0], controlPort: 0, ...CREDENTIALS, log: silentLogger })
    await simulator.start()
    const postgres = await startTestPostgres()
    const redis = await RedisProcess.start()
    const shared = {
      redisUrl: redis.url,
      databaseUrl: await postgres.createDatabase(),
      adminKey: ADMIN_KEY,
      secretKey: Buffer.alloc(32, 9).toString('base64'),
    }
    // One after the other: the first one makes the tables.
    const first = await GatewayProcess.start('gateway-1', shared)
    const second = await GatewayProcess.start('gateway-2', shared)
    const cluster = new Cluster(simulator, { redis, postgres }, [first, second])
    await cluster.#setUp(users)
    return cluster
  }

  /** The app and its key. */
  get account(): { readonly appId: string; readonly apiKey: string } {
    return this.#account
  }

  get users(): readonly string[] {
    return this.#users
  }

  get control(): ApiClient {
    return new ApiClient({ baseUrl: this.simulator.controlUrl })
  }

  /** How many of the two nodes an instance owns, as it says itself. */
  async ownedBy(gateway: GatewayProcess): Promise<number> {
    const channels = (await gateway.channels(this.#networkId)) ?? []
    return channels.filter(({ role, state }) => role === 'owner' && state === 'open').length
  }

  /** Both nodes have an owner's channel on one instance and a standby's on another, and the standby has proven itself. */
  async untilHotStandby(): Promise<void> {
    await waitUntil(
      'an owner and a standby for both nodes',
      async () => {
        const views = await Promise.all(this.gateways.map((gateway) => gateway.channels(this.#networkId)))
        const open = views.flatMap((channels) => channels ?? []).filter(({ state }) => state === 'open')
        const count = (role: string) => open.filter((channel) => channel.role === role).length
        return count('owner') === 2 && count('standby') === 2
      },
      { timeoutMs: 60_000, pollMs: 200 },
    )
    await delay(OVERLAP_MS)
  }

  /** Each stream client is at its own instance again. */
  async untilClientsAreHome(): Promise<void> {
    for (const client of [this.app, this.second]) client.goHome()
    await waitUntil('the stream clients to be back', () => [this.app, this.second].every(({ isHome }) => isHome))
  }

  async startLoad(callsPerSecond: number, seconds: number): Promise<string> {
    const { body } = await this.control.call('POST', '/load', {
      calls_per_second: callsPerSecond,
      seconds,
      call_ms: 2_000,
    })
    return (body as { load_id: string }).load_id
  }

  /** Waits until every call of the load has ended, and every event is acknowledged or given up. */
  async untilLoadIsDone(loadId: string): Promise<void> {
    await waitUntil('the load to finish', async () => {
      const { body } = await this.control.call('GET', `/load/${loadId}`)
      return (body as { done: boolean }).done
    })
    await waitUntil('every event to be settled', async () => {
      const { body } = await this.control.call('GET', '/ledger/summary')
      return (body as { pending: number }).pending === 0
    })
  }

  /** Waits until nothing has arrived at the app for a while. */
  async untilQuiet(): Promise<void> {
    const isQuiet = () =>
      [this.app, this.second].every(({ lastArrivalAt }) => performance.now() - lastArrivalAt > QUIET_MS)
    await waitUntil('the app to hear no more', isQuiet)
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

  /** Which commit each subscriber's state is of: `<writer>.<its count of commits>`, by key. */
  versions(): Promise<ReadonlyMap<string, string>> {
    return this.redis.run(readVersions)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.app.close(), this.second.close()])
    await Promise.all(this.gateways.map((gateway) => gateway.stop()))
    await this.simulator.stop(AbortSignal.timeout(5_000))
    await this.redis[Symbol.asyncDispose]()
    await this.#postgres.stop()
  }

  async #setUp(users: number): Promise<void> {
    const [first, second] = this.gateways
    const { admin } = first
    this.#users = Array.from({ length: users }, (_, index) => `user${index}@failover.example.net`)
    for (const [index, userId] of this.#users.entries()) {
      await this.control.call('POST', '/users', { user_id: userId, number: `+1555${String(2_000_000 + index)}` })
    }
    const { body: network } = await admin.call('POST', '/admin/networks', {
      name: 'failover',
      adapter: 'broadsoft',
      config: { xsp: this.simulator.xspUrls, ...CREDENTIALS, subscribe: 'user' },
    })
    this.#networkId = (network as { network_id: string }).network_id
    const { body: made } = await admin.call('POST', '/admin/apps', { name: 'failover' })
    const { app_id: appId, api_key: apiKey } = made as { app_id: string; api_key: string }
    this.#account = { appId, apiKey }
    const asApp = new ApiClient({ baseUrl: first.url, key: apiKey })
    const { body: webhook } = await asApp.call('POST', `/apps/${appId}/webhooks`, { url: await this.app.listen() })
    this.app.trust((webhook as { secret: string }).secret)
    for (const [index, userId] of this.#users.entries()) {
      await admin.call('PUT', `/admin/apps/${appId}/subscribers/${encodeURIComponent(userId)}`, {
        network_id: this.#networkId,
        subscriber_number: `+1555${String(2_000_000 + index)}`,
      })
    }
    await waitUntil('every user to be subscribed', async () => {
      const { body } = await admin.call('GET', `/admin/networks/${this.#networkId}/channels`)
      return (body as { subscriptions: { active: number } }).subscriptions.active >= users
    })
    const streams = [first, second].map(({ url }) => `${url.replace('http', 'ws')}/apps/${appId}/stream`)
    this.app.follow(streams, apiKey)
    this.second.follow(streams.toReversed(), apiKey)
  }
}

async function readVersions(client: Redis): Promise<ReadonlyMap<string, string>> {
  const keys = await client.keys('ch:{main}:sub:*')
  const found = await Promise.all(keys.map(async (key) => [key, (await client.hget(key, 'v')) ?? ''] as const))
  return new Map(found)
}
