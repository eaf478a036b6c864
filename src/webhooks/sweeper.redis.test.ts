import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import {
  DeliveryRig,
  START_MS,
  appId,
  deliveryIdOf,
  endpointRef,
  keysOf,
  lane,
  position,
} from '../../test/support/delivery-rig.ts'
import { useEmptyRedis } from '../../test/support/use-redis.ts'
import { EndpointBook } from '../../test/support/webhook-engine.ts'
import type { BookedEndpoint } from '../../test/support/webhook-engine.ts'
import type { Directory } from '../core/directory.ts'
import { toEndpointId } from '../core/ids.ts'
import { silentLogger } from '../core/logger.ts'
import type { EndpointRef, WakeUp } from './delivery.ts'
import { WebhookMetrics } from './metrics.ts'
import { Sweeper } from './sweeper.ts'
import type { SweeperOptions } from './sweeper.ts'

const redis = useEmptyRedis()

/** A sweeper of a store with two endpoints, one of them called `endpoint`. */
async function createScene({
  failing,
  ...options
}: Partial<Pick<SweeperOptions, 'directory' | 'endpoints' | 'log'>> & { readonly failing?: string } = {}) {
  const book = new EndpointBook(appId)
  for (const name of ['endpoint', 'other']) {
    book.add('https://hooks.example.net/', { endpointId: toEndpointId(name), maxInFlight: 1 })
  }
  const rig = await new DeliveryRig(redis.connect()).open('endpoint', 'other')
  rig.rules = { ...rig.rules, slots: 1 }
  const woken: WakeUp[] = []
  const reopened: { readonly endpoint: EndpointRef; readonly at: number }[] = []
  const registry = new Registry()
  const sweeper = new Sweeper({
    store: rig.store,
    directory: book.directory,
    endpoints: book.endpoints,
    wake: (wakes) => {
      if (wakes[0]?.lane.endpointId === failing) return Promise.reject(new Error('away'))
      woken.push(...wakes)
      return Promise.resolve()
    },
    reopen: (endpoint, at) => {
      reopened.push({ endpoint, at })
      return Promise.resolve()
    },
    metrics: new WebhookMetrics(registry),
    log: silentLogger,
    clock: { now: () => rig.now },
    ...options,
  })
  const metric = async (name: string, labels: object = {}) => {
    const found = await registry.getSingleMetric(name)?.get()
    return found?.values.find((value) => JSON.stringify(value.labels) === JSON.stringify(labels))?.value
  }
  return { book, rig, sweeper, woken, reopened, metric }
}

test('lanes that nobody looks after are woken, of every endpoint, and counted', async () => {
  const { rig, sweeper, woken, metric } = await createScene()
  await rig.take([{ key: 'a' }], ['endpoint', 'other'])
  await sweeper.run()
  expect(woken).toEqual([])
  rig.now += 5_000
  await sweeper.run()
  expect(woken.map(({ lane: { endpointId, orderKey } }) => `${endpointId} ${orderKey}`).toSorted()).toEqual([
    'endpoint a',
    'other a',
  ])
  expect(await metric('callhalf_webhook_wakeups_healed_total')).toBe(2)
  expect(await metric('callhalf_webhook_pending')).toBe(2)
})

test('an endpoint that cannot be swept keeps no other from it, nor removed ones from being forgotten', async () => {
  const warned: object[] = []
  const log = { ...silentLogger, warn: (fields: object) => void warned.push(fields) }
  const { book, rig, sweeper, woken } = await createScene({ log, failing: 'endpoint' })
  await rig.take([{ key: 'a' }], ['endpoint', 'other'])
  await rig.store.open({ appId, endpointId: toEndpointId('removed') }, position(0))
  rig.now += 5_000
  await sweeper.run()
  expect(woken).toEqual([{ lane: lane('a', 'other') }])
  expect(warned).toMatchObject([{ endpoint_id: 'endpoint', err: { message: 'away' } }])
  expect([...(await rig.store.cursors(appId)).keys()]).toEqual([...book.records.keys()])
})

test('the age of the oldest event that waits is told for each class, over all endpoints', async () => {
  const { rig, sweeper, metric } = await createScene()
  const age = (kind: string) => metric('callhalf_webhook_waiting_age_seconds', { class: kind })
  await rig.take([{ key: 'busy', type: 'call.released' }], ['endpoint', 'other'])
  await rig.due('busy', 'o')
  await rig.due('busy', 'o', { name: 'other' })
  rig.now += 1_000
  await rig.take([{ key: 'a' }], ['other'])
  rig.offset -= 1
  await rig.take([{ key: 'a' }], ['endpoint'])
  rig.now += 1_000
  await rig.take([{ key: 'b', type: 'call.released' }], ['endpoint', 'other'])
  rig.now += 500
  await sweeper.run()
  expect([await age('act_now'), await age('state'), await age('record')]).toEqual([1.5, 0, 0.5])
  await rig.store.remove(endpointRef('endpoint'), rig.now)
  await rig.store.remove(endpointRef('other'), rig.now)
  await sweeper.run()
  expect([await age('act_now'), await age('record')]).toEqual([0, 0])
})

test('events that expire while they wait end', async () => {
  const { rig, sweeper, metric } = await createScene()
  await rig.take([{ key: 'busy', type: 'call.released' }, { key: 'a' }, { key: 'b' }])
  await rig.due('busy', 'o')
  for (; rig.now < START_MS + 30_000; rig.now += 3_000) {
    await rig.store.renew([{ lane: lane('busy'), owner: 'o' }], rig.now)
  }
  await sweeper.run()
  expect(await rig.ended()).toEqual({
    [deliveryIdOf('endpoint', 2)]: 'expired',
    [deliveryIdOf('endpoint', 3)]: 'expired',
  })
  expect(await metric('callhalf_webhook_pending')).toBe(1)
})

test('a gate that is closed for lanes that wait has its reopening asked for, again and again', async () => {
  const { rig, sweeper, woken, reopened } = await createScene()
  await rig.take([{ key: 'a' }])
  const pausedUntil = START_MS + 20_000
  await rig.fail('a', 'o', await rig.due('a', 'o'), { due: pausedUntil, pausedUntil })
  await rig.take([{ key: 'b' }])
  await sweeper.run()
  await sweeper.run()
  const endpoint = { appId, endpointId: 'endpoint' }
  expect(reopened).toEqual([
    { endpoint, at: pausedUntil },
    { endpoint, at: pausedUntil },
  ])
  rig.now = pausedUntil
  await sweeper.run()
  expect(keysOf(woken)).toEqual(['b'])
})

test('breakers that are not closed are counted by their state', async () => {
  const { rig, sweeper, metric } = await createScene()
  for (let i = 0; i < 20; i += 1) {
    const key = `lane-${i}`
    await rig.take([{ key }])
    await rig.fail(key, 'o', await rig.due(key, 'o'), { due: rig.now + 29_000 })
  }
  await sweeper.run()
  expect(await metric('callhalf_webhook_breakers', { state: 'open' })).toBe(1)
  expect(await metric('callhalf_webhook_breakers', { state: 'half_open' })).toBe(0)
  await rig.take([{ key: 'waits' }])
  rig.now += 10_000
  await sweeper.run()
  expect(await metric('callhalf_webhook_breakers', { state: 'open' })).toBe(0)
  expect(await metric('callhalf_webhook_breakers', { state: 'half_open' })).toBe(1)
})

test('an endpoint that is no more loses its place in the log, and what is pending for it is dropped', async () => {
  const { book, rig, sweeper, metric } = await createScene()
  await rig.take([{ key: 'a' }, { key: 'a' }], ['endpoint', 'other'])
  await rig.facts()
  book.remove('endpoint')
  await sweeper.run()
  expect([...(await rig.store.cursors(appId)).keys()]).toEqual(['other'])
  expect(await rig.ended()).toEqual({
    [deliveryIdOf('endpoint', 1)]: 'dropped',
    [deliveryIdOf('endpoint', 2)]: 'dropped',
  })
  expect(await metric('callhalf_webhook_pending')).toBe(2)
})

test('an endpoint that the directory does not know yet, but the records do, keeps everything', async () => {
  const directory: Pick<Directory, 'apps' | 'endpointsOf'> = { apps: () => [], endpointsOf: () => [] }
  const { rig, sweeper } = await createScene({ directory })
  await rig.take([{ key: 'a' }])
  await sweeper.run()
  expect([...(await rig.store.cursors(appId)).keys()]).toEqual(['endpoint', 'other'])
  expect(await rig.statusOf()).toMatchObject({ pending: 1 })
})

test('an endpoint that has to prove its URL anew loses its place', async () => {
  const { book, rig, sweeper } = await createScene()
  book.put({ ...recordOf(book, 'endpoint'), verified: false })
  await sweeper.run()
  expect([...(await rig.store.cursors(appId)).keys()]).toEqual(['other'])
})

/** A sweep over one disabled endpoint; `afterFind` happens when its record has been read for the first time. */
async function sweepDisabled(afterFind: (book: EndpointBook, endpoint: BookedEndpoint) => void) {
  const book = new EndpointBook(appId)
  const endpoint = book.add('https://hooks.example.net/', { endpointId: toEndpointId('endpoint'), enabled: false })
  let isFirst = true
  const { rig, sweeper } = await createScene({
    // Another instance's change is not known here yet.
    directory: { apps: () => [book.app], endpointsOf: () => [] },
    endpoints: {
      find: async (app, endpointId) => {
        const found = await book.endpoints.find(app, endpointId)
        if (isFirst && endpointId === endpoint.endpointId) {
          isFirst = false
          afterFind(book, endpoint)
        }
        return found
      },
    },
  })
  await sweeper.run()
  return (await rig.store.cursors(appId)).get(endpoint.endpointId)?.offset
}

test('a disabled endpoint loses its place in the log', async () => {
  expect(await sweepDisabled(() => undefined)).toBeUndefined()
})

test('an endpoint enabled while the sweep took it for disabled keeps its place in the log', async () => {
  expect(await sweepDisabled((book, endpoint) => book.put({ ...endpoint, enabled: true }))).toBe(0)
})

test('an endpoint removed during the sweep has none', async () => {
  expect(await sweepDisabled((book, { endpointId }) => book.remove(endpointId))).toBeUndefined()
})

function recordOf(book: EndpointBook, endpointId: string): BookedEndpoint {
  const found = book.records.get(endpointId)
  if (found === undefined) throw new Error(`no endpoint ${endpointId}`)
  return found
}
