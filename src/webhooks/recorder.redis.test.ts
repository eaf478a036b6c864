import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import { Registry } from 'prom-client'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { startTestRecords } from '../../test/support/records.ts'
import type { TestRecords } from '../../test/support/records.ts'
import { useRedis } from '../../test/support/use-redis.ts'
import { EventTaker, TEST_RULES } from '../../test/support/taken-events.ts'
import { until } from '../../test/support/until.ts'
import { systemClock } from '../core/clock.ts'
import type { DeliveryFact } from '../core/delivery-record.ts'
import { GatewayError } from '../core/errors.ts'
import { toEndpointId } from '../core/ids.ts'
import type { Logger } from '../core/logger.ts'
import { silentLogger } from '../core/logger.ts'
import { Deliveries } from '../records/deliveries.ts'
import { OperatorEvents } from '../records/operator-events.ts'
import { messageIdOf } from './delivery.ts'
import { LOST_RECORDS_KEY, RECORDER_LOCK_KEY, RECORDS_KEY } from './keys.ts'
import { Recorder } from './recorder.ts'
import type { RecorderOptions } from './recorder.ts'
import { RecorderMetrics } from './recorder-metrics.ts'

const redis = useRedis()
let stored: TestRecords
let client: Redis
let deliveries: Deliveries
let taker: EventTaker
const cleanups: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  stored = await startTestRecords('pglite')
  client = redis.connect()
  deliveries = new Deliveries(stored.records)
})
beforeEach(() => {
  taker = new EventTaker(client, toEndpointId(randomUUID()))
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
  await client.flushall()
})
afterAll(() => stored.stop())

type Line = { readonly level: string; readonly fields: object; readonly message: string }

async function startRecorder(options: Partial<RecorderOptions> = {}) {
  const lines: Line[] = []
  const at = (level: string) => (fields: object, message: string) => void lines.push({ level, fields, message })
  const log: Logger = { ...silentLogger, info: at('info'), warn: at('warn'), error: at('error') }
  const registry = new Registry()
  const recorder = new Recorder({
    connect: () => redis.connect(),
    records: deliveries,
    events: new OperatorEvents(stored.records),
    log,
    clock: systemClock,
    metrics: new RecorderMetrics(registry),
    ...options,
  })
  await recorder.start()
  cleanups.push(() => recorder.stop(AbortSignal.abort()))
  const metric = async (name: string) => (await registry.getSingleMetric(name)?.get())?.values ?? []
  return { recorder, lines, metric }
}

/** The records as they are, and what was written to them. */
function watched(before: (facts: readonly DeliveryFact[]) => void | Promise<void> = () => undefined) {
  const written: DeliveryFact[] = []
  return {
    written,
    async write(facts: readonly DeliveryFact[]) {
      await before(facts)
      await deliveries.write(facts)
      written.push(...facts)
    },
  }
}

const deliveredOf = async (endpointId: string) => {
  const page = await deliveries.list({ endpointId: toEndpointId(endpointId), statuses: ['delivered'] }, { limit: 200 })
  return page.deliveries
}

const emptied = () =>
  until('all facts to be written', async () => ((await client.xlen(RECORDS_KEY)) === 0 ? true : undefined))

const unavailable = () => new GatewayError('store_unavailable')

/** Takes, attempts and delivers `count` events of one call. */
async function deliver(callId: string, count: number): Promise<void> {
  await taker.take(Array.from({ length: count }, (_, i) => ({ callId, sequence: i + 1 })))
  await taker.drain(taker.lane(callId))
}

const attemptedFact = (deliveryId: string, number: number) =>
  JSON.stringify({
    deliveryId,
    attempt: { number, startedAt: Date.now(), target: 'primary', outcome: 'timeout', timing: { totalMs: 1 } },
  })

test('what becomes of deliveries is written in order and leaves Redis', async () => {
  const records = watched()
  const { metric } = await startRecorder({ records })
  await deliver('callhalf-1:0', 3)
  await emptied()
  expect(records.written.map(({ kind }) => kind)).toEqual(['taken', 'taken', 'taken', 'ended', 'ended', 'ended'])
  const delivered = await deliveredOf(taker.endpoint.endpointId)
  expect(new Set(delivered.map(({ sequence }) => sequence))).toEqual(new Set(['1', '2', '3']))
  expect(delivered[0]).toMatchObject({ appId: 'app-1', callId: 'callhalf-1:0', class: 'record', attempts: 0 })
  expect(await metric('callhalf_webhook_records_written_total')).toMatchObject([
    { labels: { kind: 'taken' }, value: 3 },
    { labels: { kind: 'ended' }, value: 3 },
  ])
  await until('no lag', async () =>
    (await metric('callhalf_webhook_records_lag_seconds'))[0]?.value === 0 ? true : undefined,
  )
})

test('every end is counted by status and class, also one without a request', async () => {
  const { metric } = await startRecorder()
  await deliver('callhalf-1:0', 3)
  await taker.take([{ callId: 'callhalf-2:0', sequence: 1, type: 'call.held' }], Date.now() - 3_600_000)
  await taker.drain(taker.lane('callhalf-2:0'))
  await taker.take([{ callId: 'callhalf-3:0', sequence: 1, type: 'call.ringing' }])
  await taker.store.remove(taker.endpoint, Date.now())
  await emptied()
  expect(await metric('callhalf_webhook_ended_total')).toEqual([
    { labels: { status: 'delivered', class: 'record' }, value: 3 },
    { labels: { status: 'expired', class: 'state' }, value: 1 },
    { labels: { status: 'dropped', class: 'act_now' }, value: 1 },
  ])
})

test('more than a batch is written without waiting in between', async () => {
  await taker.take(Array.from({ length: 3_500 }, (_, i) => ({ callId: `callhalf-${i}:0`, sequence: 1 })))
  const records = watched()
  const startedAt = performance.now()
  await startRecorder({ records })
  await emptied()
  expect(records.written).toHaveLength(3_500)
  expect(performance.now() - startedAt).toBeLessThan(10_000)
})

test('a recorder that dies between writing and taking off repeats a batch, which changes nothing', async () => {
  await taker.take([
    { callId: 'callhalf-1:0', sequence: 1 },
    { callId: 'callhalf-1:0', sequence: 2 },
  ])
  const lane = taker.lane('callhalf-1:0')
  const turn = await taker.store.begin(lane, { owner: 'test', fresh: true, now: Date.now(), rules: TEST_RULES })
  if (turn.kind !== 'due') throw new Error(turn.kind)
  const deliveryId = messageIdOf(lane.endpointId, turn.pending.eventId)
  const attempt = { startedAt: Date.now(), target: 'primary', outcome: 'timeout', timing: { totalMs: 1 } } as const
  await taker.store.settle(lane, {
    token: turn.pending.token,
    result: 'expired',
    attempts: [1, 2].map((number) => ({ attemptId: `a${number}`, deliveryId, attempt: { ...attempt, number } })),
    now: Date.now(),
    rules: TEST_RULES,
  })
  let doomed: Redis | undefined
  const first = watched()
  await startRecorder({
    connect: () => (doomed = redis.connect()),
    records: {
      async write(facts) {
        await first.write(facts)
        doomed?.disconnect()
      },
    },
  })
  await until('the first to have written', () => first.written.length > 0)
  const before = await deliveries.find(taker.endpoint.appId, deliveryId)
  expect(before).toMatchObject({ delivery: { status: 'expired', attempts: 2 } })
  expect(await client.xlen(RECORDS_KEY)).toBe(4)

  const second = watched()
  await startRecorder({ records: second })
  await emptied()
  // The first one was still waiting for the end of the other delivery.
  const repeated = first.written.map(({ factId }) => factId)
  expect(second.written.map(({ factId }) => factId).filter((id) => repeated.includes(id))).toEqual(repeated)
  expect(await deliveries.find(taker.endpoint.appId, deliveryId)).toEqual(before)
})

test('of two recorders one works, and the other goes on at once when it stops', async () => {
  const [one, two] = [watched(), watched()]
  const first = await startRecorder({ records: one })
  await until('the first to have the lock', () => client.get(RECORDER_LOCK_KEY).then((lock) => lock ?? undefined))
  await startRecorder({ records: two })
  for (let round = 0; round < 5; round += 1) {
    await deliver(`callhalf-${round}:0`, 2)
    await emptied()
  }
  expect(one.written).toHaveLength(20)
  expect(two.written).toEqual([])

  await first.recorder.stop(AbortSignal.timeout(2_000))
  const stoppedAt = performance.now()
  await deliver('callhalf-9:0', 2)
  await emptied()
  expect(two.written).toHaveLength(4)
  expect(performance.now() - stoppedAt).toBeLessThan(2_000)
})

test('while the records are away one recorder asks for them, and then writes everything in order', async () => {
  let isAway = true
  let asked = 0
  const records = watched(() => {
    asked += 1
    if (isAway) throw unavailable()
  })
  const { lines, metric } = await startRecorder({ records })
  await deliver('callhalf-1:0', 2)
  await until('the first try', () => asked > 0)
  const other = watched(() => {
    if (isAway) throw unavailable()
  })
  const idle = await startRecorder({ records: other })
  await until('the third try', () => asked === 3)
  const [lag] = await metric('callhalf_webhook_records_lag_seconds')
  expect(lag?.value).toBeGreaterThan(2)
  // The next try is 4 s away: unless it is kept, the lock lapses before.
  await client.pexpire(RECORDER_LOCK_KEY, 3_000)
  await deliver('callhalf-2:0', 2)
  isAway = false
  await emptied()
  const ids = records.written.flatMap(({ kind, factId }) => (kind === 'attempted' ? [] : [factId]))
  expect(ids).toEqual(ids.toSorted(compareStreamIds))
  expect(records.written).toHaveLength(8)
  expect(await deliveredOf(taker.endpoint.endpointId)).toHaveLength(4)
  expect(other.written).toEqual([])
  expect(idle.lines).toEqual([])
  expect(lines).toMatchObject([
    { level: 'warn', message: 'facts about deliveries could not be written, they wait' },
    { level: 'info', message: 'facts about deliveries written again', fields: { failures: 3 } },
  ])
})

test('a fact that the records refuse is dropped and told without its payload, and all others are written', async () => {
  await deliver('callhalf-1:0', 40)
  const eventIds = await taker.take([{ callId: 'callhalf-2:0', sequence: 1 }])
  const deliveryId = messageIdOf(taker.endpoint.endpointId, eventIds[0] ?? '')
  await client.xadd(RECORDS_KEY, '*', 'k', 'fact', 'fact', attemptedFact(deliveryId, 1))
  // No integer of PostgreSQL holds this number.
  await client.xadd(RECORDS_KEY, '*', 'k', 'fact', 'fact', attemptedFact(deliveryId, 1e12))
  await client.xadd(RECORDS_KEY, '*', 'k', 'fact', 'fact', attemptedFact(deliveryId, 2))
  const { lines, metric } = await startRecorder()
  await emptied()
  expect(await deliveredOf(taker.endpoint.endpointId)).toHaveLength(40)
  const found = await deliveries.find(taker.endpoint.appId, deliveryId)
  expect(found?.attempts.map(({ number }) => number)).toEqual([1, 2])
  expect(lines).toEqual([
    {
      level: 'error',
      message: 'facts about deliveries refused by the records',
      fields: { dropped: 1, facts: [{ fact_id: expect.any(String), kind: 'attempted', code: 'internal 22003' }] },
    },
  ])
  expect(await metric('callhalf_webhook_records_lost_total')).toMatchObject([
    { labels: { reason: 'refused' }, value: 1 },
  ])
})

test('an entry that this version cannot read is dropped and told, and all others are written', async () => {
  await client.xadd(RECORDS_KEY, '*', 'k', 'invented', 'payload', 'secret')
  await client.xadd(RECORDS_KEY, '*', 'k', 'taken', 'app', 'app-1')
  await deliver('callhalf-1:0', 2)
  const { lines } = await startRecorder()
  await emptied()
  expect(await deliveredOf(taker.endpoint.endpointId)).toHaveLength(2)
  expect(lines).toMatchObject([{ level: 'error', message: 'facts about deliveries that cannot be read' }])
  expect(JSON.stringify(lines)).not.toContain('secret')
})

test('facts that did not fit are told to operators, once', async () => {
  await client.set(LOST_RECORDS_KEY, '1234')
  const { lines, metric } = await startRecorder()
  await deliver('callhalf-1:0', 2)
  await until('the count to be gone', async () => ((await client.exists(LOST_RECORDS_KEY)) === 0 ? true : undefined))
  await emptied()
  const { events } = await new OperatorEvents(stored.records).list({ limit: 10, type: 'records.lost' })
  expect(events.map(({ details }) => details)).toEqual([{ facts: 1234 }])
  expect(lines).toMatchObject([{ level: 'error', fields: { lost: 1234 } }])
  expect(await metric('callhalf_webhook_records_lost_total')).toMatchObject([
    { labels: { reason: 'overflow' }, value: 1234 },
  ])
})

test('a loss that could not be told before a stop is told by the next recorder', async () => {
  await client.set(LOST_RECORDS_KEY, '1234')
  await deliver('callhalf-1:0', 1)
  const failed = Promise.withResolvers<void>()
  const { recorder } = await startRecorder({
    records: watched(() => {
      failed.resolve()
      throw unavailable()
    }),
  })
  await failed.promise
  await recorder.stop(AbortSignal.timeout(5_000))
  expect(await client.get(LOST_RECORDS_KEY)).toBe('1234')
})

test('a stop writes what is there and gives the lock back', async () => {
  const records = watched()
  const { recorder } = await startRecorder({ records })
  await until('the lock', () => client.get(RECORDER_LOCK_KEY).then((lock) => lock ?? undefined))
  await deliver('callhalf-1:0', 5)
  await recorder.stop(AbortSignal.timeout(5_000))
  expect(records.written).toHaveLength(10)
  expect(await client.xlen(RECORDS_KEY)).toBe(0)
  expect(await client.exists(RECORDER_LOCK_KEY)).toBe(0)
  await recorder.stop(AbortSignal.timeout(5_000))
})

test('a stop ends by its deadline although the records do not answer', async () => {
  const hanging = Promise.withResolvers<void>()
  let asked = 0
  const { recorder } = await startRecorder({
    records: watched(() => {
      asked += 1
      return hanging.promise
    }),
  })
  await deliver('callhalf-1:0', 1)
  await until('a write', () => asked > 0)
  const startedAt = performance.now()
  await recorder.stop(AbortSignal.timeout(200))
  expect(performance.now() - startedAt).toBeLessThan(1_500)
  hanging.reject(unavailable())
  expect(await client.xlen(RECORDS_KEY)).toBe(2)
})

test('a batch that the database is too slow for is asked of it in smaller parts', async () => {
  await taker.take(Array.from({ length: 400 }, (_, i) => ({ callId: `callhalf-${i}:0`, sequence: 1 })))
  const sizes: number[] = []
  const records = watched((facts) => {
    sizes.push(facts.length)
    if (facts.length > 250) throw unavailable()
  })
  await startRecorder({ records })
  await emptied()
  expect(records.written).toHaveLength(400)
  expect(sizes).toEqual([400, 200, 200])
})

function compareStreamIds(a: string, b: string): number {
  const [aMs = 0, aSeq = 0] = a.split('-').map(Number)
  const [bMs = 0, bSeq = 0] = b.split('-').map(Number)
  return aMs - bMs || aSeq - bSeq
}
