import { buildProvisioning, type ProvisioningParts } from '../../src/composition/provisioning.ts'
import { toProvisioningDatabase, type ProvisioningDatabase } from '../../src/provisioning/store/database.ts'
import { Registry } from 'prom-client'
import * as v from 'valibot'
import { CallControl } from '../../src/control/call-control.ts'
import { NetworkSupervisor } from '../../src/control/network-supervisor.ts'
import type { Call } from '../../src/core/call.ts'
import { systemClock } from '../../src/core/clock.ts'
import { GatewayError } from '../../src/core/errors.ts'
import type { AppId, EndpointId } from '../../src/core/ids.ts'
import { ShardSchema, toNetworkId, toSubscriberId } from '../../src/core/ids.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { Authenticator } from '../../src/http/authentication.ts'
import { createHttpApp } from '../../src/http/app.ts'
import { StreamAuthenticator } from '../../src/http/stream-authentication.ts'
import type { ReadWebhookStatus } from '../../src/http/webhook-ports.ts'
import { Ingest } from '../../src/ingest.ts'
import { Apps } from '../../src/records/apps.ts'
import { Deliveries } from '../../src/records/deliveries.ts'
import { RecordsDirectory } from '../../src/records/directory.ts'
import { Endpoints } from '../../src/records/endpoints.ts'
import { IdempotencyLog } from '../../src/records/idempotency.ts'
import { Networks } from '../../src/records/networks.ts'
import { OperatorEvents } from '../../src/records/operator-events.ts'
import { Subscribers } from '../../src/records/subscribers.ts'
import { RedisCalls } from '../../src/state/calls.ts'
import { StoreConnection } from '../../src/state/connection.ts'
import { RedisEventLog } from '../../src/state/event-log.ts'
import { StateMetrics } from '../../src/state/metrics.ts'
import { RedisStreamTokens } from '../../src/state/stream-tokens.ts'
import { Hub } from '../../src/streams/hub.ts'
import { StreamMetrics } from '../../src/streams/metrics.ts'
import { StreamTokens } from '../../src/streams/tokens.ts'
import { createAddressPolicy } from '../../src/webhooks/address-policy.ts'
import { generateKeyPair } from '../../src/webhooks/asymmetric-signature.ts'
import { CredentialCache } from '../../src/webhooks/credential-cache.ts'
import { Deliverer } from '../../src/webhooks/deliverer.ts'
import { DeliveryStore } from '../../src/webhooks/delivery-store.ts'
import type { WakeUp } from '../../src/webhooks/delivery.ts'
import { EndpointState } from '../../src/webhooks/endpoint-state.ts'
import { checkEndpointUrl } from '../../src/webhooks/registration.ts'
import type { Resolve } from '../../src/webhooks/resolver.ts'
import { Replayer } from '../../src/webhooks/replayer.ts'
import { generateSecret } from '../../src/webhooks/signature.ts'
import { Tester } from '../../src/webhooks/tester.ts'
import { Verifier } from '../../src/webhooks/verifier.ts'
import { checkedRequest, textField } from './checked-request.ts'
import type { ApiResponse, RequestOptions } from './checked-request.ts'
import { startTestRecords, type StoreName, type TestRecords } from './records.ts'
import { startTestRedis } from './redis.ts'
import { ScriptedAdapterType } from './scripted-adapter.ts'
import { unusedPorts } from './unused-ports.ts'

export const ADMIN_KEY = 'admin-key-of-the-tests'
export const COMMAND_TIMEOUT_MS = 500

/** An app with one subscriber in a network of its own. */
export type RigTenant = {
  readonly networkId: string
  readonly appId: string
  readonly key: string
  readonly subscriberId: string
}

/** What about a rig is decided when it starts. */
export type RigOptions = {
  readonly requiresVerification?: boolean
  /** PGlite unless given. */
  readonly store?: StoreName
  /** Whether there is an invented catalogue whose orders are carried out. */
  readonly provisions?: boolean
}

/**
 * The whole HTTP API over real records and a real Redis; only the provider's network is a
 * script. Webhooks can be registered for any name under example.net and for receivers on 127.0.0.1, and
 * tests, challenges and replays are those of the gateway; nothing follows the logs, so that no event is
 * sent. Every answer is checked against the schema that its operation documents.
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
  readonly endpoints: Endpoints
  readonly deliveries: Deliveries
  readonly operatorEvents: OperatorEvents
  readonly database: ProvisioningDatabase
  /** Wake-ups that replays asked for. */
  readonly woken: WakeUp[] = []
  readonly app: ReturnType<typeof createHttpApp>
  readonly request: (method: string, path: string, options?: RequestOptions) => Promise<ApiResponse>
  isReady = true
  readonly #records: TestRecords
  readonly #redis: Awaited<ReturnType<typeof startTestRedis>>
  readonly #store: StoreConnection
  readonly #ingest: Ingest
  readonly #deliverer: Deliverer
  readonly #provisioning: ProvisioningParts
  #tenants = 0
  #sequence = 0

  static async start(options: RigOptions = {}): Promise<ApiRig> {
    const [records, redis] = await Promise.all([
      startTestRecords(options.store ?? 'pglite', options.provisions === true ? 'catalogue' : 'nothing'),
      startTestRedis(),
    ])
    const rig = new ApiRig(records, redis, options)
    rig.#deliverer.start()
    await rig.#store.start()
    await rig.directory.start()
    await rig.supervisor.start()
    if (options.provisions === true) for (const service of rig.#provisioning.services) await service.start()
    return rig
  }

  private constructor(
    records: TestRecords,
    redis: Awaited<ReturnType<typeof startTestRedis>>,
    { requiresVerification = false }: RigOptions,
  ) {
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
        ...unusedPorts,
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
    this.endpoints = new Endpoints(records.records, this.directory)
    this.deliveries = new Deliveries(records.records)
    this.operatorEvents = new OperatorEvents(records.records)
    const policy = createAddressPolicy(['127.0.0.1/32'])
    // Names are known for registration only: nothing outside this machine is ever connected to.
    this.#deliverer = new Deliverer({ policy, resolve: resolveNothing, clock: systemClock, userAgent: 'Callhalf/test' })
    const sending = { deliverer: this.#deliverer, credentials: new CredentialCache(this.endpoints, clock), clock }
    const run = <Result>(work: (store: DeliveryStore) => Promise<Result>) =>
      general.run((redisClient) => work(new DeliveryStore(redisClient)))
    const state = new EndpointState((work) => general.run(work), eventLog)
    this.openEndpoint = async (appId, endpointId) => {
      const ref = this.directory.app(appId)
      if (ref !== undefined) await state.open(ref, endpointId)
    }
    this.resetFailures = (appId, endpointId) => state.forgetFailures({ appId, endpointId })
    this.forgetEndpoint = (appId, endpointId) =>
      state.forget({ appId, endpointId }, { endpoints: this.endpoints, clock })
    this.webhookStatus = (ids) => state.status(ids)
    this.withDeliveryStore = run
    const { apps, directory } = this
    this.database = toProvisioningDatabase(records.records)
    const provisioning = buildProvisioning({
      config: {
        provisioning: {
          agingDays: 90,
          providerWaitDays: 30,
          seedsSandbox: true,
          sandboxDelayMs: 10,
          zipwhipAlwaysOk: false,
          zipwhipProvider: undefined,
        },
        secrets: { zipwhipProviderKey: undefined },
      },
      registry: new Registry(),
      log,
      records: this.#records.records,
      apps,
      operatorEvents: this.operatorEvents,
    })
    this.#provisioning = provisioning
    const authenticator = new Authenticator({
      apps,
      directory,
      provisioningKeys: provisioning.keys,
      adminKey: ADMIN_KEY,
    })
    this.app = createHttpApp({
      servesApi: true,
      authenticator,
      calls: this.control,
      apps,
      networks: this.networks,
      networkControl: this.supervisor,
      subscribers: this.subscribers,
      endpoints: this.endpoints,
      checkEndpointUrl: (url) => checkEndpointUrl(url, { policy, resolve: resolveExample }),
      generateSecret,
      generateKeyPair,
      faces: provisioning.faces,
      requiresVerification,
      openEndpoint: (appId, endpointId) => this.openEndpoint(appId, endpointId),
      resetFailures: (appId, endpointId) => this.resetFailures(appId, endpointId),
      forgetEndpoint: (appId, endpointId) => this.forgetEndpoint(appId, endpointId),
      webhookStatus: (ids) => this.webhookStatus(ids),
      deliveries: this.deliveries,
      operatorEvents: this.operatorEvents,
      replayer: new Replayer({
        run: (work) => general.run(work),
        records: this.deliveries,
        directory,
        wake: (wakes) => this.wake(wakes),
        reopen: () => Promise.resolve(),
        clock,
        log,
      }),
      tester: new Tester({ ...sending, random: Math.random }),
      verifier: new Verifier({ ...sending, endpoints: this.endpoints }),
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

  /** What is done with the webhooks' store; a test may put another one, such as a failure, in its place. */
  openEndpoint: (appId: AppId, endpointId: EndpointId) => Promise<void>
  resetFailures: (appId: AppId, endpointId: EndpointId) => Promise<void>
  forgetEndpoint: (appId: AppId, endpointId: EndpointId) => Promise<void>
  webhookStatus: ReadWebhookStatus
  wake = (wakes: readonly WakeUp[]): Promise<void> => {
    this.woken.push(...wakes)
    return Promise.resolve()
  }
  /** Works on the lanes as a dispatcher would. */
  readonly withDeliveryStore: <Result>(work: (store: DeliveryStore) => Promise<Result>) => Promise<Result>

  async stop(): Promise<void> {
    const deadline = AbortSignal.timeout(5_000)
    for (const service of this.#provisioning.services.toReversed()) await service.stop(deadline)
    await this.supervisor.stop(deadline)
    await this.#deliverer.stop()
    await this.directory.stop()
    await this.#store.stop()
    await this.#records.stop()
    await this.#redis.stop()
  }

  /** Takes the gateway's Redis away. */
  async stopRedis(): Promise<void> {
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

const noIngestMetrics = {
  observed: () => undefined,
  conflicted: () => undefined,
  fenced: () => undefined,
  ghostReleased: () => undefined,
}

/** A public address for every name under example.net, which is judged and never connected to. */
const resolveExample: Resolve = (hostname) =>
  hostname.endsWith('.example.net') ? Promise.resolve([{ address: '93.184.215.14', family: 4 }]) : resolveNothing()

const resolveNothing = () =>
  Promise.reject(new GatewayError('webhook_url_refused', { fields: { reason: 'unresolvable' } }))
