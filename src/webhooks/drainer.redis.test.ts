import { Registry } from 'prom-client'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { startTestRedis } from '../../test/support/redis.ts'
import type { TestRedis } from '../../test/support/redis.ts'
import { until } from '../../test/support/until.ts'
import { createDeliverer, EndpointBook } from '../../test/support/webhook-engine.ts'
import type { BookedEndpoint } from '../../test/support/webhook-engine.ts'
import { WebhookReceiver } from '../../test/support/webhook-receiver.ts'
import type { Answer } from '../../test/support/webhook-receiver.ts'
import { systemClock } from '../core/clock.ts'
import { classOf, policyFor } from '../core/delivery-policy.ts'
import type { DeliveryFact } from '../core/delivery-record.ts'
import type { EndpointRepository } from '../core/endpoint.ts'
import { silentLogger } from '../core/logger.ts'
import type { Logger } from '../core/logger.ts'
import { CredentialCache } from './credential-cache.ts'
import { formatToken, rulesOf } from './delivery.ts'
import type { WakeUp } from './delivery.ts'
import { DeliveryStore } from './delivery-store.ts'
import { Drainer } from './drainer.ts'
import { FailureWatch } from './failure-watch.ts'
import { WebhookMetrics } from './metrics.ts'
import { RecordLog } from './record-log.ts'

const EPOCH = '1700000000000000'
let redis: TestRedis
const cleanups: (() => Promise<unknown>)[] = []
beforeAll(async () => {
  redis = await startTestRedis()
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
  await redis.connect().flushall()
})
afterAll(() => redis.stop())

const startReceiver = async (answer?: Answer): Promise<WebhookReceiver> => {
  const receiver = await new WebhookReceiver().start()
  if (answer !== undefined) receiver.answer(answer)
  cleanups.push(() => receiver.stop())
  return receiver
}

type Line = { readonly level: string; readonly fields: object; readonly message: string }

/** Keeps what is said. */
function createLog(lines: Line[]): Logger {
  const at = (level: string) => (fields: object, message: string) => void lines.push({ level, fields, message })
  const log: Logger = {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: () => log,
  }
  return log
}

/** A drainer, and a lane with `count` events whose payloads are 1, 2, …. */
async function setUp(
  url: string,
  options: {
    readonly count?: number
    readonly type?: string
    readonly isReplay?: boolean
    readonly endpoint?: Partial<BookedEndpoint>
    readonly log?: Logger
    /** What the records do otherwise. */
    readonly records?: (book: EndpointBook) => Partial<EndpointRepository>
  } = {},
) {
  const { count = 1, type = 'call.updated', isReplay = false, log = silentLogger } = options
  const book = new EndpointBook()
  const endpoints = { ...book.endpoints, ...options.records?.(book) }
  const endpoint = book.add(url, options.endpoint)
  const { appId, endpointId } = endpoint
  const store = new DeliveryStore(redis.connect())
  const deliverer = createDeliverer()
  deliverer.start()
  cleanups.push(() => deliverer.stop())
  const now = Date.now()
  const offsets = Array.from({ length: count }, (_, i) => i + 1)
  const tokens = offsets.map((offset) =>
    formatToken({
      eventId: `${appId}:${EPOCH}-${offset}`,
      class: classOf(type),
      takenAt: now,
      expiresAt: now + policyFor(type, endpoint.policies).ttlMs,
      sequence: String(offset),
      attemptsBefore: 0,
      isReplay,
    }),
  )
  await store.open({ appId, endpointId }, { epoch: EPOCH, offset: 0 })
  await store.take(
    {
      appId,
      last: { epoch: EPOCH, offset: count },
      events: offsets.map((offset) => ({
        position: { epoch: EPOCH, offset },
        eventId: `${appId}:${EPOCH}-${offset}`,
        type,
        orderKey: 'lane',
        about: { occurredAt: now, sequence: String(offset) },
        payload: String(offset),
      })),
      endpoints: [{ endpointId, rules: rulesOf(endpoint), wanted: tokens.map((token, place) => ({ place, token })) }],
    },
    now,
  )
  const metrics = new WebhookMetrics(new Registry())
  const wakes: WakeUp[] = []
  const reopens: number[] = []
  const parts = { store, endpoints, events: book.events, metrics, log, clock: systemClock }
  const drainer = new Drainer({
    ...parts,
    deliverer,
    credentials: new CredentialCache(endpoints, systemClock),
    directory: book.directory,
    failureWatch: new FailureWatch(parts),
    wake: (more) => {
      wakes.push(...more)
      return Promise.resolve()
    },
    reopen: (_endpoint, at) => {
      reopens.push(at)
      return Promise.resolve()
    },
    random: Math.random,
  })
  const lane = { appId, endpointId, orderKey: 'lane' }
  return { book, endpoint, store, drainer, lane, tokens, rules: rulesOf(endpoint), wakes, reopens }
}

const isDue = (at: number | undefined) => until('the lane to be due', () => Date.now() >= (at ?? 0))

const facts = async (): Promise<readonly DeliveryFact[]> =>
  (await new RecordLog(redis.connect()).claim('test', 1_000))?.facts ?? []

const attemptsOf = async () =>
  (await facts()).flatMap((fact) => (fact.kind === 'attempted' ? [{ ...fact.attempt, next: fact.nextAttemptAt }] : []))

const endsOf = async () => (await facts()).flatMap((fact) => (fact.kind === 'ended' ? [fact.status] : []))

test.each([
  ['delivered', 200],
  ['failed to deliver', 500],
])('an owner whose event was taken off meanwhile, by a former one, goes on once it has %s it', async (_, status) => {
  const arrived = Promise.withResolvers<() => void>()
  const receiver = await startReceiver((res, { body }) => {
    if (body === '1') arrived.resolve(() => void res.writeHead(status).end())
    else res.writeHead(200).end()
  })
  const { store, drainer, lane, tokens, rules } = await setUp(receiver.url, { count: 3 })
  const drained = drainer.drain(lane, 'owner')
  const answerFirst = await arrived.promise
  // The owner before, which had stalled, reports its delivery of the same event.
  const settled = { token: tokens[0] ?? '', result: 'delivered', attempts: [], now: Date.now(), rules } as const
  expect(await store.settle(lane, settled)).toMatchObject({ kind: 'more' })
  answerFirst()
  expect(await drained).toBeUndefined()
  expect(receiver.received.map(({ body }) => body)).toEqual(['1', '2', '3'])
  expect(await store.pending()).toBe(0)
})

test('an owner that was replaced while it sent leaves the lane to the other one', async () => {
  const arrived = Promise.withResolvers<() => void>()
  const receiver = await startReceiver((res) => arrived.resolve(() => void res.writeHead(200).end()))
  const { store, drainer, lane, tokens, rules } = await setUp(receiver.url, { count: 3 })
  const drained = drainer.drain(lane, 'owner')
  const answerFirst = await arrived.promise
  // Its lease has lapsed.
  const later = Date.now() + 60_000
  expect(await store.begin(lane, { owner: 'another', fresh: true, now: later, rules })).toMatchObject({ kind: 'due' })
  const settled = { token: tokens[0] ?? '', result: 'delivered', attempts: [], now: later, rules } as const
  expect(await store.settle(lane, settled)).toMatchObject({ kind: 'more' })
  answerFirst()
  expect(await drained).toBeUndefined()
  expect(receiver.received.map(({ body }) => body)).toEqual(['1'])
  expect(await store.pending()).toBe(2)
})

test('a lane that somebody else works on is come back to when that lease lapses', async () => {
  const receiver = await startReceiver()
  const { store, drainer, lane, rules } = await setUp(receiver.url)
  const now = Date.now()
  await store.begin(lane, { owner: 'another', fresh: true, now, rules })
  expect(await drainer.drain(lane, 'owner')).toBe(now + 5_000)
  expect(receiver.received).toEqual([])
})

test.each([
  ['call.ringing', {}, 500],
  ['call.released', { '*': { delaysMs: [8_000] } }, 4_000],
])('a replayed %s is retried with the patience for records', async (type, policies, earliestMs) => {
  const receiver = await startReceiver((res) => res.writeHead(503).end())
  const { drainer, lane } = await setUp(receiver.url, { type, isReplay: true, endpoint: { policies } })
  const startedAt = Date.now()
  const again = await drainer.drain(lane, 'owner')
  expect((again ?? 0) - startedAt).toBeGreaterThanOrEqual(earliestMs)
})

test('each attempt is recorded and logged, with what follows from it', async () => {
  const lines: Line[] = []
  const receiver = await startReceiver((res, _request, count) => res.writeHead(count === 1 ? 503 : 204).end('so it is'))
  const log = createLog(lines)
  const { drainer, lane } = await setUp(receiver.url, { type: 'call.ringing', log })
  const again = await drainer.drain(lane, 'owner')
  expect(again).toBeGreaterThan(Date.now() - 1_000)
  await isDue(again)
  expect(await drainer.drain(lane, 'owner')).toBeUndefined()
  const [first, second] = await attemptsOf()
  expect(first).toMatchObject({ number: 1, target: 'primary', outcome: 'http_status', status: 503, next: again })
  expect(first).toMatchObject({ remoteAddress: '127.0.0.1', response: 'so it is', reused: false })
  expect(second).toMatchObject({ number: 2, target: 'primary', outcome: 'delivered', status: 204 })
  expect(second?.next).toBeUndefined()
  expect(await endsOf()).toEqual(['delivered'])
  const attempts = lines.filter(({ message }) => message === 'webhook attempt')
  expect(attempts).toHaveLength(2)
  expect(attempts[0]).toMatchObject({
    level: 'info',
    fields: {
      endpoint_id: lane.endpointId,
      type: 'call.ringing',
      class: 'act_now',
      attempt: 1,
      outcome: 'http_status',
      status: 503,
      remote_address: '127.0.0.1',
      next_attempt_at: again,
    },
  })
  expect(attempts[1]).toMatchObject({ level: 'info', fields: { attempt: 2, outcome: 'delivered', ended: 'delivered' } })
})

test('from the fifth failure on an attempt is a warning', async () => {
  const lines: Line[] = []
  const receiver = await startReceiver((res) => res.writeHead(500).end())
  const policies = { '*': { delaysMs: [2] } }
  const { drainer, lane } = await setUp(receiver.url, { endpoint: { policies }, log: createLog(lines) })
  for (let i = 0; i < 6; i += 1) {
    const again = await drainer.drain(lane, `owner-${i}`)
    await isDue(again)
  }
  expect(lines.map(({ level }) => level)).toEqual(['info', 'info', 'info', 'info', 'warn', 'warn'])
})

test('the failover URL is tried within the round, and both requests are recorded', async () => {
  const dead = await startReceiver()
  const deadUrl = dead.url
  await dead.stop()
  const failover = await startReceiver()
  const { drainer, lane } = await setUp(deadUrl, { endpoint: { failoverUrl: failover.url } })
  expect(await drainer.drain(lane, 'owner')).toBeUndefined()
  expect(failover.received[0]?.headers).toMatchObject({ 'callhalf-target': 'failover', 'callhalf-attempt': '2' })
  expect((await attemptsOf()).map(({ number, target, outcome }) => [number, target, outcome])).toEqual([
    [1, 'primary', 'connect_refused'],
    [2, 'failover', 'delivered'],
  ])
  expect(await endsOf()).toEqual(['delivered'])
})

test('an endpoint that takes an event and wants no more is disabled, and has been delivered that one', async () => {
  const receiver = await startReceiver((res) => res.writeHead(200, { 'webhook-delivery': 'disable' }).end())
  const { drainer, lane, book, store } = await setUp(receiver.url, { count: 2 })
  expect(await drainer.drain(lane, 'owner')).toBeUndefined()
  expect(book.records.get(lane.endpointId)).toMatchObject({ enabled: false, disabledReason: 'gone' })
  expect(await endsOf()).toEqual(['delivered', 'dropped'])
  expect(receiver.received).toHaveLength(1)
  expect(await store.pending()).toBe(0)
})

test('an endpoint that cannot be disabled now is when its next event is answered likewise', async () => {
  const receiver = await startReceiver((res) => res.writeHead(410).end())
  let isAway = true
  const { drainer, lane, book } = await setUp(receiver.url, {
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
  expect(await endsOf()).toEqual(['dropped', 'dropped'])
  expect(book.records.get(lane.endpointId)?.enabled).toBe(false)
})

test.each([
  [410, {}],
  [200, { 'webhook-delivery': 'disable' }],
])('what a URL of before answers (%d %o) disables no endpoint that has another one by now', async (status, headers) => {
  const old = await startReceiver((res) => {
    book.put({ ...endpoint, url: fresh.url })
    res.writeHead(status, headers).end()
  })
  const fresh = await startReceiver()
  const { book, endpoint, drainer, lane, store } = await setUp(old.url, { count: 2, type: 'call.released' })
  for (let again: number | undefined = 0; again !== undefined; again = await drainer.drain(lane, 'owner')) {
    await isDue(again)
  }
  expect(book.records.get(lane.endpointId)).toMatchObject({ enabled: true, url: fresh.url })
  expect(book.operatorEvents).toEqual([])
  expect(await endsOf()).toEqual(['delivered', 'delivered'])
  expect(fresh.received.at(-1)?.body).toBe('2')
  expect((await store.status([lane.endpointId])).get(lane.endpointId)).toMatchObject({ failures: 0 })
})

test('a failure at a URL of before counts for nothing, and the event goes to the new one at once', async () => {
  const old = await startReceiver((res) => {
    book.put({ ...endpoint, url: fresh.url })
    res.writeHead(429, { 'retry-after': '3600' }).end()
  })
  const fresh = await startReceiver()
  const { book, endpoint, drainer, lane, store } = await setUp(old.url, { type: 'call.released' })
  const before = Date.now()
  const again = await drainer.drain(lane, 'owner')
  expect((again ?? 0) - before).toBeLessThan(1_000)
  const status = (await store.status([lane.endpointId])).get(lane.endpointId)
  expect(status).toMatchObject({ failures: 0, breaker: 'closed' })
  expect(status).not.toHaveProperty('pausedUntil')
  await isDue(again)
  expect(await drainer.drain(lane, 'owner')).toBeUndefined()
  expect((await attemptsOf()).map(({ number, status: answered }) => [number, answered])).toEqual([
    [1, 429],
    [2, 200],
  ])
})

test('an event that expires while the credentials are read is not sent', async () => {
  const receiver = await startReceiver()
  const { drainer, lane } = await setUp(receiver.url, {
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
  expect(await endsOf()).toEqual(['expired'])
  expect(receiver.received).toEqual([])
})

test('the headers that were set for one URL are not sent to another, and the event waits until they are known', async () => {
  const receiver = await startReceiver()
  const { drainer, lane } = await setUp(receiver.url, {
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
  expect(await attemptsOf()).toEqual([])
})

test('an event that a Retry-After outlives expires at once, and the endpoint is left alone until then', async () => {
  const receiver = await startReceiver((res) => res.writeHead(429, { 'retry-after': '120' }).end())
  const { drainer, lane, store } = await setUp(receiver.url, { count: 2, type: 'call.ringing' })
  const before = Date.now()
  expect(await drainer.drain(lane, 'owner')).toBeUndefined()
  expect(receiver.received).toHaveLength(1)
  expect(await endsOf()).toEqual(['expired'])
  const status = (await store.status([lane.endpointId])).get(lane.endpointId)
  expect(status).toMatchObject({ pending: 1, failures: 1, inFlight: 0 })
  expect(status?.pausedUntil).toBeGreaterThanOrEqual(before + 119_000)
  expect(status?.pausedUntil).toBeLessThanOrEqual(Date.now() + 120_000)
})

test('a pause is an hour at most, and a second without a Retry-After', async () => {
  const pauses: number[] = []
  for (const headers of [{ 'retry-after': '86400' }, {}]) {
    const receiver = await startReceiver((res) => res.writeHead(429, headers).end())
    const { drainer, lane, store } = await setUp(receiver.url, { type: 'call.released' })
    const now = Date.now()
    await drainer.drain(lane, 'owner')
    const status = (await store.status([lane.endpointId])).get(lane.endpointId)
    pauses.push(Math.round(((status?.pausedUntil ?? 0) - now) / 1_000))
  }
  expect(pauses).toEqual([3_600, 1])
})

test('while the credentials cannot be read nothing is sent and nothing counted', async () => {
  const receiver = await startReceiver()
  const { drainer, lane } = await setUp(receiver.url, {
    records: () => ({ credentialsOf: () => Promise.reject(new Error('the records are away')) }),
  })
  const again = await drainer.drain(lane, 'owner')
  expect((again ?? 0) - Date.now()).toBeGreaterThan(500)
  expect(receiver.received).toEqual([])
  expect(await attemptsOf()).toEqual([])
})

test('a drainer that stops hands back what it has not begun, for now', async () => {
  const receiver = await startReceiver()
  const { drainer, lane, store } = await setUp(receiver.url)
  drainer.stop(AbortSignal.timeout(1_000))
  const again = await drainer.drain(lane, 'owner')
  expect(again).toBeLessThanOrEqual(Date.now())
  expect(receiver.received).toEqual([])
  expect(await store.pending()).toBe(1)
})
