import type { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { startTestRecords } from '../../test/support/records.ts'
import type { TestRecords } from '../../test/support/records.ts'
import { useRedis } from '../../test/support/use-redis.ts'
import { EventTaker, TEST_RULES } from '../../test/support/taken-events.ts'
import { until } from '../../test/support/until.ts'
import { callEntry, createEventLog, EndpointBook, startEngine } from '../../test/support/webhook-engine.ts'
import type { BookedEndpoint } from '../../test/support/webhook-engine.ts'
import { WebhookReceiver } from '../../test/support/webhook-receiver.ts'
import { systemClock } from '../core/clock.ts'
import type { Delivery } from '../core/delivery-record.ts'
import type { Logger } from '../core/logger.ts'
import { silentLogger } from '../core/logger.ts'
import { toAppId, toEndpointId } from '../core/ids.ts'
import { Deliveries } from '../records/deliveries.ts'
import { OperatorEvents } from '../records/operator-events.ts'
import { messageIdOf } from './delivery.ts'
import type { WakeUp } from './delivery.ts'
import { COUNTS_KEY, RECORDS_KEY } from './keys.ts'
import { Recorder } from './recorder.ts'
import { Replayer } from './replayer.ts'
import type { ReplayerOptions } from './replayer.ts'

const CALL = 'callhalf-1:0'
const HOUR = 3_600_000

const redis = useRedis()
let stored: TestRecords
let client: Redis
let deliveries: Deliveries
let recorder: Recorder
let book: EndpointBook
let endpoint: BookedEndpoint
let taker: EventTaker
const woken: WakeUp[] = []
const lines: { readonly fields: object; readonly message: string }[] = []
const cleanups: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  stored = await startTestRecords('pglite')
  client = redis.connect()
  deliveries = new Deliveries(stored.records)
  recorder = new Recorder({
    connect: () => redis.connect(),
    records: deliveries,
    events: new OperatorEvents(stored.records),
    log: silentLogger,
    clock: systemClock,
  })
  await recorder.start()
})
beforeEach(() => {
  book = new EndpointBook()
  endpoint = book.add('https://hooks.example.net/')
  taker = new EventTaker(client, endpoint.endpointId, book.app.appId)
  woken.length = 0
  lines.length = 0
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
  await client.flushall()
})
afterAll(async () => {
  await recorder.stop(AbortSignal.timeout(2_000))
  await stored.stop()
})

const log: Logger = { ...silentLogger, info: (fields, message) => void lines.push({ fields, message }) }
const createReplayer = (options: Partial<ReplayerOptions> = {}) =>
  new Replayer({
    run: (work) => work(client),
    records: deliveries,
    directory: book.directory,
    wake: (wakes) => {
      woken.push(...wakes)
      return Promise.resolve()
    },
    reopen: () => Promise.resolve(),
    clock: systemClock,
    log,
    ...options,
  })

const recorded = () =>
  until('everything to be recorded', async () => ((await client.xlen(RECORDS_KEY)) === 0 ? true : undefined))

/** Takes `count` events of one call, all at once, which then come to an end as told. */
async function end(count: number, result: 'delivered' | 'expired' = 'expired', callId = CALL): Promise<Delivery[]> {
  await taker.take(Array.from({ length: count }, (_, i) => ({ callId, sequence: i + 1 })))
  await taker.drain(taker.lane(callId), result)
  await recorded()
  const { deliveries: all } = await deliveries.list({ endpointId: endpoint.endpointId, callId }, { limit: 200 })
  return all.toSorted((a, b) => Number(a.sequence) - Number(b.sequence))
}

const replayLane = (callId = CALL) => taker.lane(`replay:${callId}`)
const ofEndpoint = () => ({ appId: book.app.appId, endpointId: endpoint.endpointId })
const run = { dryRun: false, limit: 1_000 }

test('one delivery is put into a lane of its own with its id, body and attempts of before', async () => {
  const [delivery] = await end(1)
  if (delivery === undefined) throw new Error('no delivery')
  const before = await deliveries.find(book.app.appId, delivery.deliveryId)
  const startedAt = Date.now()
  const result = await createReplayer().one(book.app.appId, delivery.deliveryId)
  expect(result).toEqual({ matched: 1, replayed: 1, truncated: false })
  expect(woken).toEqual([{ lane: replayLane() }])
  const turn = await taker.store.begin(replayLane(), { owner: 'o', fresh: true, now: Date.now(), rules: TEST_RULES })
  if (turn.kind !== 'due') throw new Error(turn.kind)
  expect(messageIdOf(endpoint.endpointId, turn.event.eventId)).toBe(delivery.deliveryId)
  expect(turn.event).toEqual({
    eventId: delivery.eventId,
    type: 'call.released',
    about: { sequence: '1', callId: CALL, occurredAt: delivery.occurredAt },
    payload: before?.payload,
  })
  expect(turn.pending).toMatchObject({ isReplay: true, attemptsBefore: 0, class: 'record' })
  // The default for a record.
  expect(turn.pending.expiresAt - startedAt).toBeGreaterThanOrEqual(72 * HOUR)
  await recorded()
  const after = await deliveries.find(book.app.appId, delivery.deliveryId)
  expect(after?.delivery).toMatchObject({ status: 'pending', replays: 1, expiresAt: turn.pending.expiresAt })
  expect(lines).toEqual([
    {
      message: 'delivery replayed',
      fields: {
        replay_id: expect.any(String),
        app_id: book.app.appId,
        endpoint_id: endpoint.endpointId,
        delivery_id: delivery.deliveryId,
        replayed: 1,
      },
    },
  ])
})

test('a storm of requests for one delivery replays it once, also before the records have heard of it', async () => {
  const [delivery] = await end(1)
  if (delivery === undefined) throw new Error('no delivery')
  const replayer = createReplayer()
  const asked = await Promise.allSettled(
    Array.from({ length: 20 }, () => replayer.one(book.app.appId, delivery.deliveryId)),
  )
  const refusals: unknown[] = asked.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []))
  expect(refusals).toHaveLength(19)
  for (const refusal of refusals) expect(refusal).toMatchObject({ code: 'delivery_pending' })
  expect((await taker.store.status([endpoint.endpointId])).get(endpoint.endpointId)).toMatchObject({ pending: 1 })
})

test('what would be stale within seconds has an hour when somebody asks for it again', async () => {
  const expired = await taker.take([{ callId: CALL, sequence: 1, type: 'call.ringing' }])
  await taker.drain(taker.lane(CALL), 'expired')
  await recorded()
  const startedAt = Date.now()
  await createReplayer().one(book.app.appId, messageIdOf(endpoint.endpointId, expired[0] ?? ''))
  const [turn] = await taker.drain(replayLane())
  expect(turn?.pending.class).toBe('act_now')
  const livesMs = (turn?.pending.expiresAt ?? 0) - startedAt
  expect(livesMs).toBeGreaterThanOrEqual(HOUR)
  expect(livesMs).toBeLessThan(HOUR + 10_000)
})

test('a delivery that is not there, not theirs, still pending, or of an endpoint that is not enabled is refused', async () => {
  const replayer = createReplayer()
  const { appId } = book.app
  await expect(replayer.one(appId, 'msg_none')).rejects.toMatchObject({ code: 'delivery_not_found' })
  const [delivery] = await end(1)
  const deliveryId = delivery?.deliveryId ?? ''
  await expect(replayer.one(toAppId('other'), deliveryId)).rejects.toMatchObject({ code: 'delivery_not_found' })

  const [pending] = await taker.take([{ callId: 'callhalf-2:0', sequence: 1 }])
  await recorded()
  const pendingId = messageIdOf(endpoint.endpointId, pending ?? '')
  await expect(replayer.one(appId, pendingId)).rejects.toMatchObject({ code: 'delivery_pending' })

  book.put({ ...endpoint, enabled: false })
  await expect(replayer.one(appId, deliveryId)).rejects.toMatchObject({ code: 'webhook_disabled' })
  await expect(replayer.matching(ofEndpoint(), run)).rejects.toMatchObject({ code: 'webhook_disabled' })
  book.put({ ...endpoint, verified: false })
  await expect(replayer.one(appId, deliveryId)).rejects.toMatchObject({ code: 'webhook_unverified' })
  await expect(replayer.matching(ofEndpoint(), run)).rejects.toMatchObject({ code: 'webhook_unverified' })
  book.remove(endpoint.endpointId)
  await expect(replayer.one(appId, deliveryId)).rejects.toMatchObject({ code: 'webhook_not_found' })
  await expect(replayer.matching(ofEndpoint(), run)).rejects.toMatchObject({ code: 'webhook_not_found' })
  expect(woken).toEqual([])
})

test('five hundred events of a call, all taken at one moment, are replayed in their order', async () => {
  await end(500)
  expect(await createReplayer().matching({ ...ofEndpoint(), callId: CALL }, run)).toEqual({
    matched: 500,
    replayed: 500,
    truncated: false,
  })
  const turns = await taker.drain(replayLane())
  expect(turns.map(({ event }) => Number(event.about.sequence))).toEqual(Array.from({ length: 500 }, (_, i) => i + 1))
  await recorded()
  const { deliveries: all } = await deliveries.list(ofEndpoint(), { limit: 200 })
  expect(new Set(all.map(({ status, replays }) => `${status} ${replays}`))).toEqual(new Set(['delivered 1']))
})

test('a dry run counts and changes nothing, also at an endpoint that is not enabled', async () => {
  await end(5)
  const replayer = createReplayer()
  const filter = { ...ofEndpoint(), statuses: ['expired', 'pending'] as const }
  expect(await replayer.matching(filter, { dryRun: true, limit: 1_000 })).toEqual({
    matched: 5,
    replayed: 0,
    truncated: false,
  })
  book.put({ ...endpoint, enabled: false })
  expect(await replayer.matching(filter, { dryRun: true, limit: 4 })).toEqual({
    matched: 4,
    replayed: 0,
    truncated: true,
  })
  expect(woken).toEqual([])
  expect(lines).toEqual([])
  expect(await taker.drain(replayLane())).toEqual([])
})

test('a limit takes the oldest and says that there are more; what is pending never matches', async () => {
  await end(3)
  await end(2, 'expired', 'callhalf-2:0')
  await taker.take([{ callId: 'callhalf-3:0', sequence: 1 }])
  await recorded()
  const replayer = createReplayer()
  expect(await replayer.matching(ofEndpoint(), { dryRun: false, limit: 3 })).toMatchObject({
    matched: 3,
    replayed: 3,
    truncated: true,
  })
  expect(woken.map(({ lane }) => lane.orderKey)).toEqual([`replay:${CALL}`])
  await recorded()
  // Those three are pending now.
  expect(await replayer.matching(ofEndpoint(), { dryRun: false, limit: 2 })).toMatchObject({
    matched: 2,
    replayed: 2,
    truncated: false,
  })
  expect(await replayer.matching({ ...ofEndpoint(), statuses: ['pending'] }, run)).toEqual({
    matched: 0,
    replayed: 0,
    truncated: false,
  })
})

test('a full backlog ends the replay, which says so', async () => {
  await end(5)
  await client.hset(COUNTS_KEY, endpoint.endpointId, '99998')
  expect(await createReplayer().matching(ofEndpoint(), run)).toMatchObject({ matched: 5, replayed: 2, truncated: true })
  expect(lines).toMatchObject([{ message: 'deliveries replayed', fields: { replayed: 2, truncated: true } }])
  expect((await taker.drain(replayLane())).map(({ event }) => event.about.sequence)).toEqual(['1', '2'])
})

test('over all endpoints of an app, those that are not enabled are passed over', async () => {
  await end(2)
  const other = book.add('https://other.example.net/')
  const otherTaker = new EventTaker(client, other.endpointId, book.app.appId)
  await client.hset(`ch:{wh}:cursors:${book.app.appId}`, other.endpointId, '1:0')
  await otherTaker.take([{ callId: 'callhalf-7:0', sequence: 1 }])
  await otherTaker.drain(otherTaker.lane('callhalf-7:0'), 'expired')
  await recorded()
  book.put({ ...endpoint, enabled: false })
  expect(await createReplayer().matching({ appId: book.app.appId }, run)).toMatchObject({ matched: 3, replayed: 1 })
  expect(woken.map(({ lane }) => lane.endpointId)).toEqual([toEndpointId(other.endpointId)])
})

test('through the engine: replays arrive in order, marked, with their ids of then, and live events do not wait', async () => {
  const receiver = await new WebhookReceiver().start()
  cleanups.push(() => receiver.stop())
  let isDown = true
  receiver.answer((res, { headers }) => {
    // The first replay hangs until the live event is there.
    const isHeld = headers['callhalf-replay'] === '1' && !receiver.received.some(({ body }) => body.includes('"99"'))
    if (!isHeld) res.writeHead(isDown ? 500 : 200).end()
  })
  endpoint = { ...endpoint, url: receiver.url, policies: { '*': { ttlMs: 1_500, delaysMs: [100], timeoutMs: 2_000 } } }
  book.put(endpoint)
  const eventLog = createEventLog(redis)
  const engine = await startEngine(redis, book, { eventLog })
  cleanups.push(() => engine.stop())
  for (let sequence = 1; sequence <= 5; sequence += 1) await eventLog.append(book.app, callEntry(CALL, sequence))
  const expired = { ...ofEndpoint(), statuses: ['expired', 'parked'] as const }
  await until('all to have expired', async () => ((await deliveries.count(expired, 10)) === 5 ? true : undefined))
  const sentBefore = new Map(receiver.received.map(({ headers, body }) => [body, headers['webhook-id']]))
  const attemptsBefore = receiver.received.length
  receiver.received.length = 0
  isDown = false

  const replayer = createReplayer({ wake: engine.dispatcher.wake })
  expect(await replayer.matching(expired, run)).toMatchObject({ matched: 5, replayed: 5 })
  await until('the first replay', () => receiver.received.length > 0)
  await eventLog.append(book.app, callEntry(CALL, 99))
  await until('all to be delivered', async () =>
    (await deliveries.count({ ...ofEndpoint(), statuses: ['delivered'] }, 10)) === 6 ? true : undefined,
  )
  const replays = receiver.received.filter(({ headers }) => headers['callhalf-replay'] === '1')
  const order = [...new Set(replays.map(({ headers }) => headers['callhalf-sequence']))]
  expect(order).toEqual(['1', '2', '3', '4', '5'])
  const known = replays.filter(({ body }) => sentBefore.has(body))
  expect(known.map(({ headers }) => headers['webhook-id'])).toEqual(known.map(({ body }) => sentBefore.get(body)))
  expect(known.length).toBeGreaterThan(0)
  expect(attemptsBefore).toBeGreaterThan(1)
  expect(Number(replays[0]?.headers['callhalf-attempt'])).toBeGreaterThan(1)
  const live = receiver.received.findIndex(({ headers }) => headers['callhalf-sequence'] === '99')
  expect(live).toBe(1)
  expect(receiver.received[live]?.headers['callhalf-replay']).toBeUndefined()
})
