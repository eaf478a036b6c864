import { setTimeout as delay } from 'node:timers/promises'
import { Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import type { AppRef } from '../../../src/core/ids.ts'
import { RECORDS_KEY } from '../../../src/webhooks/keys.ts'
import { Child } from './child.ts'
import { preciseNow, summarise, type Summary } from './figures.ts'
import { composePayload, type Generator } from './generator.ts'
import type { Installation } from './installation.ts'
import { callChanges, pushThrough } from './load.ts'
import { PLAIN_QUEUE, type PlainJob, type PlainQueueCalls } from './plain-queue.ts'
import type { ReceiverCalls } from './receiver.ts'
import { readCpuSeconds } from './redis-figures.ts'
import type { SenderCalls } from './sender.ts'
import { paced, waitUntil } from './wait.ts'
import type { WorkerCalls } from './worker.ts'

/** Figures of one way of delivering at one pace. */
export type Measurement = {
  readonly perSecond: number
  /** From emitting an event to the receiver's having the whole request; none at full pace. */
  readonly latency: Summary
  /** Of the process that sends, per delivery. */
  readonly cpuUs: number
  /** Of redis-server, per delivery. */
  readonly redisUs: number
  readonly missing: number
}

/** A way of delivering. */
export interface Contender {
  readonly name: string
  atPace(perSecond: number, seconds: number): Promise<Measurement>
  atFullPace(count: number): Promise<Measurement>
}

export type Bench = {
  readonly installation: Installation
  readonly receiver: Child<ReceiverCalls>
  readonly urls: readonly string[]
  readonly generator: Generator
  /** One app per URL. */
  readonly apps: readonly AppRef[]
  readonly window: number
}

const SETTLE_MS = 1_000
const CONCURRENCY = 64
let rounds = 0

type Usage = () => Promise<{ readonly cpuUs: number }>

/** Runs `work` and puts together what it cost; `work` resolves with the deliveries asked for and the time. */
async function measure(
  { installation, receiver }: Bench,
  usage: Usage,
  work: () => Promise<{ readonly count: number; readonly seconds: number }>,
): Promise<Measurement> {
  await delay(SETTLE_MS)
  await receiver.call('take')
  const okBefore = (await receiver.call('counts')).ok
  const [cpuBefore, redisBefore] = [(await usage()).cpuUs, await readCpuSeconds(installation.redis)]
  const { count, seconds } = await work()
  const [cpuAfter, redisAfter] = [(await usage()).cpuUs, await readCpuSeconds(installation.redis)]
  await delay(SETTLE_MS)
  const arrivals = await receiver.call('take')
  const received = (await receiver.call('counts')).ok - okBefore
  return {
    perSecond: received / seconds,
    latency: summarise(arrivals.map(({ at, emittedAt }) => at - emittedAt)),
    cpuUs: (cpuAfter - cpuBefore) / received,
    redisUs: ((redisAfter - redisBefore) * 1e6) / received,
    missing: count - received,
  }
}

/** The gateway's delivery engine: ordered, gated, signed, recorded. */
export async function startOurs(bench: Bench, execArgv?: readonly string[]): Promise<Contender> {
  const worker: Child<WorkerCalls> = await bench.installation.startWorker('ours', {}, execArgv)
  const usage = () => worker.call('usage')
  const { installation, generator, apps, receiver, window } = bench
  return {
    name: 'callhalf',
    atPace: (perSecond, seconds) =>
      measure(bench, usage, async () => {
        const change = callChanges(`pace-${++rounds}`)
        const appending: Promise<void>[] = []
        await paced({ perSecond, seconds }, (index) => {
          const app = apps[index % apps.length]
          if (app !== undefined) appending.push(generator.append(app, [change(index)]))
        })
        await Promise.all(appending)
        await untilReceived(receiver, appending.length)
        await untilRecorded(installation.redis)
        return { count: appending.length, seconds }
      }),
    atFullPace: (count) =>
      measure(bench, usage, async () => {
        await receiver.call('keep', false)
        const { seconds } = await pushThrough({ generator, receiver, apps, count, window, prefix: `full-${++rounds}` })
        await receiver.call('keep', true)
        await untilRecorded(installation.redis)
        return { count, seconds }
      }),
  }
}

/** BullMQ as one would use it for this: a job per delivery, a worker that POSTs the same bytes. */
export async function startPlainQueue(bench: Bench): Promise<Contender & AsyncDisposable> {
  const child = bench.installation.adopt(new Child<PlainQueueCalls>('./plain-queue.ts'))
  await child.call('start', { socketPath: bench.installation.socketPath, concurrency: CONCURRENCY })
  const queue = new Queue<PlainJob>(PLAIN_QUEUE, {
    connection: { path: bench.installation.socketPath, maxRetriesPerRequest: null },
    defaultJobOptions: { removeOnComplete: true },
    streams: { events: { maxLen: 100 } },
  })
  const { urls, apps, receiver, window } = bench
  const usage = () => child.call('usage')
  const job = (prefix: string) => {
    const change = callChanges(prefix)
    return (index: number) => ({
      name: 'post',
      data: {
        url: urls[index % urls.length] ?? '',
        payload: JSON.stringify(composePayload(apps[index % apps.length]?.appId ?? '', change(index))),
      },
    })
  }
  return {
    name: 'plain BullMQ',
    atPace: (perSecond, seconds) =>
      measure(bench, usage, async () => {
        const jobOf = job(`plain-pace-${++rounds}`)
        const adding: Promise<unknown>[] = []
        await paced({ perSecond, seconds }, (index) => {
          const { name, data } = jobOf(index)
          adding.push(queue.add(name, data))
        })
        await Promise.all(adding)
        await untilReceived(receiver, adding.length)
        return { count: adding.length, seconds }
      }),
    atFullPace: (count) =>
      measure(bench, usage, async () => {
        await receiver.call('keep', false)
        const seconds = await addThrough({ queue, receiver, count, window, jobOf: job(`plain-full-${++rounds}`) })
        await receiver.call('keep', true)
        return { count, seconds }
      }),
    async [Symbol.asyncDispose]() {
      await queue.close()
    },
  }
}

/** As {@link pushThrough}, with jobs. */
async function addThrough(options: {
  readonly queue: Queue<PlainJob>
  readonly receiver: Child<ReceiverCalls>
  readonly count: number
  readonly window: number
  readonly jobOf: (index: number) => { readonly name: string; readonly data: PlainJob }
}): Promise<number> {
  const { queue, receiver, count, window, jobOf } = options
  const before = (await receiver.call('counts')).ok
  const startedAt = performance.now()
  let added = 0
  for (let received = 0; received < count && performance.now() - startedAt < 600_000;) {
    const room = Math.min(count - added, window - (added - received))
    if (room > 0) await queue.addBulk(Array.from({ length: room }, (_none, index) => jobOf(added + index)))
    added += Math.max(0, room)
    const now = (await receiver.call('counts')).ok - before
    if (now === received) await delay(10)
    received = now
  }
  return (performance.now() - startedAt) / 1_000
}

/** POSTs and nothing else: `bare` by undici, `signed` by the gateway's deliverer. */
export function startSender(bench: Bench, way: 'bare' | 'signed'): Contender {
  const child = bench.installation.adopt(new Child<SenderCalls>('./sender.ts', { name: way }))
  const { urls, receiver } = bench
  // The sender measures itself, so that starting to send is not counted.
  let cpuUs = 0
  const usage = () => Promise.resolve({ cpuUs })
  return {
    name: way === 'bare' ? 'bare undici' : 'attempt alone',
    atPace: (perSecond, seconds) =>
      measure(bench, usage, async () => {
        const result = await child.call('send', { urls, way, pace: 'even', perSecond, seconds })
        cpuUs += result.cpuUs
        return { count: result.sent, seconds }
      }),
    atFullPace: (count) =>
      measure(bench, usage, async () => {
        await receiver.call('keep', false)
        const result = await child.call('send', { urls, way, pace: 'full', concurrency: CONCURRENCY, count })
        await receiver.call('keep', true)
        cpuUs += result.cpuUs
        return { count: result.sent, seconds: result.seconds }
      }),
  }
}

/** Waits until so many more have arrived than were taken; what has not after 30 s is missing. */
async function untilReceived(receiver: Child<ReceiverCalls>, count: number): Promise<void> {
  const deadline = preciseNow() + 30_000
  while ((await receiver.call('held')) < count && preciseNow() < deadline) await delay(20)
}

/** Waits until what became of all deliveries is in the database: it costs processor time, too. */
const untilRecorded = (redis: Redis): Promise<void> =>
  waitUntil('the records', async () => (await redis.xlen(RECORDS_KEY)) === 0)
