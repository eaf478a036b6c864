import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { useCleanups } from '../../test/support/use-cleanups.ts'
import { useEmptyRedis } from '../../test/support/use-redis.ts'
import { until } from '../../test/support/until.ts'
import { systemClock } from '../core/clock.ts'
import { toAppId, toEndpointId } from '../core/ids.ts'
import { silentLogger } from '../core/logger.ts'
import type { Lane } from './delivery.ts'
import { DeliveryStore } from './delivery-store.ts'
import { Drains } from './drains.ts'
import { WebhookMetrics } from './metrics.ts'
import { WakeUpQueue } from './queue.ts'

const redis = useEmptyRedis()
const cleanups = useCleanups()

const lane = (orderKey: string): Lane => ({ appId: toAppId('app'), endpointId: toEndpointId('endpoint'), orderKey })

/** Drains on a real queue; `drain` is told how often it has been called. */
async function start(drain: (call: number) => Promise<number | undefined>, capacity?: number) {
  const calls: { readonly orderKey: string; readonly owner: string; readonly at: number }[] = []
  const queue = new WakeUpQueue({ connect: () => redis.connect(), log: silentLogger, clock: systemClock })
  const drains = new Drains({
    drain: ({ orderKey }, owner) => {
      calls.push({ orderKey, owner, at: Date.now() })
      return drain(calls.length)
    },
    queue,
    store: new DeliveryStore(redis.connect()),
    metrics: new WebhookMetrics(new Registry()),
    log: silentLogger,
    clock: systemClock,
    ...(capacity !== undefined && { capacity }),
  })
  await queue.start({ drain: (each) => drains.drain(each), reopen: () => Promise.resolve() })
  cleanups.push(() => queue.stop(AbortSignal.timeout(1_000)))
  cleanups.push(() => drains.stop(AbortSignal.timeout(1_000)))
  return { queue, drains, calls }
}

test('no more lanes are worked on at once than there is room for, and a lane that ends makes room', async () => {
  const ends = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()]
  const { drains, calls } = await start((call) => ends[call - 1]?.promise ?? Promise.resolve(undefined), 2)
  expect([drains.start(lane('a')), drains.start(lane('b')), drains.start(lane('c'))]).toEqual([true, true, false])
  expect(calls.map(({ orderKey }) => orderKey)).toEqual(['a', 'b'])
  ends[0]?.resolve(undefined)
  await until('room', () => drains.start(lane('c')))
  ends[1]?.resolve(undefined)
})

test('a lane that is to be come back to has a job for then, with another owner', async () => {
  const due = Date.now() + 200
  const { drains, calls } = await start((call) => Promise.resolve(call === 1 ? due : undefined))
  drains.start(lane('a'))
  await until('the second time', () => calls.length === 2)
  expect(calls[1]?.at).toBeGreaterThanOrEqual(due - 2)
  expect(calls[1]?.owner).not.toBe(calls[0]?.owner)
})

test('a lane that could not be worked on has a job for a second later', async () => {
  const { drains, calls } = await start((call) =>
    call === 1 ? Promise.reject(new Error('the store is away')) : Promise.resolve(undefined),
  )
  drains.start(lane('a'))
  await until('the second time', () => calls.length === 2)
  expect((calls[1]?.at ?? 0) - (calls[0]?.at ?? 0)).toBeGreaterThanOrEqual(990)
})

test('a stop starts nothing more, and waits for lanes in work and until they are handed over', async () => {
  const end = Promise.withResolvers<number>()
  const { drains, queue, calls } = await start(() => end.promise)
  drains.start(lane('a'))
  const paused = queue.pause(AbortSignal.timeout(5_000))
  const order: string[] = []
  const stopped = drains.stop(AbortSignal.timeout(5_000)).then(() => order.push('stopped'))
  expect(drains.start(lane('b'))).toBe(false)
  await paused
  order.push('ended')
  end.resolve(Date.now())
  await stopped
  expect(order).toEqual(['ended', 'stopped'])
  expect(await redis.connect().zcard('ch:{wh}:bull:lanes:delayed')).toBe(0)
  expect(await redis.connect().llen('ch:{wh}:bull:lanes:wait')).toBe(1)
  expect(calls).toHaveLength(1)
})

test('a stop gives up waiting shortly after its deadline', async () => {
  const end = Promise.withResolvers<undefined>()
  const { drains } = await start(() => end.promise)
  drains.start(lane('a'))
  const startedAt = performance.now()
  await drains.stop(AbortSignal.timeout(100))
  expect(performance.now() - startedAt).toBeLessThan(2_500)
  end.resolve(undefined)
})
