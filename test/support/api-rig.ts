import { Registry } from 'prom-client'
import * as v from 'valibot'
import { CallControl } from '../../src/control/call-control.ts'
import { NetworkSupervisor } from '../../src/control/network-supervisor.ts'
import type { Call } from '../../src/core/call.ts'
import { systemClock } from '../../src/core/clock.ts'
import { GatewayError } from '../../src/core/errors.ts'
import { ShardSchema, toNetworkId, toSubscriberId } from '../../src/core/ids.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { Authenticator } from '../../src/http/authentication.ts'
import { createHttpApp } from '../../src/http/app.ts'
import { StreamAuthenticator } from '../../src/http/stream-authentication.ts'
import { Ingest } from '../../src/ingest.ts'
import { Apps } from '../../src/records/apps.ts'
import { RecordsDirectory } from '../../src/records/directory.ts'
import { Endpoints } from '../../src/records/endpoints.ts'
import { IdempotencyLog } from '../../src/records/idempotency.ts'
import { Networks } from '../../src/records/networks.ts'
import { Subscribers } from '../../src/records/subscribers.ts'
import { RedisCalls } from '../../src/state/calls.ts'
import { StoreConnection } from '../../src/state/connection.ts'
import { RedisEventLog } from '../../src/state/event-log.ts'
import { StateMetrics } from '../../src/state/metrics.ts'
import { RedisStreamTokens } from '../../src/state/stream-tokens.ts'
import { Hub } from '../../src/streams/hub.ts'
import { StreamMetrics } from '../../src/streams/metrics.ts'
import { StreamTokens } from '../../src/streams/tokens.ts'
import { generateSecret } from '../../src/webhooks/signature.ts'
import { checkedRequest, textField } from './checked-request.ts'
import type { ApiResponse, RequestOptions } from './checked-request.ts'
import { startTestRecords } from './records.ts'
import type { TestRecords } from './records.ts'
import { startTestRedis } from './redis.ts'
import { ScriptedAdapterType } from './scripted-adapter.ts'

export const ADMIN_KEY = 'admin-key-of-the-tests'
export const COMMAND_TIMEOUT_MS = 500

/** An app with one subscriber in a network of its own. */
export type RigTenant = {
  readonly networkId: string
  readonly appId: string
  readonly key: string
  readonly subscriberId: string
}

/**
 * The whole HTTP API over real records (PGlite) and a real Redis; only the provider's network is a
 * script. Every answer is checked against the schema that its operation documents.
 */
export class ApiRig {
  readonly provider = new ScriptedAdapterType()
  readonly registry = new Registry()
  readonly directory: RecordsDirectory
  readonly networks: Networks
  readonly apps: Apps
  readonly subscribers: Subscribers
  readonly idempotency: IdempotencyLog
  readonly supervisor: NetworkSupervisor
  readonly calls: RedisCalls
  readonly control: CallControl
  readonly app: ReturnType<typeof createHttpApp>
  readonly request: (method: string, path: string, options?: RequestOptions) => Promise<ApiResponse>
  isReady = true
  readonly #records: TestRecords
  readonly #redis: Awaited<ReturnType<typeof startTestRedis>>
  readonly #store: StoreConnection
  readonly #ingest: Ingest
  #tenants = 0
  #sequence = 0

  static async start(): Promise<ApiRig> {
    const [records, redis] = await Promise.all([startTestRecords('pglite'), startTestRedis()])
    const rig = new ApiRig(records, redis)
    await rig.#store.start()
    await rig.directory.start()
    await rig.supervisor.start()
    return rig
  }

  private constructor(records: TestRecords, redis: Awaited<ReturnType<typeof startTestRedis>>) {
    this.#records = records
    this.#redis = redis
    const { clock } = records
    const log = silentLogger
    const common = { clock, random: Math.random, log }
    this.#store = new StoreConnection({ address: { socketPath: redis.socketPath }, log })
    const { general, commit, subscriber } = this.#store
    this.directory = new RecordsDirectory({ records: records.records, clock: systemClock, log })
    this.apps = new Apps(records.records, this.directory)
    this.networks = new Networks(records.records, this.directory)
    this.subscribers = new Subscribers(records.records, this.directory)
    this.idempotency = new IdempotencyLog(records.records, log)
    this.calls = new RedisCalls({ general, commit, metrics: new StateMetrics(this.registry), ...common })
    this.#ingest = new Ingest({ store: this.calls, directory: this.directory, metrics: noIngestMetrics, clock, log })
    this.supervisor = new NetworkSupervisor({
      networks: this.networks,
      directory: this.directory,
      adapterTypes: [this.provider],
      portsFor: () => ({
        sink: this.#ingest,
        leases: { tryAcquire: unused },
        generations: { generationOf: unused },
        applicationId: 'callhalf-tests',
        log,
        clock: systemClock,
        random: Math.random,
      }),
      clock: systemClock,
      random: Math.random,
      log,
    })
    this.control = new CallControl({
      directory: this.directory,
      calls: this.calls,
      networks: this.supervisor,
      idempotency: this.idempotency,
      clock,
      log,
      commandTimeoutMs: COMMAND_TIMEOUT_MS,
    })
    const eventLog = new RedisEventLog({ general, subscriber, ...common })
    const hub = new Hub({
      log: eventLog,
      calls: this.calls,
      directory: this.directory,
      metrics: new StreamMetrics(this.registry),
      logger: log,
      clock,
      random: Math.random,
    })
    const tokens = new StreamTokens(new RedisStreamTokens(general))
    const { apps, directory } = this
    const authenticator = new Authenticator({ apps, directory, adminKey: ADMIN_KEY })
    this.app = createHttpApp({
      servesApi: true,
      authenticator,
      calls: this.control,
      apps,
      networks: this.networks,
      networkControl: this.supervisor,
      subscribers: this.subscribers,
      endpoints: new Endpoints(records.records, directory),
      checkEndpointUrl: refuseLocalUrl,
      generateSecret,
      openEndpoint: () => this.openEndpoint(),
      streams: { hub, authenticator: new StreamAuthenticator({ authenticator, apps, directory, tokens }), tokens },
      readiness: () => ({
        ready: this.isReady,
        checks: { redis: { ready: this.isReady, ...(!this.isReady && { detail: 'no answer' }) } },
      }),
      registry: this.registry,
      defaultShard: v.parse(ShardSchema, 'main'),
      clock,
      log,
    })
    this.request = checkedRequest(this.app)
  }

  /** What fixing a webhook's place in the log does. */
  openEndpoint: () => Promise<void> = () => Promise.resolve()

  async stop(): Promise<void> {
    const deadline = AbortSignal.timeout(5_000)
    await this.supervisor.stop(deadline)
    await this.directory.stop()
    await this.#store.stop()
    await this.#records.stop()
    await this.#redis.stop()
  }

  /** Makes the gateway's clock go on, except for its timers. */
  advance(ms: number): void {
    this.#records.clock.advance(ms)
  }

  get now(): number {
    return this.#records.clock.now()
  }

  /** A network, an app and a subscriber `+1555000000n`, made over the API. */
  async addTenant(): Promise<RigTenant> {
    this.#tenants += 1
    const number = `+1555${String(this.#tenants).padStart(7, '0')}`
    const subscriberId = `user${this.#tenants}@example.net`
    const network = await this.admin('POST', '/admin/networks', {
      name: `lab ${this.#tenants}`,
      adapter: 'scripted',
      config: { nodes: ['https://xsp1.example.net'], password: 'correct horse' },
    })
    const app = await this.admin('POST', '/admin/apps', { name: `crm ${this.#tenants}` })
    const networkId = textField(network, 'network_id')
    const [appId, key] = [textField(app, 'app_id'), textField(app, 'api_key')]
    await this.admin('PUT', `/admin/apps/${appId}/subscribers/${encodeURIComponent(subscriberId)}`, {
      network_id: networkId,
      subscriber_number: number,
      subscriber_name: 'Tommy Tutone',
    })
    return { networkId, appId, key, subscriberId }
  }

  admin(method: string, path: string, body?: unknown): Promise<ApiResponse> {
    return this.request(method, path, { key: ADMIN_KEY, ...(body !== undefined && { body }) })
  }

  /** Reports calls of the tenant's subscriber, as its network would. */
  async observe(tenant: RigTenant, ...calls: readonly Call[]): Promise<void> {
    this.#sequence += 1
    const isAnswered = calls.some(({ state }) => state === 'active' || state === 'held')
    await this.#ingest.deliver(
      {
        networkId: toNetworkId(tenant.networkId),
        subscriberId: toSubscriberId(tenant.subscriberId),
        upstream: { generation: 1, sequence: this.#sequence },
        body: { type: 'calls', change: isAnswered ? 'answered' : 'state', calls },
      },
      { lease: 'channel', token: 1 },
    )
  }
}

/** Ports that only a real network uses. */
const unused = () => Promise.reject(new GatewayError('internal', { detail: 'not part of this rig' }))

const noIngestMetrics = {
  observed: () => undefined,
  conflicted: () => undefined,
  fenced: () => undefined,
  ghostReleased: () => undefined,
}

/** The URL policy is tested where it is; here one refusal is enough. */
function refuseLocalUrl(url: string): Promise<string> {
  const parsed = URL.parse(url)
  if (parsed?.protocol === 'https:' && parsed.hostname !== 'localhost') return Promise.resolve(parsed.href)
  return Promise.reject(new GatewayError('webhook_url_refused', { detail: 'The host is not on the public internet' }))
}
