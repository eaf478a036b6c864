import { Registry } from 'prom-client'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { startTestRedis } from '../../test/support/redis.ts'
import type { TestRedis } from '../../test/support/redis.ts'
import { createDeliverer, EndpointBook } from '../../test/support/webhook-engine.ts'
import { WebhookReceiver } from '../../test/support/webhook-receiver.ts'
import { systemClock } from '../core/clock.ts'
import { silentLogger } from '../core/logger.ts'
import { DeliveryStore } from './delivery-store.ts'
import { Drainer } from './drainer.ts'
import { WebhookMetrics } from './metrics.ts'
import { SecretCache } from './secret-cache.ts'

const EPOCH = '1700000000000000'
let redis: TestRedis
beforeAll(async () => {
  redis = await startTestRedis()
})
afterEach(() => redis.connect().flushall())
afterAll(() => redis.stop())

/** A drainer, and a lane with `count` events whose payloads are 1, 2, …. */
async function setUp(url: string, count: number) {
  const book = new EndpointBook()
  const { endpointId } = book.add(url)
  const { appId } = book.app
  const store = new DeliveryStore(redis.connect())
  const deliverer = createDeliverer()
  deliverer.start()
  const offsets = Array.from({ length: count }, (_, i) => i + 1)
  await store.open({ appId, endpointId }, { epoch: EPOCH, offset: 0 })
  const events = offsets.map((offset) => ({
    position: { epoch: EPOCH, offset },
    eventId: `${appId}:${EPOCH}-${offset}`,
    type: 'call.updated',
    acceptedAt: Date.now(),
    payload: String(offset),
  }))
  await store.take(
    {
      appId,
      last: { epoch: EPOCH, offset: count },
      events,
      endpoints: [{ endpointId, wanted: offsets.map((_, place) => ({ place, orderKey: 'lane' })) }],
    },
    Date.now(),
  )
  const drainer = new Drainer({
    store,
    deliverer,
    secrets: new SecretCache(book.endpoints, systemClock),
    directory: book.directory,
    endpoints: book.endpoints,
    schedule: { delaysMs: [20], horizonMs: 60_000 },
    wake: () => Promise.resolve(),
    metrics: new WebhookMetrics(new Registry()),
    log: silentLogger,
    clock: systemClock,
    random: Math.random,
  })
  return { store, drainer, deliverer, lane: { appId, endpointId, orderKey: 'lane' }, events }
}

test.each([
  ['delivered', 200],
  ['failed to deliver', 500],
])('an owner whose event was taken off meanwhile, by a former one, goes on once it has %s it', async (_, status) => {
  const receiver = await new WebhookReceiver().start()
  const arrived = Promise.withResolvers<() => void>()
  receiver.answer((res, { body }) => {
    if (body === '1') arrived.resolve(() => void res.writeHead(status).end())
    else res.writeHead(200).end()
  })
  const { store, drainer, deliverer, lane, events } = await setUp(receiver.url, 3)
  const drained = drainer.drain(lane)
  const answerFirst = await arrived.promise
  // The owner before, which had stalled, reports its delivery of the same event.
  expect(await store.settle(lane, events[0]?.eventId ?? '', Date.now())).toMatchObject({ kind: 'more' })
  answerFirst()
  expect(await drained).toBeUndefined()
  expect(receiver.received.map(({ body }) => body)).toEqual(['1', '2', '3'])
  expect(await store.pending()).toBe(0)
  await deliverer.stop()
  await receiver.stop()
})

test('an owner that was replaced while it sent leaves the lane to the other one', async () => {
  const receiver = await new WebhookReceiver().start()
  const arrived = Promise.withResolvers<() => void>()
  receiver.answer((res) => arrived.resolve(() => void res.writeHead(200).end()))
  const { store, drainer, deliverer, lane, events } = await setUp(receiver.url, 3)
  const drained = drainer.drain(lane)
  const answerFirst = await arrived.promise
  await store.begin(lane, { owner: 'another', fresh: true, now: Date.now() })
  expect(await store.settle(lane, events[0]?.eventId ?? '', Date.now())).toMatchObject({ kind: 'more' })
  answerFirst()
  expect(await drained).toBeUndefined()
  expect(receiver.received.map(({ body }) => body)).toEqual(['1'])
  expect(await store.pending()).toBe(2)
  await deliverer.stop()
  await receiver.stop()
})
