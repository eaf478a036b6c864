import { join } from 'node:path'
import { collectDefaultMetrics, Registry } from 'prom-client'
import * as v from 'valibot'
import { Announcer } from './announcer.ts'
import { broadsoft } from './broadsoft/adapter.ts'
import { BroadsoftMetrics } from './broadsoft/metrics.ts'
import type { Config, Role } from './config.ts'
import { CallControl } from './control/call-control.ts'
import { NetworkSupervisor } from './control/network-supervisor.ts'
import { systemClock } from './core/clock.ts'
import { ShardSchema, type AppId, type EndpointId } from './core/ids.ts'
import type { LeaseStore } from './core/lease.ts'
import type { Logger } from './core/logger.ts'
import type { Service } from './core/service.ts'
import { createHttpApp } from './http/app.ts'
import { Authenticator } from './http/authentication.ts'
import { HttpServer } from './http/server.ts'
import { StreamAuthenticator } from './http/stream-authentication.ts'
import { Ingest } from './ingest.ts'
import { Lifecycle } from './lifecycle.ts'
import { createLogger } from './logger.ts'
import { Apps } from './records/apps.ts'
import { Cipher } from './records/cipher.ts'
import { Records } from './records/connection.ts'
import { RecordsDirectory } from './records/directory.ts'
import { Endpoints } from './records/endpoints.ts'
import { FolderLock } from './records/folder-lock.ts'
import { IdempotencyLog } from './records/idempotency.ts'
import { Networks } from './records/networks.ts'
import { Subscribers } from './records/subscribers.ts'
import { Readiness } from './readiness.ts'
import { loadOrCreateSecrets, type Secrets } from './secrets.ts'
import { RedisCalls } from './state/calls.ts'
import { createQueueClient, StoreConnection } from './state/connection.ts'
import { EmbeddedRedis } from './state/embedded-redis.ts'
import { RedisEventLog } from './state/event-log.ts'
import { RedisGenerations } from './state/generations.ts'
import { RedisLeases } from './state/leases.ts'
import { StateMetrics } from './state/metrics.ts'
import { StoreWatch, type DataLoss } from './state/store-watch.ts'
import { RedisStreamTokens } from './state/stream-tokens.ts'
import { Hub } from './streams/hub.ts'
import { StreamMetrics } from './streams/metrics.ts'
import { StreamTokens } from './streams/tokens.ts'
import { Watchdog } from './watchdog.ts'
import { createAddressPolicy } from './webhooks/address-policy.ts'
import { Deliverer } from './webhooks/deliverer.ts'
import { Dispatcher } from './webhooks/dispatcher.ts'
import { WebhookMetrics } from './webhooks/metrics.ts'
import { EndpointOpener } from './webhooks/endpoint-opener.ts'
import { checkEndpointUrl } from './webhooks/registration.ts'
import { createResolver } from './webhooks/resolver.ts'
import { generateSecret } from './webhooks/signature.ts'

const USER_AGENT = 'Callhalf/0.1'
const RESOLVE_TIMEOUT_MS = 3_000
const DEFAULT_SHARD = v.parse(ShardSchema, 'main')

/**
 * One gateway process: builds every object, starts the services in order and stops them in reverse, so
 * that on shutdown readiness fails and streams are closed first and the stores last.
 */
export class Gateway {
  readonly dataDir: string
  readonly adminKey: string
  /** Where the admin key stands, unless it came from the environment. */
  readonly adminKeyFile: string | undefined
  readonly #shutdownMs: number
  readonly #parts: Parts
  readonly #lifecycle: Lifecycle

  constructor(config: Config, secrets: Secrets) {
    this.dataDir = config.dataDir
    this.adminKey = secrets.adminKey
    this.adminKeyFile = secrets.adminKeyFile
    this.#shutdownMs = config.shutdown.timeoutMs
    this.#parts = build(config, secrets, createLogger(config.logLevel))
    this.#lifecycle = new Lifecycle(this.#parts.services, this.#parts.log)
  }

  /** Reads or makes the secrets in the data directory, then builds. */
  static async create(config: Config): Promise<Gateway> {
    return new Gateway(config, await loadOrCreateSecrets(config))
  }

  /** Where it listens; only after `start`. */
  get url(): string {
    return this.#parts.server.url
  }

  /** Rejects, leaving nothing behind, when a part does not start. */
  start(): Promise<void> {
    return this.#lifecycle.start()
  }

  /** Drains and stops within the configured time. */
  stop(): Promise<void> {
    this.#parts.readiness.drain()
    return this.#lifecycle.stop(AbortSignal.timeout(this.#shutdownMs))
  }
}

type Parts = {
  /** In starting order. */
  readonly services: readonly Service[]
  readonly readiness: Readiness
  readonly server: HttpServer
  readonly log: Logger
}

/** What nearly every part takes. */
type Base = {
  readonly config: Config
  readonly secrets: Secrets
  readonly registry: Registry
  readonly log: Logger
}

function build(config: Config, secrets: Secrets, log: Logger): Parts {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry, prefix: 'callhalf_' })
  const base: Base = { config, secrets, registry, log }
  const records = buildRecords(base)
  const state = buildState(base)
  const networks = buildNetworks(base, records, state)
  const webhooks = buildWebhooks(base, records, state)
  const readiness = new Readiness({
    probes: {
      redis: async () => ((await state.connection.ping()) ? undefined : 'does not answer'),
      records: async () => {
        await records.records.check()
        return undefined
      },
    },
    clock: systemClock,
  })
  const { server, hub } = buildHttp(base, { records, state, networks, webhooks, readiness })
  const has = (role: Role) => config.roles.has(role)
  return {
    services: [
      ...state.services,
      ...records.services,
      // Before anything can append to a log: a new endpoint starts at the top of the log as it is seen.
      ...(has('webhooks') ? [webhooks.dispatcher, webhooks.announcer] : []),
      hub,
      networks.supervisor,
      ...(has('channels') ? [networks.watchdog] : []),
      readiness,
      server,
    ],
    readiness,
    server,
    log,
  }
}

function buildRecords({ config, secrets, log }: Base) {
  const { databaseUrl } = config.secrets
  const records = new Records({
    ...(databaseUrl !== undefined && { databaseUrl }),
    dataDir: config.records.dataDir,
    poolSize: config.records.poolSize,
    cipher: new Cipher([secrets.secretKey]),
    clock: systemClock,
    log: log.child({ component: 'records' }),
  })
  const directory = new RecordsDirectory({ records, clock: systemClock, log: log.child({ component: 'directory' }) })
  const idempotency = new IdempotencyLog(records, log.child({ component: 'idempotency' }))
  return {
    records,
    directory,
    idempotency,
    apps: new Apps(records, directory),
    networks: new Networks(records, directory),
    subscribers: new Subscribers(records, directory),
    endpoints: new Endpoints(records, directory),
    services: [records, directory, idempotency],
  }
}

type RecordParts = ReturnType<typeof buildRecords>

function buildState({ config, registry, log }: Base) {
  const { redisUrl } = config.secrets
  const embedded =
    redisUrl === undefined
      ? new EmbeddedRedis({
          ...config.redis.embedded,
          unpackedDir: join(import.meta.dirname, '../.callhalf/debian'),
          log: log.child({ component: 'embedded-redis' }),
        })
      : undefined
  const address = embedded === undefined ? { url: redisUrl ?? '' } : { socketPath: embedded.socketPath }
  const connection = new StoreConnection({ address, log: log.child({ component: 'redis' }) })
  const metrics = new StateMetrics(registry)
  const shared = { ...connectionLinks(connection), metrics, clock: systemClock, random: Math.random }
  const watch = new StoreWatch({ ...shared, log: log.child({ component: 'store-watch' }) })
  const eventLog = new RedisEventLog({ ...shared, log: log.child({ component: 'event-log' }) })
  const leases = new RedisLeases({ ...shared, log: log.child({ component: 'leases' }) })
  return {
    address,
    connection,
    metrics,
    watch,
    eventLog,
    calls: new RedisCalls(shared),
    leases,
    generations: new RedisGenerations(shared),
    streamTokens: new RedisStreamTokens(connection.general),
    services: [
      // Two gateways that start at once on one folder must not start two servers on one append-only file.
      ...(embedded === undefined ? [] : [new FolderLock({ folder: config.redis.embedded.dataDir, log }), embedded]),
      connection,
      ...(embedded === undefined ? [] : [freesOrphans(leases)]),
      watch,
    ],
  }
}

/** The embedded store serves one process, so at its start every lease in it is a dead one's. */
const freesOrphans = (leases: RedisLeases): Service => ({
  name: 'orphaned-leases',
  start: () => leases.releaseOrphans(),
  stop: () => Promise.resolve(),
})

const connectionLinks = ({ commit, general, subscriber }: StoreConnection) => ({ commit, general, subscriber })

type StateParts = ReturnType<typeof buildState>

function buildNetworks({ config, registry, log }: Base, records: RecordParts, state: StateParts) {
  const ingest = new Ingest({
    store: state.calls,
    directory: records.directory,
    metrics: state.metrics,
    clock: systemClock,
    log: log.child({ component: 'ingest' }),
  })
  // Without the role, networks are reached for commands only: their channels belong to other processes.
  const leases: LeaseStore = config.roles.has('channels') ? state.leases : { tryAcquire: async () => undefined }
  const supervisor = new NetworkSupervisor({
    networks: records.networks,
    directory: records.directory,
    adapterTypes: [broadsoft(new BroadsoftMetrics(registry))],
    portsFor: (network) => ({
      sink: ingest,
      leases,
      generations: state.generations,
      applicationId: `callhalf-${network.networkId}`,
      log,
      clock: systemClock,
      random: Math.random,
    }),
    clock: systemClock,
    random: Math.random,
    log: log.child({ component: 'networks' }),
  })
  const recover = async (loss: DataLoss): Promise<void> => {
    state.generations.forgetAll()
    try {
      if (loss === 'emptied') await ingest.restoreAll()
      else ingest.forgetAll()
    } catch (error) {
      log.error({ err: error }, 'calls known from memory could not be put back')
    }
    for (const networkId of supervisor.running()) supervisor.resynchronise(networkId, undefined, `store_${loss}`)
  }
  // It handles its own failures.
  state.watch.onDataLoss((loss) => void recover(loss))
  const watchdog = new Watchdog({
    store: state.calls,
    directory: records.directory,
    networks: () => supervisor.running(),
    control: supervisor,
    releaser: ingest,
    clock: systemClock,
    log: log.child({ component: 'watchdog' }),
  })
  return { supervisor, watchdog }
}

type NetworkParts = ReturnType<typeof buildNetworks>

function buildWebhooks({ config, registry, log }: Base, records: RecordParts, state: StateParts) {
  const policy = createAddressPolicy(config.webhooks.allowPrivateTargets)
  const resolve = createResolver({ timeoutMs: RESOLVE_TIMEOUT_MS, localNames: policy.opensAny })
  const dispatcher = new Dispatcher({
    connect: () => createQueueClient(state.address),
    eventLog: state.eventLog,
    directory: records.directory,
    endpoints: records.endpoints,
    deliverer: new Deliverer({ policy, resolve, clock: systemClock, userAgent: USER_AGENT }),
    metrics: new WebhookMetrics(registry),
    log: log.child({ component: 'webhooks' }),
    clock: systemClock,
    random: Math.random,
  })
  const announcer = new Announcer({
    subscribers: records.subscribers,
    directory: records.directory,
    eventLog: state.eventLog,
    log: log.child({ component: 'announcer' }),
    clock: systemClock,
  })
  const opener = new EndpointOpener((work) => state.connection.general.run(work), state.eventLog)
  const openEndpoint = async (appId: AppId, endpointId: EndpointId): Promise<void> => {
    const app = records.directory.app(appId)
    if (app !== undefined) await opener.open(app, endpointId)
  }
  const checkUrl = (url: string) => checkEndpointUrl(url, { policy, resolve })
  return { dispatcher, announcer, checkUrl, openEndpoint }
}

type WebhookParts = ReturnType<typeof buildWebhooks>

function buildHttp(
  { config, secrets, registry, log }: Base,
  parts: {
    readonly records: RecordParts
    readonly state: StateParts
    readonly networks: NetworkParts
    readonly webhooks: WebhookParts
    readonly readiness: Readiness
  },
) {
  const { records, state, networks, webhooks, readiness } = parts
  const { apps, directory } = records
  const shared = { directory, apps }
  const hub = new Hub({
    log: state.eventLog,
    calls: state.calls,
    directory,
    metrics: new StreamMetrics(registry),
    logger: log.child({ component: 'streams' }),
    clock: systemClock,
    random: Math.random,
  })
  const tokens = new StreamTokens(state.streamTokens)
  const authenticator = new Authenticator({ ...shared, adminKey: secrets.adminKey })
  const streamAuthenticator = new StreamAuthenticator({ ...shared, authenticator, tokens })
  const streams = { hub, authenticator: streamAuthenticator, tokens }
  const httpLog = log.child({ component: 'http' })
  const servesApi = config.roles.has('http')
  const app = createHttpApp({
    servesApi,
    authenticator,
    calls: new CallControl({
      directory,
      calls: state.calls,
      networks: networks.supervisor,
      idempotency: records.idempotency,
      clock: systemClock,
      log: log.child({ component: 'call-control' }),
    }),
    apps,
    networks: records.networks,
    networkControl: networks.supervisor,
    subscribers: records.subscribers,
    endpoints: records.endpoints,
    checkEndpointUrl: webhooks.checkUrl,
    generateSecret,
    openEndpoint: webhooks.openEndpoint,
    streams,
    readiness: () => readiness.current(),
    registry,
    defaultShard: DEFAULT_SHARD,
    clock: systemClock,
    log: httpLog,
  })
  const server = new HttpServer({ fetch: app.fetch, streams, acceptsStreams: servesApi, ...config.http, log: httpLog })
  return { hub, server }
}
