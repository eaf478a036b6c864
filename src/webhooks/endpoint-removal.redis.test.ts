import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { DeliveryRig, appId, deliveryIdOf } from '../../test/support/delivery-rig.ts'
import { useEmptyRedis } from '../../test/support/use-redis.ts'
import { EndpointBook } from '../../test/support/webhook-engine.ts'
import type { BookedEndpoint } from '../../test/support/webhook-engine.ts'
import type { EndpointRepository } from '../core/endpoint.ts'
import { toEndpointId } from '../core/ids.ts'
import { silentLogger } from '../core/logger.ts'
import { forgetEndpoint } from './endpoint-removal.ts'
import { FailureWatch } from './failure-watch.ts'
import { WebhookMetrics } from './metrics.ts'

const redis = useEmptyRedis()

/** A disabled endpoint with one pending event and its place behind it; `onFind` is told how often it was read. */
async function createScene(onFind: (book: EndpointBook, endpoint: BookedEndpoint, times: number) => void) {
  const book = new EndpointBook(appId)
  const endpoint = book.add('https://hooks.example.net/', { endpointId: toEndpointId('endpoint'), enabled: false })
  const rig = await new DeliveryRig(redis.connect()).open('endpoint')
  await rig.take([{ key: 'a' }])
  await rig.facts()
  let times = 0
  const endpoints: Pick<EndpointRepository, 'find' | 'update'> = {
    update: (...args) => book.endpoints.update(...args),
    find: async (app, endpointId) => {
      const found = await book.endpoints.find(app, endpointId)
      times += 1
      onFind(book, endpoint, times)
      return found
    },
  }
  const parts = { store: rig.store, endpoints, clock: { now: () => rig.now } }
  const place = async () => (await rig.store.cursors(appId)).get(endpoint.endpointId)?.offset
  return { book, endpoint, rig, parts, place }
}

const enable = (book: EndpointBook, endpoint: BookedEndpoint) => book.put({ ...endpoint, enabled: true })

test('an endpoint that may be sent nothing loses its place, and what is pending is dropped', async () => {
  const { endpoint, rig, parts, place } = await createScene(() => undefined)
  expect(await forgetEndpoint(parts, endpoint)).toBe(1)
  expect(await place()).toBeUndefined()
  expect(await rig.ended()).toEqual({ [deliveryIdOf('endpoint', 1)]: 'dropped' })
})

test('one that takes events by now keeps everything', async () => {
  const { book, endpoint, rig, parts, place } = await createScene(() => undefined)
  enable(book, endpoint)
  expect(await forgetEndpoint(parts, endpoint)).toBeUndefined()
  expect(await place()).toBe(1)
  expect(await rig.statusOf()).toMatchObject({ pending: 1 })
})

test('one that is enabled meanwhile keeps its place in the log', async () => {
  const { endpoint, parts, place } = await createScene((book, own, times) => times === 1 && enable(book, own))
  expect(await forgetEndpoint(parts, endpoint)).toBeUndefined()
  expect(await place()).toBe(1)
})

test('one that is disabled for its failures, and enabled by its owner at once, keeps its place in the log', async () => {
  // The second look is the one after it was disabled.
  const { book, endpoint, parts, place } = await createScene((own, known, times) => times === 2 && enable(own, known))
  enable(book, endpoint)
  const watch = new FailureWatch({
    ...parts,
    events: book.events,
    metrics: new WebhookMetrics(new Registry()),
    log: silentLogger,
  })
  expect(await watch.disable(endpoint, { reason: 'failing', details: {}, onlyIfUrl: endpoint.url })).toBe(true)
  await watch.drop(endpoint, 'failing')
  expect(await place()).toBe(1)
})
