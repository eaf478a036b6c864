import { Registry } from 'prom-client'
import type { Call } from '../../src/core/call.ts'
import { systemClock, type Clock } from '../../src/core/clock.ts'
import type { LogEntry } from '../../src/core/event-log.ts'
import {
  toAppId,
  toCallId,
  toNetworkId,
  toSubscriberId,
  type AppRef,
  type NetworkRef,
  type Shard,
} from '../../src/core/ids.ts'
import { ShardSchema } from '../../src/core/ids.ts'
import { silentLogger } from '../../src/core/logger.ts'
import type { CallChange, DeliveryOutcome, Fence, Observation } from '../../src/core/observation.ts'
import { Ingest } from '../../src/ingest.ts'
import { RedisCalls } from '../../src/state/calls.ts'
import { RedisConfirmations } from '../../src/state/confirmations.ts'
import { StoreConnection } from '../../src/state/connection.ts'
import { RedisEventLog } from '../../src/state/event-log.ts'
import { RedisGenerations } from '../../src/state/generations.ts'
import { RedisLeases, type LeaseTimes } from '../../src/state/leases.ts'
import { StateMetrics } from '../../src/state/metrics.ts'
import { StoreWatch } from '../../src/state/store-watch.ts'
import * as v from 'valibot'
import { FixedDirectory } from './fixed-directory.ts'

const shard: Shard = v.parse(ShardSchema, 'main')
export const network: NetworkRef = { networkId: toNetworkId('network-1'), shard }
export const app: AppRef = { appId: toAppId('app-1'), shard }
export const otherApp: AppRef = { appId: toAppId('app-2'), shard }
export const anna = toSubscriberId('anna@example.net')
export const bert = toSubscriberId('bert@example.net')
/** A lease that nobody was granted: the store knows no newer token. */
export const fence: Fence = { lease: 'channel', token: 1 }

export const aCall = (changes: Partial<Call> = {}): Call => ({
  callId: toCallId('callhalf-1:0'),
  state: 'ringing',
  direction: 'incoming',
  remoteNumber: '+15550100',
  trackingId: '1:1',
  startedAt: 1_000,
  ...changes,
})

export const report = (
  sequence: number,
  call: Call,
  change: CallChange = 'state',
  subscriberId = anna,
): Observation => ({
  networkId: network.networkId,
  subscriberId,
  upstream: { generation: 1, sequence },
  body: { type: 'calls', change, calls: [call] },
})

export const snapshot = (sequence: number, calls: readonly Call[], subscriberId = anna): Observation => ({
  networkId: network.networkId,
  subscriberId,
  upstream: { generation: 1, sequence },
  body: { type: 'snapshot', calls },
})

/** What one gateway process has of call state, on a real Redis. */
export class StateRig {
  readonly connection: StoreConnection
  readonly registry = new Registry()
  readonly metrics = new StateMetrics(this.registry)
  readonly directory: FixedDirectory
  readonly calls: RedisCalls
  readonly log: RedisEventLog
  readonly leases: RedisLeases
  readonly confirmations: RedisConfirmations
  readonly generations: RedisGenerations
  readonly watch: StoreWatch
  readonly ingest: Ingest
  /** Grows, so that two epochs begun in one millisecond differ for certain. */
  #draws = 0

  constructor(
    socketPath: string,
    options: { clock?: Clock; logLengthMax?: number; logAgeMaxMs?: number; times?: LeaseTimes } = {},
  ) {
    const clock = options.clock ?? systemClock
    this.connection = new StoreConnection({ address: { socketPath }, log: silentLogger })
    const { commit, general, subscriber } = this.connection
    const shared = {
      general,
      metrics: this.metrics,
      clock,
      random: () => (this.#draws += 0.001) % 1,
      log: silentLogger,
    }
    const bound = {
      ...(options.logLengthMax === undefined ? {} : { logLengthMax: options.logLengthMax }),
      ...(options.logAgeMaxMs === undefined ? {} : { logAgeMaxMs: options.logAgeMaxMs }),
    }
    const assign = (toApp: AppRef, subscriberId: typeof anna) => ({
      app: toApp,
      network,
      subscriberId,
      subscriberNumber: '+15550001',
      subscriberName: 'Anna "A" Ünal',
    })
    this.directory = new FixedDirectory({ networks: [network], assignments: [assign(app, anna), assign(app, bert)] })
    this.calls = new RedisCalls({ ...shared, ...bound, commit })
    this.log = new RedisEventLog({ ...shared, ...bound, subscriber })
    this.leases = new RedisLeases({ ...shared, ...(options.times === undefined ? {} : { times: options.times }) })
    this.confirmations = new RedisConfirmations({ general })
    this.generations = new RedisGenerations({ general, clock: systemClock })
    this.watch = new StoreWatch({ ...shared, pollMs: 20 })
    this.ingest = new Ingest({
      store: this.calls,
      directory: this.directory,
      metrics: this.metrics,
      clock,
      log: silentLogger,
    })
  }

  deliver(observation: Observation, under: Fence = fence): Promise<DeliveryOutcome> {
    return this.ingest.deliver(observation, under)
  }

  /** The whole log of an app's present epoch. */
  async entries(of: AppRef = app): Promise<readonly LogEntry[]> {
    const { epoch } = await this.log.top(of)
    const slice = await this.log.read(of, { epoch, offset: 0 }, 10_000)
    if (slice.kind === 'gap') throw new Error(`the log has a gap: ${slice.reason}`)
    return slice.entries
  }

  /** Of each entry: type and the payload's sequence number. */
  async told(of: AppRef = app): Promise<readonly string[]> {
    return (await this.entries(of)).map(({ type, payload }) => `${type} ${sequenceOf(payload)}`)
  }

  async metric(name: string): Promise<readonly { readonly labels: object; readonly value: number }[]> {
    const found = await this.registry.getSingleMetric(name)?.get()
    return (found?.values ?? []).map(({ labels, value }) => ({ labels, value }))
  }
}

const PayloadSchema = v.object({ sequence_number: v.string() })

export const sequenceOf = (payload: string): string => v.parse(PayloadSchema, JSON.parse(payload)).sequence_number
