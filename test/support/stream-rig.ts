import { randomUUID } from 'node:crypto'
import { Hono } from 'hono'
import type { Redis } from 'ioredis'
import { Registry } from 'prom-client'
import type { Call, CallState } from '../../src/core/call.ts'
import { systemClock } from '../../src/core/clock.ts'
import type { Assignment, Directory } from '../../src/core/directory.ts'
import type { AppRef, NetworkRef } from '../../src/core/ids.ts'
import { ShardSchema, toAppId, toCallId, toNetworkId, toSubscriberId } from '../../src/core/ids.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { Authenticator } from '../../src/http/authentication.ts'
import type { HttpEnv } from '../../src/http/context.ts'
import { toProblemResponse } from '../../src/http/problem.ts'
import { HttpServer } from '../../src/http/server.ts'
import { StreamAuthenticator } from '../../src/http/stream-authentication.ts'
import { sseHandler, streamTokenHandler } from '../../src/http/stream-sse.ts'
import { RedisCalls } from '../../src/state/calls.ts'
import { StoreConnection } from '../../src/state/connection.ts'
import { RedisEventLog } from '../../src/state/event-log.ts'
import { logKey, metaKey } from '../../src/state/keys.ts'
import { StateMetrics } from '../../src/state/metrics.ts'
import { RedisStreamTokens } from '../../src/state/stream-tokens.ts'
import { Hub } from '../../src/streams/hub.ts'
import { StreamMetrics } from '../../src/streams/metrics.ts'
import type { SessionLimits } from '../../src/streams/session.ts'
import { StreamTokens } from '../../src/streams/tokens.ts'
import * as v from 'valibot'
import type { TestRedis } from './redis.ts'

const shard = v.parse(ShardSchema, 's1')
const network: NetworkRef = { networkId: toNetworkId('network-1'), shard }

/** An app of the rig: its key is `key of <name>`, its only subscriber `<name>@example.net`. */
export type RigApp = AppRef & { readonly key: string; readonly subscriberId: string }

/** Streams over real sockets and a real Redis: log, calls, tokens, hub and HTTP server, for apps of its own. */
export class StreamRig {
  readonly connection: StoreConnection
  readonly log: RedisEventLog
  readonly calls: RedisCalls
  readonly hub: Hub
  readonly server: HttpServer
  readonly tokens: StreamTokens
  readonly registry = new Registry()
  readonly web = new Hono<HttpEnv>()
  readonly #redis: Redis
  readonly #apps = new Map<string, RigApp>()
  readonly #directoryListeners = new Set<() => void>()

  constructor(redis: TestRedis, limits: Partial<SessionLimits> = {}) {
    this.#redis = redis.connect()
    // Some tests stop the server under it.
    this.#redis.on('error', () => undefined)
    this.connection = new StoreConnection({ address: { socketPath: redis.socketPath }, log: silentLogger })
    const { general, commit, subscriber } = this.connection
    const common = { clock: systemClock, random: Math.random, log: silentLogger }
    this.log = new RedisEventLog({ general, subscriber, ...common })
    this.calls = new RedisCalls({ general, commit, metrics: new StateMetrics(this.registry), ...common })
    this.tokens = new StreamTokens(new RedisStreamTokens(general))
    const directory = this.#directory()
    this.hub = new Hub({
      log: this.log,
      calls: this.calls,
      directory,
      metrics: new StreamMetrics(this.registry),
      logger: silentLogger,
      clock: systemClock,
      random: Math.random,
      limits,
    })
    const authenticator = new StreamAuthenticator({
      authenticator: new Authenticator({ apps: this.#keys(), directory, adminKey: 'admin', clock: systemClock }),
      apps: this.#keys(),
      directory,
      tokens: this.tokens,
    })
    this.#mount(authenticator)
    this.server = new HttpServer({
      fetch: this.web.fetch,
      streams: { hub: this.hub, authenticator },
      host: '127.0.0.1',
      port: 0,
      log: silentLogger,
    })
  }

  async start(): Promise<this> {
    await this.connection.start()
    await this.hub.start()
    await this.server.start()
    return this
  }

  async stop(): Promise<void> {
    await this.server.stop(AbortSignal.timeout(1_000))
    await this.hub.stop(AbortSignal.timeout(1_000))
    await this.connection.stop()
  }

  addApp(): RigApp {
    const name = randomUUID()
    const app: RigApp = { appId: toAppId(name), shard, key: `key-of-${name}`, subscriberId: `${name}@example.net` }
    this.#apps.set(name, app)
    this.#notifyDirectory()
    return app
  }

  removeApp(app: RigApp): void {
    this.#apps.delete(app.appId)
    this.#notifyDirectory()
  }

  streamUrl(app: AppRef): string {
    return `${this.server.url}/apps/${app.appId}/stream`
  }

  /** Appends an entry that holds `n`; entries of one app are told apart by it. */
  async append(app: AppRef, n: number, padding = 0): Promise<void> {
    const payload = JSON.stringify({ app_id: app.appId, n, ...(padding > 0 && { padding: 'x'.repeat(padding) }) })
    await this.log.append(app, { id: String(n), type: 'subscriber.assigned', orderKey: String(n), payload })
  }

  /** Stores a call of the app's subscriber and appends its event, in one commit. */
  async commitCall(app: RigApp, id: string, state: CallState): Promise<void> {
    const subscriberId = toSubscriberId(app.subscriberId)
    const stored = await this.calls.read(network, subscriberId)
    const now = Date.now()
    const callId = toCallId(id)
    const call: Call = {
      callId,
      state,
      direction: 'incoming',
      remoteNumber: '+15550199',
      trackingId: 'track-1',
      startedAt: 1_700_000_000_000,
    }
    const others = [...stored.state.calls.values()].filter((known) => known.call.callId !== callId)
    const live = [...others.map((known) => known.call), call].filter((known) => known.state !== 'released')
    const record = { call, upstream: { generation: 1, sequence: 1 }, incarnation: 1, changedAt: now, confirmedAt: now }
    const payload = { app_id: app.appId, subscriber_id: subscriberId, call_id: id, state }
    await this.calls.commit({
      network,
      subscriberId,
      expected: stored.version,
      head: { stale: false },
      writes: [
        {
          callId,
          record,
          restartsSequence: false,
          entry: { type: `call.${state}`, orderKey: id, payloads: [{ app, payload }] },
        },
      ],
      live: live.map((known) => known.callId),
    })
  }

  /** Makes the store take the log's data for possibly incomplete, as after a failover: a new epoch. */
  async breakEpoch(app: AppRef): Promise<void> {
    await this.#redis.hset(metaKey(app), 'replid', 'of another history')
    await this.#redis.publish('ch:{s1}:wake', app.appId)
  }

  async trim(app: AppRef, keep: number): Promise<void> {
    await this.#redis.xtrim(logKey(app), 'MAXLEN', '=', keep)
  }

  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const metric = await this.registry.getSingleMetric(name)?.get()
    const found = metric?.values.find((value) => Object.entries(labels).every(([key, of]) => value.labels[key] === of))
    return found?.value ?? 0
  }

  #mount(authenticator: StreamAuthenticator): void {
    this.web.get('/apps/:app_id/stream', sseHandler({ hub: this.hub, authenticator }))
    this.web.use('/apps/:app_id/stream-tokens', async (c, next) => {
      const authorization = c.req.header('authorization')
      c.set('appId', (await authenticator.authenticate({ appId: c.req.param('app_id'), authorization })).appId)
      await next()
    })
    this.web.post('/apps/:app_id/stream-tokens', streamTokenHandler({ tokens: this.tokens }))
    this.web.onError((error) => toProblemResponse(error, 'request-1'))
  }

  #keys() {
    return {
      authenticate: (key: string) => Promise.resolve([...this.#apps.values()].find((app) => app.key === key)?.appId),
      find: () => Promise.resolve(undefined),
    }
  }

  #directory(): Directory {
    return {
      apps: () => [...this.#apps.values()],
      app: (appId) => this.#apps.get(appId),
      network: () => network,
      assignmentsOf: () => [...this.#apps.values()].map(assignmentOf),
      assignmentsOfApp: (appId) => [...this.#apps.values()].filter((app) => app.appId === appId).map(assignmentOf),
      subscribersOf: () => [...this.#apps.values()].map((app) => toSubscriberId(app.subscriberId)),
      endpointsOf: () => [],
      onChange: (listener) => {
        this.#directoryListeners.add(listener)
        return () => this.#directoryListeners.delete(listener)
      },
    }
  }

  #notifyDirectory(): void {
    for (const listener of this.#directoryListeners) listener()
  }
}

const assignmentOf = (app: RigApp): Assignment => ({
  app,
  network,
  subscriberId: toSubscriberId(app.subscriberId),
  subscriberNumber: '+15550100',
  subscriberName: 'Ann',
})
