import * as fc from 'fast-check'
import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { useEmptyRedis } from '../../test/support/use-redis.ts'
import { EndpointBook } from '../../test/support/webhook-engine.ts'
import { silentLogger } from '../core/logger.ts'
import { formatToken, rulesOf } from './delivery.ts'
import { DeliveryStore } from './delivery-store.ts'
import { FailureWatch } from './failure-watch.ts'
import { WebhookMetrics } from './metrics.ts'

const EPOCH = '1700000000000000'
const START = 1_700_000_000_000
const HOUR = 3_600_000
const redis = useEmptyRedis()

/** An endpoint with `lanes` lanes of one event each, whose attempts end as the test says, when it says. */
async function setUp(lanes: number, isAway = () => false) {
  const book = new EndpointBook()
  const endpoint = book.add('https://hooks.example.net/', { maxInFlight: lanes })
  const { appId, endpointId } = endpoint
  const rules = rulesOf(endpoint)
  const store = new DeliveryStore(redis.connect())
  const tokenOf = (lane: number) =>
    formatToken({
      eventId: `${appId}:${EPOCH}-${lane}`,
      class: 'record',
      takenAt: START,
      expiresAt: START + 1_000 * HOUR,
      sequence: '1',
      attemptsBefore: 0,
      isReplay: false,
    })
  const offsets = Array.from({ length: lanes }, (_, i) => i + 1)
  await store.open(endpoint, { epoch: EPOCH, offset: 0 })
  await store.take(
    {
      appId,
      last: { epoch: EPOCH, offset: lanes },
      events: offsets.map((offset) => ({
        position: { epoch: EPOCH, offset },
        eventId: `${appId}:${EPOCH}-${offset}`,
        type: 'call.released',
        orderKey: `lane-${offset}`,
        about: { occurredAt: START },
        payload: '{}',
      })),
      endpoints: [{ endpointId, rules, wanted: offsets.map((offset, place) => ({ place, token: tokenOf(offset) })) }],
    },
    START,
  )
  let now = START
  const watch = new FailureWatch({
    store,
    endpoints: book.endpoints,
    events: { append: (event) => (isAway() ? Promise.reject(new Error('away')) : book.events.append(event)) },
    metrics: new WebhookMetrics(new Registry()),
    log: silentLogger,
    clock: { now: () => now },
  })
  const lane = (number: number) => ({ appId, endpointId, orderKey: `lane-${number}` })
  return {
    store,
    book,
    endpointId,
    /** An attempt of a lane that fails at a time; resolves with whether the endpoint was disabled for it. */
    fail: async (number: number, at: number): Promise<boolean> => {
      now = at
      const owner = `owner-${number}`
      await store.begin(lane(number), { owner, fresh: true, now: at, rules })
      const { health } = await store.postpone(lane(number), {
        owner,
        token: tokenOf(number),
        due: at + 1,
        failed: true,
        attempts: [],
        now: at,
        rules,
      })
      return watch.observe(lane(number), { ...health, url: endpoint.url })
    },
    succeed: async (number: number, at: number): Promise<void> => {
      await store.settle(lane(number), { token: tokenOf(number), result: 'delivered', attempts: [], now: at, rules })
    },
    types: () => book.operatorEvents.map(({ type }) => type),
  }
}

test('a day of nothing but failure disables the endpoint, after a warning at half of the time', async () => {
  const { fail, types, book, endpointId, store } = await setUp(1)
  // One fewer than opens the breaker.
  for (let i = 0; i <= 8; i += 1) expect(await fail(1, START + i * 1_000)).toBe(false)
  expect(await fail(1, START + 12 * HOUR - 1)).toBe(false)
  expect(types()).toEqual([])
  expect(await fail(1, START + 12 * HOUR)).toBe(false)
  expect(types()).toEqual(['webhook.failing'])
  expect(book.operatorEvents[0]).toMatchObject({
    appId: book.app.appId,
    endpointId,
    details: { failing_since: START, failures: 11, disabled_at: START + 24 * HOUR },
  })
  expect(await fail(1, START + 24 * HOUR - 1)).toBe(false)
  expect(await fail(1, START + 24 * HOUR)).toBe(true)
  expect(types()).toEqual(['webhook.failing', 'webhook.disabled'])
  expect(book.operatorEvents[1]).toMatchObject({ details: { reason: 'failing', failing_since: START, failures: 13 } })
  expect(book.records.get(endpointId)).toMatchObject({ enabled: false, disabledReason: 'failing' })
  expect(await store.pending()).toBe(0)
})

test('thousands of failures at once disable nothing, nor do they hide that it has failed for a day', async () => {
  const { fail, types } = await setUp(2_000)
  for (let lane = 1; lane <= 2_000; lane += 1) expect(await fail(lane, START + lane)).toBe(false)
  expect(types()).toEqual([])
  for (let lane = 1; lane <= 2_000; lane += 1) expect(await fail(lane, START + 12 * HOUR + lane)).toBe(false)
  expect(types()).toEqual(['webhook.failing'])
  // With all of them pending still, none of them judged by its own.
  expect(await fail(1, START + 25 * HOUR)).toBe(true)
  expect(types()).toEqual(['webhook.failing', 'webhook.disabled'])
})

test('a single success in between starts the time anew', async () => {
  const { fail, succeed, types } = await setUp(3)
  for (let i = 0; i < 20; i += 1) await fail(1, START + i)
  await fail(1, START + 13 * HOUR)
  expect(types()).toEqual(['webhook.failing'])
  await succeed(2, START + 23 * HOUR)
  for (let i = 0; i < 20; i += 1) expect(await fail(1, START + 24 * HOUR + i)).toBe(false)
  expect(types()).toEqual(['webhook.failing'])
  await fail(1, START + 37 * HOUR)
  expect(await fail(1, START + 48 * HOUR + 1)).toBe(true)
  expect(types()).toEqual(['webhook.failing', 'webhook.failing', 'webhook.disabled'])
})

test('a warning that the records did not take is given again, and before it nothing is disabled', async () => {
  let isAway = true
  const { fail, types } = await setUp(1, () => isAway)
  for (let i = 0; i <= 9; i += 1) await fail(1, START + i)
  expect(await fail(1, START + 13 * HOUR)).toBe(false)
  isAway = false
  expect(await fail(1, START + 25 * HOUR)).toBe(false)
  expect(types()).toEqual(['webhook.failing'])
  expect(await fail(1, START + 25 * HOUR + 1)).toBe(true)
  expect(types()).toEqual(['webhook.failing', 'webhook.disabled'])
})

test('an endpoint that is hardly ever sent anything is not judged by a few failures', async () => {
  const { fail, types } = await setUp(1)
  for (let i = 0; i < 9; i += 1) expect(await fail(1, START + i * 10 * HOUR)).toBe(false)
  expect(types()).toEqual([])
  // Enough now, and time enough: the warning still comes first.
  expect(await fail(1, START + 90 * HOUR)).toBe(false)
  expect(types()).toEqual(['webhook.failing'])
  expect(await fail(1, START + 91 * HOUR)).toBe(true)
})

test('whatever the rhythm, it is disabled exactly when a day and ten failures have passed without success', async () => {
  const steps = fc.array(
    fc.record({
      afterMs: fc.oneof(fc.integer({ min: 0, max: 60_000 }), fc.integer({ min: 0, max: 6 * HOUR })),
      times: fc.integer({ min: 1, max: 12 }),
      isSuccess: fc.integer({ min: 0, max: 9 }).map((die) => die === 0),
    }),
    { minLength: 1, maxLength: 25 },
  )
  await fc.assert(
    fc.asyncProperty(steps, async (plan) => {
      await redis.connect().flushall()
      const { fail, succeed, types } = await setUp(60)
      const expected: boolean[] = []
      const seen: boolean[] = []
      let [now, next, failures, warned, since] = [START, 2, 0, false, START]
      for (const { afterMs, times, isSuccess } of plan) {
        if (seen.at(-1) === true) break
        now += afterMs
        if (isSuccess) {
          await succeed(next, now)
          ;[next, failures, warned] = [next + 1, 0, false]
          continue
        }
        for (let i = 0; i < times && seen.at(-1) !== true; i += 1) {
          now += 2
          if (failures === 0) since = now
          failures += 1
          expected.push(warned && now - since >= 24 * HOUR)
          warned ||= failures >= 10 && now - since >= 12 * HOUR
          seen.push(await fail(1, now))
        }
      }
      expect(seen).toEqual(expected)
      const last = types().at(-1)
      expect(last === 'webhook.disabled').toBe(expected.at(-1) === true)
    }),
    { numRuns: 25 },
  )
})
