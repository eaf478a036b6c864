import { randomUUID } from 'node:crypto'
import { Registry } from 'prom-client'
import * as v from 'valibot'
import { systemClock } from '../../src/core/clock.ts'
import type { PolicyOverrides } from '../../src/core/delivery-policy.ts'
import type { Directory, EndpointSummary } from '../../src/core/directory.ts'
import { ENDPOINT_DEFAULTS } from '../../src/core/endpoint.ts'
import type { Endpoint, EndpointRepository } from '../../src/core/endpoint.ts'
import { ShardSchema, toAppId, toEndpointId } from '../../src/core/ids.ts'
import type { AppRef } from '../../src/core/ids.ts'
import { silentLogger } from '../../src/core/logger.ts'
import type { Logger } from '../../src/core/logger.ts'
import type { NewOperatorEvent, OperatorEventRepository } from '../../src/core/operator-event.ts'
import { RedisLink } from '../../src/state/connection.ts'
import { RedisEventLog } from '../../src/state/event-log.ts'
import { createAddressPolicy } from '../../src/webhooks/address-policy.ts'
import { CredentialCache } from '../../src/webhooks/credential-cache.ts'
import { Deliverer } from '../../src/webhooks/deliverer.ts'
import type { DelivererOptions } from '../../src/webhooks/deliverer.ts'
import { Dispatcher } from '../../src/webhooks/dispatcher.ts'
import type { DispatcherOptions } from '../../src/webhooks/dispatcher.ts'
import { WebhookMetrics } from '../../src/webhooks/metrics.ts'
import { createResolver } from '../../src/webhooks/resolver.ts'
import { generateSecret } from '../../src/webhooks/signature.ts'
import type { TestRedis } from './redis.ts'

/** Retries so fast that a test need not wait. */
const FAST_POLICIES: PolicyOverrides = { '*': { delaysMs: [20, 40, 80] } }

const unexpected = () => Promise.reject(new Error('not asked for by the delivery engine'))

/** An endpoint as its record is, with its secret. */
export type BookedEndpoint = Endpoint & { readonly secret: string }

/** The records and the directory as a test wants them to be: what other parts of the gateway answer. */
export class EndpointBook {
  readonly app: AppRef
  readonly records = new Map<string, BookedEndpoint>()
  /** What the operator was told. */
  readonly operatorEvents: NewOperatorEvent[] = []
  readonly #listeners = new Set<() => void>()

  constructor(appId: string = randomUUID()) {
    this.app = { appId: toAppId(appId), shard: v.parse(ShardSchema, 'main') }
  }

  add(url: string, options: Partial<BookedEndpoint> = {}): BookedEndpoint {
    const endpoint = {
      ...ENDPOINT_DEFAULTS,
      endpointId: toEndpointId(randomUUID()),
      appId: this.app.appId,
      url,
      policies: FAST_POLICIES,
      enabled: true,
      verified: true,
      headerNames: [],
      createdAt: 0,
      updatedAt: 0,
      secret: generateSecret(),
      ...options,
    }
    this.put(endpoint)
    return endpoint
  }

  put(endpoint: BookedEndpoint): void {
    this.records.set(endpoint.endpointId, endpoint)
    for (const listener of this.#listeners) listener()
  }

  remove(endpointId: string): void {
    this.records.delete(endpointId)
    for (const listener of this.#listeners) listener()
  }

  get events(): Pick<OperatorEventRepository, 'append'> {
    return {
      append: (event) => {
        this.operatorEvents.push(event)
        return Promise.resolve()
      },
    }
  }

  get directory(): Directory {
    const summaries = (): EndpointSummary[] =>
      [...this.records.values()].map((endpoint) => ({
        ...endpoint,
        app: this.app,
        enabled: endpoint.enabled && endpoint.verified,
      }))
    return {
      apps: () => [this.app],
      app: (appId) => (appId === this.app.appId ? this.app : undefined),
      network: () => undefined,
      key: () => undefined,
      assignmentsOf: () => [],
      assignmentsOfApp: () => [],
      subscribersOf: () => [],
      endpointsOf: (appId) => (appId === this.app.appId ? summaries() : []),
      onChange: (listener) => {
        this.#listeners.add(listener)
        return () => this.#listeners.delete(listener)
      },
    }
  }

  get endpoints(): EndpointRepository {
    return {
      create: unexpected,
      list: unexpected,
      listAll: unexpected,
      remove: unexpected,
      rotateSecrets: unexpected,
      find: (_appId, endpointId) => Promise.resolve(this.records.get(endpointId)),
      update: (_appId, endpointId, { enabled, disabledReason, verified, onlyIfUrl }) => {
        const known = this.records.get(endpointId)
        if (known === undefined) return Promise.resolve(undefined)
        if (onlyIfUrl !== undefined && ![known.url, known.failoverUrl].includes(onlyIfUrl))
          return Promise.resolve(known)
        const updated = {
          ...known,
          ...(enabled !== undefined && { enabled }),
          ...(disabledReason !== undefined && { disabledReason }),
          ...(verified !== undefined && { verified }),
        }
        this.put(updated)
        return Promise.resolve(updated)
      },
      credentialsOf: (endpointId) => {
        const known = this.records.get(endpointId)
        if (known === undefined) return Promise.resolve(undefined)
        const { url, failoverUrl } = known
        return Promise.resolve({ secrets: [known.secret], headers: {}, url, ...(failoverUrl && { failoverUrl }) })
      },
    }
  }
}

export type Engine = {
  readonly dispatcher: Dispatcher
  readonly registry: Registry
  /** The value of a counter or gauge, summed over what `labels` leaves open. */
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number>
  stop(): Promise<void>
}

export function createDeliverer(options: Partial<DelivererOptions> = {}): Deliverer {
  return new Deliverer({
    policy: createAddressPolicy(['127.0.0.0/8']),
    resolve: createResolver({ timeoutMs: 1_000, localNames: true }),
    clock: systemClock,
    userAgent: 'Callhalf/test',
    ...options,
  })
}

export function createEventLog(redis: Pick<TestRedis, 'connect'>, logLengthMax?: number): RedisEventLog {
  return new RedisEventLog({
    general: new RedisLink(redis.connect()),
    subscriber: redis.connect(),
    clock: systemClock,
    random: Math.random,
    log: silentLogger,
    ...(logLengthMax !== undefined && { logLengthMax }),
  })
}

/** A dispatcher with everything real but the records. */
export async function startEngine(
  redis: Pick<TestRedis, 'connect'>,
  book: EndpointBook,
  options: {
    readonly eventLog?: DispatcherOptions['eventLog']
    readonly dispatcher?: Partial<DispatcherOptions>
    readonly deliverer?: Partial<DelivererOptions>
    readonly log?: Logger
  } = {},
): Promise<Engine> {
  const registry = new Registry()
  const dispatcher = new Dispatcher({
    connect: () => redis.connect(),
    eventLog: options.eventLog ?? createEventLog(redis),
    directory: book.directory,
    endpoints: book.endpoints,
    events: book.events,
    credentials: new CredentialCache(options.dispatcher?.endpoints ?? book.endpoints, systemClock),
    deliverer: createDeliverer(options.deliverer),
    metrics: new WebhookMetrics(registry),
    log: options.log ?? silentLogger,
    clock: systemClock,
    random: Math.random,
    ...options.dispatcher,
  })
  await dispatcher.start()
  return {
    dispatcher,
    registry,
    async metric(name, labels = {}) {
      const metric = await registry.getSingleMetric(name)?.get()
      return (metric?.values ?? [])
        .filter((each) => Object.entries(labels).every(([label, value]) => each.labels[label] === value))
        .reduce((sum, { value }) => sum + value, 0)
    },
    stop: () => dispatcher.stop(AbortSignal.timeout(2_000)),
  }
}

/** A call's event as ingest would log it. */
export const callEntry = (callId: string, sequence: number, type = 'call.updated') => ({
  id: `${callId}#${sequence}`,
  type,
  orderKey: callId,
  payload: JSON.stringify({ call_id: callId, sequence_number: String(sequence), state: 'active' }),
})
