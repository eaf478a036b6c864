import { afterEach, beforeAll, expect, test } from 'vitest'
import { DrainerScenes, isDue } from '../../test/support/drainer-scenes.ts'
import { useRedis } from '../../test/support/use-redis.ts'
import { until } from '../../test/support/until.ts'

const redis = useRedis()
let scenes: DrainerScenes
beforeAll(async () => {
  scenes = new DrainerScenes(redis)
})
afterEach(() => scenes.clear())

test('an endpoint that takes an event and wants no more is disabled, and has been delivered that one', async () => {
  const receiver = await scenes.startReceiver((res) => res.writeHead(200, { 'webhook-delivery': 'disable' }).end())
  const { drainer, lane, book, store } = await scenes.setUp(receiver.url, { count: 2 })
  expect(await drainer.drain(lane, 'owner')).toBeUndefined()
  expect(book.records.get(lane.endpointId)).toMatchObject({ enabled: false, disabledReason: 'gone' })
  expect(await scenes.ends()).toEqual(['delivered', 'dropped'])
  expect(receiver.received).toHaveLength(1)
  expect(await store.pending()).toBe(0)
})

test('an endpoint that cannot be disabled now is when its next event is answered likewise', async () => {
  const receiver = await scenes.startReceiver((res) => res.writeHead(410).end())
  let isAway = true
  const { drainer, lane, book } = await scenes.setUp(receiver.url, {
    count: 2,
    records: ({ endpoints }) => ({
      update: (...args) => {
        if (!isAway) return endpoints.update(...args)
        isAway = false
        return Promise.reject(new Error('the records are away'))
      },
    }),
  })
  await drainer.drain(lane, 'owner')
  expect(receiver.received).toHaveLength(2)
  expect(await scenes.ends()).toEqual(['dropped', 'dropped'])
  expect(book.records.get(lane.endpointId)?.enabled).toBe(false)
})

test.each([
  [410, {}],
  [200, { 'webhook-delivery': 'disable' }],
])('what a URL of before answers (%d %o) disables no endpoint that has another one by now', async (status, headers) => {
  const old = await scenes.startReceiver((res) => {
    book.put({ ...endpoint, url: fresh.url })
    res.writeHead(status, headers).end()
  })
  const fresh = await scenes.startReceiver()
  const { book, endpoint, drainer, lane, store } = await scenes.setUp(old.url, { count: 2, type: 'call.released' })
  for (let again: number | undefined = 0; again !== undefined; again = await drainer.drain(lane, 'owner')) {
    await isDue(again)
  }
  expect(book.records.get(lane.endpointId)).toMatchObject({ enabled: true, url: fresh.url })
  expect(book.operatorEvents).toEqual([])
  expect(await scenes.ends()).toEqual(['delivered', 'delivered'])
  expect(fresh.received.at(-1)?.body).toBe('2')
  expect((await store.status([lane.endpointId])).get(lane.endpointId)).toMatchObject({ failures: 0 })
})

test('a failure at a URL of before counts for nothing, and the event goes to the new one at once', async () => {
  const old = await scenes.startReceiver((res) => {
    book.put({ ...endpoint, url: fresh.url })
    res.writeHead(429, { 'retry-after': '3600' }).end()
  })
  const fresh = await scenes.startReceiver()
  const { book, endpoint, drainer, lane, store } = await scenes.setUp(old.url, { type: 'call.released' })
  const before = Date.now()
  const again = await drainer.drain(lane, 'owner')
  expect((again ?? 0) - before).toBeLessThan(1_000)
  const status = (await store.status([lane.endpointId])).get(lane.endpointId)
  expect(status).toMatchObject({ failures: 0, breaker: 'closed' })
  expect(status).not.toHaveProperty('pausedUntil')
  await isDue(again)
  expect(await drainer.drain(lane, 'owner')).toBeUndefined()
  expect((await scenes.attempts()).map(({ number, status: answered }) => [number, answered])).toEqual([
    [1, 429],
    [2, 200],
  ])
})

test('an event that expires while the credentials are read is not sent', async () => {
  const receiver = await scenes.startReceiver()
  const { drainer, lane } = await scenes.setUp(receiver.url, {
    endpoint: { policies: { '*': { ttlMs: 300 } } },
    records: ({ endpoints }) => ({
      credentialsOf: async (endpointId) => {
        const expired = Date.now() + 300
        await until('the event to expire', () => Date.now() >= expired)
        return endpoints.credentialsOf(endpointId)
      },
    }),
  })
  expect(await drainer.drain(lane, 'owner')).toBeUndefined()
  expect(await scenes.ends()).toEqual(['expired'])
  expect(receiver.received).toEqual([])
})

test('the headers that were set for one URL are not sent to another, and the event waits until they are known', async () => {
  const receiver = await scenes.startReceiver()
  const { drainer, lane } = await scenes.setUp(receiver.url, {
    records: ({ endpoints }) => ({
      credentialsOf: async (endpointId) => {
        const found = await endpoints.credentialsOf(endpointId)
        return found && { ...found, url: 'https://old.example.net/', headers: { authorization: 'Bearer of-the-old' } }
      },
    }),
  })
  const again = await drainer.drain(lane, 'owner')
  expect((again ?? 0) - Date.now()).toBeGreaterThan(500)
  expect(receiver.received).toEqual([])
  expect(await scenes.attempts()).toEqual([])
})

test('an event that a Retry-After outlives expires at once, and the endpoint is left alone until then', async () => {
  const receiver = await scenes.startReceiver((res) => res.writeHead(429, { 'retry-after': '120' }).end())
  const { drainer, lane, store } = await scenes.setUp(receiver.url, { count: 2, type: 'call.ringing' })
  const before = Date.now()
  expect(await drainer.drain(lane, 'owner')).toBeUndefined()
  expect(receiver.received).toHaveLength(1)
  expect(await scenes.ends()).toEqual(['expired'])
  const status = (await store.status([lane.endpointId])).get(lane.endpointId)
  expect(status).toMatchObject({ pending: 1, failures: 1, inFlight: 0 })
  expect(status?.pausedUntil).toBeGreaterThanOrEqual(before + 119_000)
  expect(status?.pausedUntil).toBeLessThanOrEqual(Date.now() + 120_000)
})

test('a pause is an hour at most, and a second without a Retry-After', async () => {
  const pauses: number[] = []
  for (const headers of [{ 'retry-after': '86400' }, {}]) {
    const receiver = await scenes.startReceiver((res) => res.writeHead(429, headers).end())
    const { drainer, lane, store } = await scenes.setUp(receiver.url, { type: 'call.released' })
    const now = Date.now()
    await drainer.drain(lane, 'owner')
    const status = (await store.status([lane.endpointId])).get(lane.endpointId)
    pauses.push(Math.round(((status?.pausedUntil ?? 0) - now) / 1_000))
  }
  expect(pauses).toEqual([3_600, 1])
})

test('while the credentials cannot be read nothing is sent and nothing counted', async () => {
  const receiver = await scenes.startReceiver()
  const { drainer, lane } = await scenes.setUp(receiver.url, {
    records: () => ({ credentialsOf: () => Promise.reject(new Error('the records are away')) }),
  })
  const again = await drainer.drain(lane, 'owner')
  expect((again ?? 0) - Date.now()).toBeGreaterThan(500)
  expect(receiver.received).toEqual([])
  expect(await scenes.attempts()).toEqual([])
})
