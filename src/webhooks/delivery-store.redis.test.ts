import * as fc from 'fast-check'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { startTestRedis } from '../../test/support/redis.ts'
import type { TestRedis } from '../../test/support/redis.ts'
import { toAppId, toEndpointId } from '../core/ids.ts'
import { DeliveryStore, STORE_LIMITS } from './delivery-store.ts'

let redis: TestRedis
beforeAll(async () => {
  redis = await startTestRedis()
})
afterEach(() => redis.connect().flushall())
afterAll(() => redis.stop())

const appId = toAppId('app')
const endpointId = toEndpointId('endpoint')
const endpoint = { appId, endpointId }
const lane = (orderKey: string) => ({ ...endpoint, orderKey })
const EPOCH = '1700000000000000'
const at = (offset: number) => ({ epoch: EPOCH, offset })

/** Entries `from`..`to` of a log in which the n-th belongs to lane n modulo `lanes`. */
const batch = (from: number, to: number, lanes = 3) => {
  const offsets = Array.from({ length: to - from + 1 }, (_, i) => from + i)
  return {
    appId,
    last: at(to),
    events: offsets.map((offset) => ({
      position: at(offset),
      eventId: `app:${EPOCH}-${offset}`,
      type: 'call.updated',
      acceptedAt: 0,
      payload: String(offset),
    })),
    endpoints: [
      { endpointId, wanted: offsets.map((offset, place) => ({ place, orderKey: `lane-${offset % lanes}` })) },
    ],
  }
}

const pendingOf = async (orderKey: string) =>
  (await redis.connect().lrange(`ch:{wh}:pending:endpoint:${orderKey}`, 0, -1)).map((id) => Number(id.split('-')[1]))

test('overlapping and repeated batches of several takers put every event into its lane once, in log order', async () => {
  const client = redis.connect()
  const store = new DeliveryStore(client)
  const readings = fc.array(fc.tuple(fc.integer({ min: 0, max: 39 }), fc.integer({ min: 1, max: 15 })), {
    minLength: 1,
    maxLength: 12,
  })
  await fc.assert(
    fc.asyncProperty(readings, async (chunks) => {
      await client.flushall()
      await store.open(endpoint, at(0))
      for (const [back, length] of chunks) {
        const cursor = (await store.cursors(appId)).get(endpointId)?.offset ?? 0
        // A taker that read before the other one moved the cursor: it starts at or before it.
        const from = Math.max(1, cursor + 1 - back)
        await store.take(batch(from, from + length), 1_000)
      }
      const top = (await store.cursors(appId)).get(endpointId)?.offset ?? 0
      for (const key of [0, 1, 2]) {
        const expected = Array.from({ length: top }, (_, i) => i + 1).filter((offset) => offset % 3 === key)
        expect(await pendingOf(`lane-${key}`)).toEqual(expected)
      }
      expect(await store.pending()).toBe(top)
    }),
    { numRuns: 40 },
  )
})

test('a batch of another epoch than the cursor is not taken', async () => {
  const store = new DeliveryStore(redis.connect())
  await store.open(endpoint, { epoch: '1600000000000000', offset: 0 })
  expect(await store.take(batch(1, 3), 1_000)).toEqual({ wakes: [], full: [] })
  expect(await store.pending()).toBe(0)
})

test('opening again does not move the cursor, and a jump moves it only from where it is expected', async () => {
  const store = new DeliveryStore(redis.connect())
  await store.open(endpoint, at(5))
  expect(await store.open(endpoint, at(9))).toEqual(at(5))
  expect(await store.jump(appId, endpointId, { from: at(4), to: at(7) })).toBe(false)
  expect(await store.jump(appId, endpointId, { from: at(5), to: at(7) })).toBe(true)
  expect((await store.cursors(appId)).get(endpointId)).toEqual(at(7))
})

test('wake-ups are given for as many lanes as there are slots; the others get one as slots become free', async () => {
  const store = new DeliveryStore(redis.connect(), { ...STORE_LIMITS, slots: 2 })
  await store.open(endpoint, at(0))
  const { wakes } = await store.take(batch(1, 4, 10), 1_000)
  expect(wakes.map(({ orderKey }) => orderKey)).toEqual(['lane-1', 'lane-2'])
  expect(await store.begin(lane('lane-3'), { owner: 'c', fresh: true, now: 1_001 })).toEqual({ kind: 'full' })
  const turn = await store.begin(lane('lane-1'), { owner: 'a', fresh: true, now: 1_002 })
  expect(turn).toMatchObject({ kind: 'due', attempts: 0, event: { eventId: `app:${EPOCH}-1`, payload: '1' } })
  const settled = await store.settle(lane('lane-1'), `app:${EPOCH}-1`, 1_003)
  expect(settled).toEqual({ kind: 'done', wakes: [lane('lane-3')] })
  const postponed = await store.postpone(lane('lane-2'), {
    owner: 'b',
    eventId: `app:${EPOCH}-2`,
    due: 9_000,
    count: true,
    now: 1_004,
  })
  expect(postponed).toEqual({ kind: 'lost', wakes: [] })
  await store.begin(lane('lane-2'), { owner: 'b', fresh: true, now: 1_005 })
  expect(
    await store.postpone(lane('lane-2'), {
      owner: 'b',
      eventId: `app:${EPOCH}-2`,
      due: 9_000,
      count: true,
      now: 1_006,
    }),
  ).toEqual({
    kind: 'done',
    wakes: [lane('lane-4')],
  })
})

test('a retry keeps its count and is not due before its time, whoever asks', async () => {
  const store = new DeliveryStore(redis.connect())
  await store.open(endpoint, at(0))
  await store.take(batch(1, 1), 1_000)
  await store.begin(lane('lane-1'), { owner: 'a', fresh: true, now: 1_000 })
  await store.postpone(lane('lane-1'), { owner: 'a', eventId: `app:${EPOCH}-1`, due: 5_000, count: true, now: 1_001 })
  expect(await store.begin(lane('lane-1'), { owner: 'b', fresh: true, now: 4_999 })).toEqual({
    kind: 'later',
    due: 5_000,
    wakes: [],
  })
  expect(await store.begin(lane('lane-1'), { owner: 'b', fresh: true, now: 5_000 })).toMatchObject({
    kind: 'due',
    attempts: 1,
  })
})

test('an owner that was replaced can neither go on nor put off, but what it delivered is taken off', async () => {
  const store = new DeliveryStore(redis.connect())
  await store.open(endpoint, at(0))
  await store.take(batch(1, 4, 1), 1_000)
  await store.begin(lane('lane-0'), { owner: 'a', fresh: true, now: 1_000 })
  await store.begin(lane('lane-0'), { owner: 'b', fresh: true, now: 1_001 })
  expect(await store.begin(lane('lane-0'), { owner: 'a', fresh: false, now: 1_002 })).toEqual({ kind: 'lost' })
  const late = { owner: 'a', eventId: `app:${EPOCH}-1`, due: 2_000, count: true, now: 1_002 }
  expect(await store.postpone(lane('lane-0'), late)).toEqual({ kind: 'lost', wakes: [] })
  expect(await store.settle(lane('lane-0'), `app:${EPOCH}-1`, 1_003)).toEqual({ kind: 'more', wakes: [] })
  expect(await store.settle(lane('lane-0'), `app:${EPOCH}-1`, 1_004)).toEqual({ kind: 'lost', wakes: [] })
  expect(await pendingOf('lane-0')).toEqual([2, 3, 4])
})

test('a sweep repeats a lost wake-up once, and takes the slot of a dead owner back', async () => {
  const store = new DeliveryStore(redis.connect(), { ...STORE_LIMITS, slots: 1 })
  await store.open(endpoint, at(0))
  await store.take(batch(1, 2, 10), 1_000)
  const sweep = (now: number) => store.sweep(endpoint, { now, putOffMs: 30_000, limit: 100 })
  expect(await sweep(1_000 + STORE_LIMITS.wakeLeaseMs - 1)).toEqual([])
  expect(await sweep(1_000 + STORE_LIMITS.wakeLeaseMs)).toEqual([lane('lane-2')])
  expect(await sweep(1_000 + STORE_LIMITS.wakeLeaseMs + 1)).toEqual([])
})

test('events that have outlived their time to live no longer count, so that a full backlog opens again', async () => {
  const client = redis.connect()
  const store = new DeliveryStore(client, { ...STORE_LIMITS, backlogMax: 3 })
  await store.open(endpoint, at(0))
  await store.take(batch(1, 3, 1), 1_000)
  expect((await store.take(batch(4, 4, 1), 1_000)).full).toEqual([endpointId])
  // What an outage of the webhooks role for longer than the time to live leaves.
  await client.del('ch:{wh}:lanes:endpoint', 'ch:{wh}:pending:endpoint:lane-0', 'ch:{wh}:running:endpoint')
  await store.sweep(endpoint, { now: 2_000, putOffMs: 30_000, limit: 100 })
  expect(await store.pending()).toBe(0)
  expect((await store.take(batch(4, 4, 1), 2_000)).full).toEqual([])
  expect(await pendingOf('lane-0')).toEqual([4])
})

test('the list of lanes lives at least as long as the event appended last', async () => {
  const client = redis.connect()
  const store = new DeliveryStore(client)
  await store.open(endpoint, at(0))
  await store.take(batch(1, 1, 1), 1_000)
  await client.pexpire('ch:{wh}:lanes:endpoint', 60_000)
  await store.take(batch(2, 2, 1), 1_000)
  expect(await client.pttl('ch:{wh}:lanes:endpoint')).toBeGreaterThan(60_000)
})

test('an endpoint is removed with everything that it alone had pending', async () => {
  const client = redis.connect()
  const store = new DeliveryStore(client)
  await store.open(endpoint, at(0))
  await store.take(batch(1, 500, 450), 1_000)
  await store.begin(lane('lane-1'), { owner: 'a', fresh: true, now: 1_000 })
  expect(await store.remove(endpoint)).toBe(500)
  expect(await client.keys('*')).toEqual([])
  expect(await store.begin(lane('lane-1'), { owner: 'a', fresh: true, now: 1_001 })).toEqual({
    kind: 'idle',
    wakes: [],
  })
})

test('every key but those of cursors has a time to live', async () => {
  const client = redis.connect()
  const store = new DeliveryStore(client, { ...STORE_LIMITS, slots: 1 })
  await store.open(endpoint, at(0))
  await store.take(batch(1, 6), 1_000)
  await store.begin(lane('lane-1'), { owner: 'a', fresh: true, now: 1_000 })
  const lasting: string[] = []
  for (const key of await client.keys('*')) if ((await client.pttl(key)) < 0) lasting.push(key)
  expect(lasting.toSorted()).toEqual(['ch:{wh}:apps', 'ch:{wh}:counts', 'ch:{wh}:cursors:app'])
})
