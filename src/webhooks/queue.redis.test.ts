import { Queue } from 'bullmq'
import { expect, test } from 'vitest'
import { useCleanups } from '../../test/support/use-cleanups.ts'
import { useEmptyRedis } from '../../test/support/use-redis.ts'
import { until } from '../../test/support/until.ts'
import { systemClock } from '../core/clock.ts'
import { toAppId, toEndpointId } from '../core/ids.ts'
import { silentLogger } from '../core/logger.ts'
import type { EndpointRef, Lane } from './delivery.ts'
import { QUEUE_PREFIX } from './keys.ts'
import { WakeUpQueue } from './queue.ts'

const redis = useEmptyRedis()
const cleanups = useCleanups()

const endpoint: EndpointRef = { appId: toAppId('app'), endpointId: toEndpointId('endpoint') }
const lane: Lane = { ...endpoint, orderKey: 'callhalf-1:0' }
const HOUR = 3_600_000

type Ran = { readonly at: number; readonly name: string }

/** A queue whose work is noted, and answered by `drain`. */
async function start(drain: () => Promise<number | undefined> = () => Promise.resolve(undefined)) {
  const ran: Ran[] = []
  const queue = new WakeUpQueue({ connect: () => redis.connect(), log: silentLogger, clock: systemClock })
  await queue.start({
    drain: ({ orderKey }) => {
      ran.push({ at: Date.now(), name: orderKey })
      return drain()
    },
    reopen: ({ endpointId }) => {
      ran.push({ at: Date.now(), name: `reopen ${endpointId}` })
      return Promise.resolve()
    },
  })
  cleanups.push(() => queue.stop(AbortSignal.timeout(1_000)))
  return { queue, ran }
}

const rawQueue = async () => {
  const raw = new Queue('lanes', { connection: redis.connect(), prefix: QUEUE_PREFIX })
  cleanups.push(() => raw.close())
  await raw.waitUntilReady()
  return raw
}

const ranTimes = (ran: readonly Ran[], count: number, timeoutMs?: number) =>
  until(`${count} runs`, () => ran.length >= count, timeoutMs)

test('of a lane that was put off, a wake-up for now takes the place', async () => {
  const { queue, ran } = await start()
  await queue.add([{ lane, at: Date.now() + HOUR }])
  await queue.add([{ lane }])
  await ranTimes(ran, 1)
  expect(await (await rawQueue()).getJobCounts()).toMatchObject({ delayed: 0, waiting: 0 })
})

test('of a lane that was put off, a wake-up for an earlier time takes the place', async () => {
  const { queue, ran } = await start()
  const now = Date.now()
  await queue.add([{ lane, at: now + HOUR }])
  await queue.add([{ lane, at: now + 300 }])
  await ranTimes(ran, 1)
  expect((ran[0]?.at ?? 0) - now).toBeGreaterThanOrEqual(295)
  expect(await (await rawQueue()).getJobCounts()).toMatchObject({ delayed: 0, waiting: 0 })
})

test('of a lane that was put off, a wake-up for a later time takes the place, too', async () => {
  const { queue, ran } = await start()
  await queue.add([{ lane, at: Date.now() + 500 }])
  await queue.add([{ lane, at: Date.now() + HOUR }])
  const raw = await rawQueue()
  const jobs = await raw.getDelayed()
  expect(jobs.map(({ opts }) => Math.round((opts.delay ?? 0) / 1_000))).toEqual([3_600])
  expect(ran).toEqual([])
})

test('a wake-up of a lane that is worked on is kept for when that has ended, its delay counted from then', async () => {
  const gate = Promise.withResolvers<undefined>()
  const { queue, ran } = await start(() => (ran.length === 1 ? gate.promise : Promise.resolve(undefined)))
  await queue.add([{ lane }])
  await ranTimes(ran, 1)
  await queue.add([{ lane, at: Date.now() + 200 }])
  const raw = await rawQueue()
  await until('the time that was asked for', () => Date.now() - (ran[0]?.at ?? 0) > 300)
  expect(ran).toHaveLength(1)
  const endedAt = Date.now()
  gate.resolve(undefined)
  await ranTimes(ran, 2)
  expect((ran[1]?.at ?? 0) - endedAt).toBeGreaterThanOrEqual(195)
  await until('all done', async () => (await raw.getJobCountByTypes('active', 'delayed', 'waiting')) === 0)
  expect(ran).toHaveLength(2)
})

test('a wake-up of a lane that is worked on and then put off is kept until that has run again', async () => {
  const again = Promise.withResolvers<number>()
  const { queue, ran } = await start(() => (ran.length === 1 ? again.promise : Promise.resolve(undefined)))
  await queue.add([{ lane }])
  await ranTimes(ran, 1)
  await queue.add([{ lane }])
  const due = Date.now() + 400
  again.resolve(due)
  await ranTimes(ran, 3)
  expect(ran[1]?.at).toBeGreaterThanOrEqual(due - 5)
  const raw = await rawQueue()
  await until('all done', async () => (await raw.getJobCountByTypes('active', 'delayed', 'waiting')) === 0)
  expect(ran).toHaveLength(3)
})

test('a lane is put off until the time that its work asked for, and no attempt is counted for it', async () => {
  const asked: number[] = []
  const { queue, ran } = await start(() => {
    if (asked.length === 3) return Promise.resolve(undefined)
    asked.push(Date.now() + 50)
    return Promise.resolve(asked.at(-1))
  })
  await queue.add([{ lane }])
  await ranTimes(ran, 4)
  asked.forEach((time, i) => expect(ran[i + 1]?.at).toBeGreaterThanOrEqual(time - 2))
  const raw = await rawQueue()
  await until('all done', async () => (await raw.getJobCountByTypes('active', 'delayed', 'waiting', 'failed')) === 0)
})

test('work that rejects is tried again a second later', async () => {
  const { queue, ran } = await start(() =>
    ran.length === 1 ? Promise.reject(new Error('the store is away')) : Promise.resolve(undefined),
  )
  await queue.add([{ lane }])
  await ranTimes(ran, 2)
  expect((ran[1]?.at ?? 0) - (ran[0]?.at ?? 0)).toBeGreaterThanOrEqual(990)
})

test('of two times to reopen an endpoint the earlier one is kept, whichever is asked for first', async () => {
  const { queue, ran } = await start()
  const raw = await rawQueue()
  const now = Date.now()
  const timesOf = async () =>
    (await raw.getDelayed()).map(({ timestamp, opts }) => Math.round((timestamp + (opts.delay ?? 0) - now) / 1_000))
  await queue.addReopen(endpoint, now + 60_000)
  await queue.addReopen(endpoint, now + 120_000)
  expect(await timesOf()).toEqual([60])
  await queue.addReopen(endpoint, now + 30_000)
  expect(await timesOf()).toEqual([30])
  await queue.addReopen(endpoint, now)
  await ranTimes(ran, 1)
  expect(ran[0]?.name).toBe('reopen endpoint')
  expect(await timesOf()).toEqual([])
})

test('an endpoint whose reopening was asked for while it is reopened is reopened once more', async () => {
  const queue = new WakeUpQueue({ connect: () => redis.connect(), log: silentLogger, clock: systemClock })
  let reopened = 0
  await queue.start({
    drain: () => Promise.resolve(undefined),
    reopen: async (ref) => {
      reopened += 1
      if (reopened === 1) await queue.addReopen(ref, Date.now() + 100)
    },
  })
  cleanups.push(() => queue.stop(AbortSignal.timeout(1_000)))
  await queue.addReopen(endpoint, Date.now())
  expect(await until('the second time', () => reopened === 2)).toBe(true)
})

test('the age of the queue is that of the oldest wake-up that is due and that nobody has taken', async () => {
  const release = Promise.withResolvers<undefined>()
  const queue = new WakeUpQueue({
    connect: () => redis.connect(),
    log: silentLogger,
    clock: systemClock,
    concurrency: 1,
  })
  let running = 0
  await queue.start({
    drain: () => {
      running += 1
      return release.promise
    },
    reopen: () => Promise.resolve(),
  })
  cleanups.push(() => queue.stop(AbortSignal.timeout(1_000)))
  expect(await queue.oldestDue()).toBeUndefined()
  await queue.add([{ lane: { ...lane, orderKey: 'a' }, at: Date.now() + HOUR }])
  expect(await queue.oldestDue()).toBeUndefined()
  await queue.add([{ lane: { ...lane, orderKey: 'b' } }])
  await until('the worker at work', () => running === 1)
  const before = Date.now()
  await queue.add([{ lane: { ...lane, orderKey: 'c' } }])
  const oldest = await until('something due', () => queue.oldestDue())
  expect(oldest).toBeGreaterThanOrEqual(before)
  expect(oldest).toBeLessThanOrEqual(Date.now())
  release.resolve(undefined)
})

test('a stop leaves nothing active and keeps what was handed over during it', async () => {
  const release = Promise.withResolvers<number>()
  const { queue, ran } = await start(() => release.promise)
  await queue.add([{ lane }])
  await ranTimes(ran, 1)
  const stopped = queue.pause(AbortSignal.timeout(5_000))
  await queue.add([{ lane: { ...lane, orderKey: 'callhalf-2:0' } }])
  release.resolve(Date.now())
  await stopped
  await queue.stop(AbortSignal.timeout(5_000))
  // The worker may have fetched the second one as it stopped, and put it off like the first.
  const { active, waiting = 0, delayed = 0 } = await (await rawQueue()).getJobCounts()
  expect({ active, kept: waiting + delayed }).toEqual({ active: 0, kept: 2 })
})
