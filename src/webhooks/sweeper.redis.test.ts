import { Registry } from 'prom-client'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { startTestRedis } from '../../test/support/redis.ts'
import type { TestRedis } from '../../test/support/redis.ts'
import { EndpointBook } from '../../test/support/webhook-engine.ts'
import { systemClock } from '../core/clock.ts'
import type { Endpoint } from '../core/endpoint.ts'
import { silentLogger } from '../core/logger.ts'
import { DeliveryStore } from './delivery-store.ts'
import { WebhookMetrics } from './metrics.ts'
import { Sweeper } from './sweeper.ts'

const START = { epoch: '1700000000000000', offset: 7 }
let redis: TestRedis
beforeAll(async () => {
  redis = await startTestRedis()
})
afterEach(() => redis.connect().flushall())
afterAll(() => redis.stop())

/** A sweep over one disabled endpoint; `afterFind` happens when its record has been read for the first time. */
async function sweepDisabled(afterFind: (book: EndpointBook, endpoint: Endpoint & { secret: string }) => void) {
  const book = new EndpointBook()
  const endpoint = { ...book.add('https://hooks.example.net/'), enabled: false }
  book.put(endpoint)
  const store = new DeliveryStore(redis.connect())
  await store.open(endpoint, START)
  let isFirst = true
  const sweeper = new Sweeper({
    store,
    // Another instance's change is not known here yet.
    directory: { apps: () => [book.app], endpointsOf: () => [] },
    endpoints: {
      find: async (appId, endpointId) => {
        const found = await book.endpoints.find(appId, endpointId)
        if (isFirst) afterFind(book, endpoint)
        isFirst = false
        return found
      },
    },
    wake: () => Promise.resolve(),
    metrics: new WebhookMetrics(new Registry()),
    log: silentLogger,
    clock: systemClock,
  })
  await sweeper.run()
  return (await store.cursors(book.app.appId)).get(endpoint.endpointId)
}

test('a disabled endpoint loses its place in the log', async () => {
  expect(await sweepDisabled(() => undefined)).toBeUndefined()
})

test('an endpoint enabled while the sweep took it for disabled keeps its place in the log', async () => {
  expect(await sweepDisabled((book, endpoint) => book.put({ ...endpoint, enabled: true }))).toEqual(START)
})

test('an endpoint removed during the sweep has none', async () => {
  expect(await sweepDisabled((book, { endpointId }) => book.remove(endpointId))).toBeUndefined()
})
