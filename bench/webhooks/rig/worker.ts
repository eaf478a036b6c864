/** A gateway process that only delivers and records; started by {@link Child}. */
import { Redis } from 'ioredis'
import { Registry } from 'prom-client'
import { systemClock } from '../../../src/core/clock.ts'
import { createLogger } from '../../../src/logger.ts'
import { Cipher } from '../../../src/records/cipher.ts'
import { Records } from '../../../src/records/connection.ts'
import { Deliveries } from '../../../src/records/deliveries.ts'
import { RecordsDirectory } from '../../../src/records/directory.ts'
import { Endpoints } from '../../../src/records/endpoints.ts'
import { OperatorEvents } from '../../../src/records/operator-events.ts'
import { RedisLink } from '../../../src/state/connection.ts'
import { RedisEventLog } from '../../../src/state/event-log.ts'
import { createAddressPolicy } from '../../../src/webhooks/address-policy.ts'
import { CredentialCache } from '../../../src/webhooks/credential-cache.ts'
import { Deliverer } from '../../../src/webhooks/deliverer.ts'
import { Dispatcher } from '../../../src/webhooks/dispatcher.ts'
import { WebhookMetrics } from '../../../src/webhooks/metrics.ts'
import { Recorder } from '../../../src/webhooks/recorder.ts'
import { createResolver } from '../../../src/webhooks/resolver.ts'
import { answerCalls } from './child.ts'
import { BENCH_SECRET_KEY } from './secret-key.ts'

export type WorkerPlan = {
  /** Also the `user-agent` of its requests, by which a receiver tells workers apart. */
  readonly name: string
  readonly socketPath: string
  readonly databaseUrl: string
  readonly dataDir: string
  readonly logLevel: string
}

const STOP_TIMEOUT_MS = 8_000

type Running = { stop(): Promise<void> }

const registry = new Registry()
let running: Running | undefined

async function start(plan: WorkerPlan): Promise<void> {
  const log = createLogger(plan.logLevel).child({ worker: plan.name })
  const connect = () => new Redis({ path: plan.socketPath, maxRetriesPerRequest: null })
  const records = new Records({
    databaseUrl: plan.databaseUrl,
    dataDir: plan.dataDir,
    cipher: new Cipher([BENCH_SECRET_KEY]),
    clock: systemClock,
    log,
  })
  const directory = new RecordsDirectory({ records, clock: systemClock, log })
  const general = connect()
  const subscriber = connect()
  const eventLog = new RedisEventLog({
    general: new RedisLink(general),
    subscriber,
    clock: systemClock,
    random: Math.random,
    log,
  })
  const endpoints = new Endpoints(records, directory)
  const operatorEvents = new OperatorEvents(records)
  const dispatcher = new Dispatcher({
    connect,
    eventLog,
    directory,
    endpoints,
    events: operatorEvents,
    credentials: new CredentialCache(endpoints, systemClock),
    deliverer: new Deliverer({
      policy: createAddressPolicy(['127.0.0.0/8']),
      resolve: createResolver({ timeoutMs: 1_000, localNames: true }),
      clock: systemClock,
      userAgent: plan.name,
    }),
    metrics: new WebhookMetrics(registry),
    log,
    clock: systemClock,
    random: Math.random,
  })
  const recorder = new Recorder({
    connect,
    records: new Deliveries(records),
    events: operatorEvents,
    log,
    clock: systemClock,
  })
  await records.start()
  await directory.start()
  await recorder.start()
  await dispatcher.start()
  running = {
    async stop() {
      const deadline = AbortSignal.timeout(STOP_TIMEOUT_MS)
      await dispatcher.stop(deadline)
      await recorder.stop(deadline)
      await directory.stop()
      await records.stop(deadline)
      general.disconnect()
      subscriber.disconnect()
    },
  }
}

const calls = {
  start,
  /** Microseconds of CPU so far, and bytes of memory now. */
  usage() {
    const { user, system } = process.cpuUsage()
    return { cpuUs: user + system, rss: process.memoryUsage.rss() }
  },
  /** The value of a counter or gauge, summed over its labels. */
  async metric(name: string): Promise<number> {
    const metric = await registry.getSingleMetric(name)?.get()
    return (metric?.values ?? []).reduce((sum, { value }) => sum + value, 0)
  },
}

export type WorkerCalls = typeof calls

answerCalls(calls, async () => running?.stop())
