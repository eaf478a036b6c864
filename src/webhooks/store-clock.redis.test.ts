import { expect, test } from 'vitest'
import { useCleanups } from '../../test/support/use-cleanups.ts'
import { useEmptyRedis } from '../../test/support/use-redis.ts'
import { until } from '../../test/support/until.ts'
import { EndpointBook, callEntry, createEventLog, startEngine } from '../../test/support/webhook-engine.ts'
import { WebhookReceiver } from '../../test/support/webhook-receiver.ts'
import { systemClock } from '../core/clock.ts'
import type { Clock } from '../core/clock.ts'
import { StoreClock } from './store-clock.ts'

const redis = useEmptyRedis()
const cleanups = useCleanups()

/** The clock of a machine that is ahead of this one, on which Redis runs. */
const aheadBy = (ms: number): Clock => ({ ...systemClock, now: () => Date.now() + ms })

test.each([-60_000, 10_000])('the time of a machine that is %d ms ahead is corrected to that of Redis', async (ms) => {
  const clock = new StoreClock(aheadBy(ms))
  expect(await clock.measure(redis.connect())).toBeCloseTo(-ms, -2)
  expect(Math.abs(clock.now() - Date.now())).toBeLessThan(100)
})

test('clocks that differ by little are left alone', async () => {
  const clock = new StoreClock(aheadBy(40))
  expect(await clock.measure(redis.connect())).toBe(0)
  // What it took to ask tells of no difference either.
  const times = [10_000_000, 10_003_000]
  const slow = new StoreClock({ ...systemClock, now: () => times.shift() ?? 0 })
  expect(await slow.measure({ time: () => Promise.resolve([10_002, 500_000]) })).toBe(0)
})

test('a process whose clock is ahead leaves alone what another one is working on', async () => {
  const receiver = await new WebhookReceiver().start()
  cleanups.push(() => receiver.stop())
  const answering = Promise.withResolvers<void>()
  receiver.answer((res) => void answering.promise.then(() => res.writeHead(200).end()))
  const book = new EndpointBook()
  book.add(receiver.url)
  const eventLog = createEventLog(redis)
  const working = await startEngine(redis, book, { eventLog })
  cleanups.push(() => working.stop())
  await eventLog.append(book.app, callEntry('call-1', 1))
  await until('the request to arrive', () => receiver.received[0])

  const hasty = await startEngine(redis, book, { eventLog, dispatcher: { clock: aheadBy(60_000) } })
  cleanups.push(() => hasty.stop())
  expect(await hasty.metric('callhalf_redis_clock_offset_seconds')).toBeCloseTo(-60, 0)
  // Its first sweep, in which it would find the lease lapsed for a minute.
  await until('a sweep', async () => ((await hasty.metric('callhalf_webhook_pending')) === 1 ? true : undefined))
  expect(await hasty.metric('callhalf_webhook_wakeups_healed_total')).toBe(0)
  answering.resolve()
  await until('the delivery', async () =>
    (await working.metric('callhalf_webhook_attempts_total')) === 1 ? 1 : undefined,
  )
  expect(receiver.received).toHaveLength(1)
})

test('a process whose clock is ahead retries when it is time, and not over and over before', async () => {
  const receiver = await new WebhookReceiver().start()
  cleanups.push(() => receiver.stop())
  receiver.answer((res) => res.writeHead(receiver.received.length === 1 ? 500 : 200).end())
  const book = new EndpointBook()
  book.add(receiver.url, { policies: { '*': { delaysMs: [800] } } })
  const eventLog = createEventLog(redis)
  // The whole process is ahead, so BullMQ is, too.
  const { now } = Date
  Date.now = () => now() + 60_000
  cleanups.push(() => Promise.resolve((Date.now = now)))
  const engine = await startEngine(redis, book, { eventLog, dispatcher: { random: () => 0.5 } })
  cleanups.push(() => engine.stop())
  expect(await engine.metric('callhalf_redis_clock_offset_seconds')).toBeCloseTo(-60, 0)
  await eventLog.append(book.app, callEntry('call-1', 1))
  await until('the first request', () => receiver.received[0])
  const failedAt = performance.now()
  await until('the retry', () => receiver.received[1])
  expect(performance.now() - failedAt).toBeLessThan(2_500)
  expect(await engine.metric('callhalf_webhook_drains_total', { by: 'queue' })).toBe(1)
  expect(await engine.metric('callhalf_webhook_wakeups_healed_total')).toBe(0)
})
