import { randomUUID } from 'node:crypto'
import { Hono } from 'hono'
import type { Redis } from 'ioredis'
import { Registry } from 'prom-client'
import type { Caller } from '../../src/core/app.ts'
import type { Call, CallState } from '../../src/core/call.ts'
import { systemClock } from '../../src/core/clock.ts'
import type { Assignment } from '../../src/core/directory.ts'
import type { AppRef, NetworkRef } from '../../src/core/ids.ts'
import { ShardSchema, toAppId, toCallId, toNetworkId, toSubscriberId } from '../../src/core/ids.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { Authenticator } from '../../src/http/authentication.ts'
import type { CertificateWatch } from '../../src/http/certificate.ts'
import type { HttpEnv } from '../../src/http/context.ts'
import { HttpMetrics } from '../../src/http/metrics.ts'
import { observeRequests } from '../../src/http/observe.ts'
import { operationFactory } from '../../src/http/operation.ts'
import { toProblemResponse } from '../../src/http/problem.ts'
import { addEventRoutes } from '../../src/http/routes/events.ts'
import { addStreamRoutes } from '../../src/http/routes/stream.ts'
import { HttpServer } from '../../src/http/server.ts'
import { StreamAuthenticator } from '../../src/http/stream-authentication.ts'
import { RedisCalls } from '../../src/state/calls.ts'
import { StoreConnection } from '../../src/state/connection.ts'
import { RedisEventLog } from '../../src/state/event-log.ts'
import { logKey, metaKey } from '../../src/state/keys.ts'
import { StateMetrics } from '../../src/state/metrics.ts'
import { RedisStreamTokens } from '../../src/state/stream-tokens.ts'
import type { RefreshableDirectory } from '../../src/streams/app-log.ts'
import type { CommandRunner } from '../../src/streams/commands.ts'
import { Hub } from '../../src/streams/hub.ts'
import type { HubLimits } from '../../src/streams/limits.ts'
import { Pace } from '../../src/streams/pace.ts'
import { StreamMetrics } from '../../src/streams/metrics.ts'
import { StreamTokens } from '../../src/streams/tokens.ts'
import * as v from 'valibot'
import type { TestRedis } from './redis.ts'

const shard = v.parse(ShardSchema, 's1')
const network: NetworkRef = { networkId: toNetworkId('network-1'), shard }

export const ADMIN_KEY = 'admin-key-of-the-rig'

/** What a rig can do differently. */
export type RigOptions = Partial<HubLimits> & {
  readonly commands?: CommandRunner
  readonly origins?: readonly string[]
  readonly drainDelayMs?: number
  readonly certificate?: CertificateWatch
  readonly stalledMs?: number
  readonly closingPace?: Pick<Pace, 'turn'>
}

type NewCall = {
  readonly app: RigApp
  readonly id: string
  readonly state: CallState
  readonly of: string
  readonly isTold: boolean
}

/** An app of the rig with one of its keys; it begins with one subscriber, `<app id>@example.net`. */
export type RigApp = AppRef & { readonly keyId: string; readonly key: string; readonly subscriberId: string }

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
  readonly directory: RefreshableDirectory
  readonly #redis: Redis
  readonly #apps = new Map<string, RigApp>()
  /** By app; a list is another one after each change. */
  readonly #assignments = new Map<string, readonly Assignment[]>()
  /** By the text of the key. */
  readonly #keys = new Map<string, Required<Caller>>()
  readonly #directoryListeners = new Set<() => void>()

  constructor(
    redis: TestRedis,
    { commands, origins, drainDelayMs, certificate, closingPace, stalledMs, ...limits }: RigOptions = {},
  ) {
    this.#redis = redis.connect()
    // Some tests stop the server under it.
    this.#redis.on('error', () => undefined)
    this.connection = new StoreConnection({ address: { socketPath: redis.socketPath }, log: silentLogger })
    const { general, commit, subscriber } = this.connection
    const common = { clock: systemClock, random: Math.random, log: silentLogger }
    this.log = new RedisEventLog({ general, subscriber, ...common })
    this.calls = new RedisCalls({ general, commit, metrics: new StateMetrics(this.registry), ...common })
    this.tokens = new StreamTokens(new RedisStreamTokens(general))
    this.directory = this.#composeDirectory()
    const { directory } = this
    this.hub = new Hub({
      log: this.log,
      calls: this.calls,
      directory,
      metrics: new StreamMetrics(this.registry),
      logger: silentLogger,
      clock: systemClock,
      random: Math.random,
      commands,
      limits,
    })
    const apps = this.#repository()
    const authenticator = new Authenticator({
      apps,
      directory,
      provisioningKeys: { authenticate: () => Promise.resolve(undefined) },
      adminKey: ADMIN_KEY,
    })
    const { hub, tokens } = this
    const access = { authenticator, apps, directory, tokens, ...(origins !== undefined && { origins }) }
    const streams = { hub, tokens, authenticator: new StreamAuthenticator(access) }
    const metrics = new HttpMetrics(this.registry)
    this.web.use(observeRequests({ clock: systemClock, log: silentLogger, metrics }))
    addStreamRoutes(this.web, operationFactory(authenticator), streams)
    addEventRoutes(this.web, operationFactory(authenticator), streams)
    this.web.onError((error) => toProblemResponse(error, 'request-1'))
    this.server = new HttpServer({
      acceptsStreams: true,
      fetch: this.web.fetch,
      streams,
      host: '127.0.0.1',
      port: 0,
      ...(drainDelayMs !== undefined && { drainDelayMs }),
      ...(certificate !== undefined && { certificate }),
      ...(stalledMs !== undefined && { stalledMs }),
      closingPace: closingPace ?? new Pace(systemClock),
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
    const appId = toAppId(randomUUID())
    const app = this.addKey({ appId, shard, subscriberId: `${appId}@example.net` })
    this.assign(app, app.subscriberId)
    return app
  }

  /** Makes a subscriber the app's. */
  assign(app: AppRef, subscriberId: string): void {
    const others = this.#assignments.get(app.appId) ?? []
    this.#assignments.set(app.appId, [...others, toAssignment(app, subscriberId)])
    this.#notifyDirectory()
  }

  /** Takes a subscriber away from the app. */
  unassign(app: AppRef, subscriberId: string): void {
    const others = (this.#assignments.get(app.appId) ?? []).filter((known) => known.subscriberId !== subscriberId)
    this.#assignments.set(app.appId, others)
    this.#notifyDirectory()
  }

  /** What the directory is to do when it is asked to follow the newest changes. */
  onRefresh: () => Promise<void> = () => Promise.resolve()

  /** The app with another key. */
  addKey({ appId, subscriberId }: Omit<RigApp, 'keyId' | 'key'>): RigApp {
    const keyId = randomUUID()
    const app: RigApp = { appId, shard, keyId, key: `key-${keyId}`, subscriberId }
    this.#apps.set(appId, app)
    this.#keys.set(app.key, { appId, keyId })
    this.#notifyDirectory()
    return app
  }

  /** What this or another instance does, once the directory knows it. */
  revokeKey(app: RigApp): void {
    this.#keys.delete(app.key)
    this.#notifyDirectory()
  }

  removeApp(app: RigApp): void {
    this.#apps.delete(app.appId)
    this.#assignments.delete(app.appId)
    for (const [key, { appId }] of this.#keys) if (appId === app.appId) this.#keys.delete(key)
    this.#notifyDirectory()
  }

  streamUrl(app: AppRef): string {
    return `${this.server.url}/apps/${app.appId}/stream`
  }

  eventsUrl(app: AppRef): string {
    return `${this.server.url}/apps/${app.appId}/events`
  }

  /** Appends an entry that holds `n` and is about no subscriber; entries of one app are told apart by it. */
  async append(app: AppRef, n: number, padding = 0): Promise<void> {
    const payload = JSON.stringify({ app_id: app.appId, n, ...(padding > 0 && { padding: 'x'.repeat(padding) }) })
    await this.log.append(app, { id: String(n), type: 'subscriber.assigned', orderKey: String(n), payload })
  }

  /** Appends an entry that holds `n` and is about a subscriber. */
  async appendAbout(app: AppRef, n: number, about: { subscriberId: string; type: string }): Promise<void> {
    const subscriberId = toSubscriberId(about.subscriberId)
    const payload = JSON.stringify({ app_id: app.appId, subscriber_id: subscriberId, n })
    await this.log.append(app, { id: String(n), type: about.type, orderKey: subscriberId, subscriberId, payload })
  }

  /** Stores a call of a subscriber and appends its event to the app's log, in one commit. */
  async commitCall(app: RigApp, id: string, state: CallState, of = app.subscriberId): Promise<void> {
    await this.#commitCall({ app, id, state, of, isTold: true })
  }

  /** A call without an event, as when it is put back after the store was lost. */
  async putBackCall(app: RigApp, id: string, state: CallState): Promise<void> {
    await this.#commitCall({ app, id, state, of: app.subscriberId, isTold: false })
  }

  async #commitCall({ app, id, state, of, isTold }: NewCall): Promise<void> {
    const subscriberId = toSubscriberId(of)
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
          ...(isTold && { entry: { type: `call.${state}`, orderKey: id, payloads: [{ app, payload }] } }),
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

  #repository() {
    return {
      authenticate: (key: string) => Promise.resolve(this.#keys.get(key)),
      hasKey: ({ keyId }: Required<Caller>) => Promise.resolve(this.#findKey(keyId) !== undefined),
      find: () => Promise.resolve(undefined),
    }
  }

  #findKey(keyId: string): Required<Caller> | undefined {
    return [...this.#keys.values()].find((known) => known.keyId === keyId)
  }

  #composeDirectory(): RefreshableDirectory {
    return {
      apps: () => [...this.#apps.values()],
      app: (appId) => this.#apps.get(appId),
      network: () => network,
      key: (keyId) => this.#findKey(keyId),
      assignmentsOf: (_, subscriberId) => {
        const all = [...this.#assignments.values()].flat()
        return all.filter((known) => known.subscriberId === subscriberId)
      },
      assignmentsOfApp: (appId) => this.#assignments.get(appId) ?? NONE,
      subscribersOf: () => [...this.#assignments.values()].flat().map(({ subscriberId }) => subscriberId),
      endpointsOf: () => [],
      refresh: () => this.onRefresh(),
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

const NONE: readonly Assignment[] = []

const toAssignment = ({ appId, shard: ofApp }: AppRef, subscriberId: string): Assignment => ({
  app: { appId, shard: ofApp },
  network,
  subscriberId: toSubscriberId(subscriberId),
  subscriberNumber: '+15550100',
  subscriberName: 'Ann',
})
