import { Registry } from 'prom-client'
import * as v from 'valibot'
import type { Adapter } from '../../src/core/adapter.ts'
import { systemClock } from '../../src/core/clock.ts'
import type { NetworkRef, SubscriberId } from '../../src/core/ids.ts'
import { ShardSchema, toNetworkId, toSubscriberId } from '../../src/core/ids.ts'
import type { GenerationStore } from '../../src/core/lease.ts'
import type { Logger } from '../../src/core/logger.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { broadsoft } from '../../src/broadsoft/adapter.ts'
import type { BroadsoftConfig } from '../../src/broadsoft/config.ts'
import { BroadsoftConfigSchema } from '../../src/broadsoft/config.ts'
import { BroadsoftMetrics } from '../../src/broadsoft/metrics.ts'
import { Simulator } from '../../src/simulator/simulator.ts'
import type { SimulatorSettings } from '../../src/simulator/settings.ts'
import { DoubtBook } from './doubt-book.ts'
import { InstanceList } from './instance-list.ts'
import { LeaseBook } from './lease-book.ts'
import { RecordingSink } from './recording-sink.ts'

export const NETWORK: NetworkRef = { networkId: toNetworkId('net-1'), shard: v.parse(ShardSchema, 'shard-1') }
const USERNAME = 'admin@example.net'
export const PASSWORD = 'correct horse'

/** The subscribers wanted, to be changed while adapters run. */
export class WantedList {
  #ids: readonly SubscriberId[]
  readonly #listeners = new Set<() => void>()

  constructor(ids: readonly string[]) {
    this.#ids = ids.map(toSubscriberId)
  }

  list(): readonly SubscriberId[] {
    return this.#ids
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  set(ids: readonly string[]): void {
    this.#ids = ids.map(toSubscriberId)
    for (const listener of this.#listeners) listener()
  }
}

export type LedgerEntry = {
  readonly subscription_id: string
  readonly user_id: string
  readonly type: string
  readonly emissions: readonly { readonly channel_id: string }[]
  readonly acked_at: number | null
  readonly ack_status: number | null
  readonly expired_reason: string | null
}

type ListedChannel = {
  readonly channel_id: string
  readonly priority: number
  readonly xsp_index: number
  readonly opened_at: number
  readonly last_heartbeat_at: number
  readonly expires_at: number | null
}
type ListedSubscription = {
  readonly subscription_id: string
  readonly expires_at: number
  readonly target: { readonly type: string; readonly id: string }
  readonly application_id: string
}
export type Instance = {
  readonly adapter: Adapter
  readonly sink: RecordingSink
  readonly registry: Registry
  /** A metric's value with these labels; 0 when there is none. */
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number>
}

export type RigOptions = {
  readonly xsps?: number
  readonly users?: number
  readonly wanted?: readonly string[]
  readonly settings?: Partial<SimulatorSettings>
}

/** A simulated BroadWorks and any number of adapter instances on it, over real sockets. */
export class BroadsoftRig implements AsyncDisposable {
  readonly simulator: Simulator
  readonly leases = new LeaseBook()
  readonly generations = new GenerationBook()
  readonly confirmations = new DoubtBook()
  readonly instances = new InstanceList()
  readonly wanted: WantedList
  readonly #adapters: Adapter[] = []

  private constructor(simulator: Simulator, wanted: readonly string[]) {
    this.simulator = simulator
    this.wanted = new WantedList(wanted)
  }

  /** Users are `user1@example.net` and on; by default two, both wanted. */
  static async start({ xsps = 1, users = 2, wanted, settings = {} }: RigOptions = {}): Promise<BroadsoftRig> {
    const simulator = new Simulator({
      ports: Array.from({ length: xsps }, () => 0),
      username: USERNAME,
      password: PASSWORD,
      log: silentLogger,
      settings,
    })
    await simulator.start()
    const ids = Array.from({ length: users }, (_, index) => `user${index + 1}@example.net`)
    const rig = new BroadsoftRig(simulator, wanted ?? ids)
    await rig.control('POST', '/users', { count: users })
    return rig
  }

  /**
   * Starts an adapter, by default as the last in line; `config` may break the schema's bounds, to make time
   * short.
   */
  async startAdapter(
    config: Partial<BroadsoftConfig> = {},
    { log = silentLogger, place }: { readonly log?: Logger | undefined; readonly place?: number } = {},
  ): Promise<Instance> {
    const registry = new Registry()
    const sink = new RecordingSink()
    const parsed = v.parse(BroadsoftConfigSchema, {
      xsp: [...this.simulator.xspUrls],
      username: USERNAME,
      password: PASSWORD,
    })
    const adapter = broadsoft(new BroadsoftMetrics(registry)).create({
      network: NETWORK,
      config: { ...parsed, ...config },
      sink,
      wanted: this.wanted,
      leases: this.leases,
      generations: this.generations,
      confirmations: this.confirmations,
      instances: this.instances.join(`instance-${this.#adapters.length + 1}`, place),
      channelSetId: 'set-1',
      takesChannels: true,
      applicationId: 'app-1',
      log,
      clock: systemClock,
      random: Math.random,
    })
    this.#adapters.push(adapter)
    await adapter.start()
    return { adapter, sink, registry, metric: (name, labels = {}) => readMetric(registry, name, labels) }
  }

  /** Sends a request to the simulator's control API. */
  async control<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await fetch(this.simulator.controlUrl + path, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
    return JSON.parse(text === '' ? '{}' : text)
  }

  async channels(): Promise<readonly ListedChannel[]> {
    return (await this.control<{ readonly channels: readonly ListedChannel[] }>('GET', '/channels')).channels
  }

  async subscriptions(): Promise<readonly ListedSubscription[]> {
    const { subscriptions } = await this.control<{ readonly subscriptions: readonly ListedSubscription[] }>(
      'GET',
      '/subscriptions',
    )
    return subscriptions
  }

  /** The events of a type that the simulator made, oldest first. */
  async ledger(type?: string): Promise<readonly LedgerEntry[]> {
    const { entries } = await this.control<{ readonly entries: readonly LedgerEntry[] }>('GET', '/ledger?limit=10000')
    return entries.filter((entry) => type === undefined || entry.type === type)
  }

  /** A phone of the user rings. */
  async ring(userId: string, from = '+15559990000'): Promise<string> {
    const { call_id: callId } = await this.control<{ readonly call_id: string }>(
      'POST',
      `/users/${userId}/incoming-calls`,
      { from },
    )
    return callId
  }

  /** A request to the XSI of a node, with the administrator's credentials. */
  xsi(method: string, path: string, body?: string): Promise<Response> {
    return fetch(`${this.simulator.xspUrls[0] ?? ''}${path}`, {
      method,
      headers: { authorization: `Basic ${Buffer.from(`${USERNAME}:${PASSWORD}`).toString('base64')}` },
      ...(body === undefined ? {} : { body }),
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#adapters.map((adapter) => adapter.stop(AbortSignal.timeout(1000))))
    await this.simulator.stop(AbortSignal.timeout(1000))
  }
}

async function readMetric(registry: Registry, name: string, labels: Readonly<Record<string, string>>): Promise<number> {
  const metric = await registry.getSingleMetric(name)?.get()
  const found = metric?.values.filter((value) =>
    Object.entries(labels).every(([label, expected]) => value.labels[label] === expected),
  )
  return (found ?? []).reduce((sum, { value }) => sum + value, 0)
}

class GenerationBook implements GenerationStore {
  readonly #known = new Map<string, number>()

  async generationOf(_network: NetworkRef, subscriptionId: string): Promise<number> {
    const generation = this.#known.get(subscriptionId) ?? this.#known.size + 1
    this.#known.set(subscriptionId, generation)
    return generation
  }
}
