import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { until } from '../../test/support/until.ts'
import { EndpointBook } from '../../test/support/webhook-engine.ts'
import type { Received } from '../../test/support/webhook-receiver.ts'
import { receivedBy, WebhookRig } from '../../test/support/webhook-rig.ts'

let rig: WebhookRig
beforeAll(async () => {
  rig = await WebhookRig.start()
})
afterEach(() => rig.clean())
afterAll(() => rig.stop())

const CALL = 'callhalf-1:0'
const sequenceOf = ({ headers }: Received) => headers['callhalf-sequence']

test('a ringing call that a receiver refused once is told again after 125 to 500 ms', async () => {
  const receiver = await rig.startReceiver((res, _request, count) => res.writeHead(count === 1 ? 503 : 200).end())
  const book = new EndpointBook()
  book.add(receiver.url, { policies: {} })
  await rig.startEngine(book)
  await rig.append(book, CALL, 1, 'call.ringing')
  const [first, second] = await receivedBy(receiver, 2)
  const waited = (second?.at ?? 0) - (first?.at ?? 0)
  expect(waited).toBeGreaterThanOrEqual(120)
  expect(waited).toBeLessThan(500)
})

test('a change that holds up its call for too long is parked, and the next one says so', async () => {
  const receiver = await rig.startReceiver((res, request) =>
    res.writeHead(sequenceOf(request) === '1' ? 503 : 200).end(),
  )
  const book = new EndpointBook()
  book.add(receiver.url, { orderHoldMs: 300 })
  await rig.startEngine(book)
  await rig.append(book, CALL, 1)
  await receivedBy(receiver, 1)
  await rig.append(book, CALL, 2)
  await rig.append(book, CALL, 3)
  await rig.nothingLeft()
  const arrived = receiver.received.filter((request) => sequenceOf(request) !== '1')
  expect(arrived.map((request) => [sequenceOf(request), request.headers['callhalf-skipped']])).toEqual([
    ['2', '1;parked'],
    ['3', undefined],
  ])
  expect(await rig.ends()).toEqual([
    ['1', 'parked'],
    ['2', 'delivered'],
    ['3', 'delivered'],
  ])
})

test('a head whose retry is hours away makes way after the order hold', async () => {
  const receiver = await rig.startReceiver((res, request) =>
    res.writeHead(sequenceOf(request) === '1' ? 503 : 200).end(),
  )
  const book = new EndpointBook()
  book.add(receiver.url, { orderHoldMs: 300, policies: { '*': { delaysMs: [6 * 3_600_000], ttlMs: 72 * 3_600_000 } } })
  await rig.startEngine(book)
  await rig.append(book, CALL, 1)
  await until('the retry put off', async () => {
    const facts = await rig.facts()
    return facts.some((fact) => fact.kind === 'attempted' && fact.nextAttemptAt !== undefined)
  })
  const heldFrom = performance.now()
  await rig.append(book, CALL, 2)
  const [, second] = await receivedBy(receiver, 2, 5_000)
  expect(second === undefined ? undefined : sequenceOf(second)).toBe('2')
  expect((second?.at ?? 0) - heldFrom).toBeGreaterThanOrEqual(290)
})

test('a record that holds up its call goes on by itself and arrives, marked as out of order', async () => {
  let isHealthy = false
  const receiver = await rig.startReceiver((res, request) =>
    res.writeHead(sequenceOf(request) === '1' && !isHealthy ? 503 : 200).end(),
  )
  const book = new EndpointBook()
  book.add(receiver.url, { orderHoldMs: 200 })
  await rig.startEngine(book)
  await rig.append(book, CALL, 1, 'call.released')
  await receivedBy(receiver, 1)
  await rig.append(book, CALL, 2, 'call.released')
  const next = await until('the next one', () => receiver.received.find((request) => sequenceOf(request) === '2'))
  expect(next.headers['callhalf-skipped']).toBe('1;parked')
  isHealthy = true
  await rig.nothingLeft()
  const last = receiver.received.at(-1)
  expect(last?.headers).toMatchObject({ 'callhalf-sequence': '1', 'callhalf-parked': '1' })
  expect(Number(last?.headers['callhalf-attempt'])).toBeGreaterThan(1)
  expect(await rig.ends()).toEqual([
    ['2', 'delivered'],
    ['1', 'delivered'],
  ])
  const ids = receiver.received
    .filter((request) => sequenceOf(request) === '1')
    .map(({ headers }) => headers['webhook-id'])
  expect(new Set(ids).size).toBe(1)
})

test('of twenty changes while a coalescing endpoint is down only the last arrives, and the end as its own', async () => {
  let isHealthy = false
  const receiver = await rig.startReceiver((res) => res.writeHead(isHealthy ? 200 : 503).end())
  const book = new EndpointBook()
  book.add(receiver.url, { coalesce: true })
  await rig.startEngine(book)
  for (let sequence = 1; sequence <= 20; sequence += 1) await rig.append(book, CALL, sequence)
  await until('the last one tried', () => receiver.received.some((request) => sequenceOf(request) === '20'))
  const tried = receiver.received.length
  isHealthy = true
  await rig.nothingLeft()
  const arrived = receiver.received.slice(tried).filter((_, i, all) => i === all.length - 1)
  expect(receiver.received.length - tried).toBeLessThanOrEqual(2)
  expect(arrived.map(sequenceOf)).toEqual(['20'])
  expect(arrived[0]?.headers['callhalf-skipped']).toMatch(/(?:^|, )19;superseded$/)
  await rig.append(book, CALL, 21)
  await rig.append(book, CALL, 22, 'call.released')
  await rig.nothingLeft()
  expect(receiver.received.at(-1)?.headers).toMatchObject({
    'callhalf-sequence': '22',
    'callhalf-event': 'call.released',
  })
  const ends = await rig.ends()
  expect(ends).toHaveLength(22)
  expect(ends.slice(0, 20)).toEqual([
    ...Array.from({ length: 19 }, (_, i) => [String(i + 1), 'superseded']),
    ['20', 'delivered'],
  ])
  expect(ends.at(-1)).toEqual(['22', 'delivered'])
})

test('records are never replaced, not even by a coalescing endpoint', async () => {
  let isHealthy = false
  const receiver = await rig.startReceiver((res) => res.writeHead(isHealthy ? 200 : 503).end())
  const book = new EndpointBook()
  book.add(receiver.url, { coalesce: true })
  await rig.startEngine(book)
  for (let sequence = 1; sequence <= 3; sequence += 1) await rig.append(book, 'orders', sequence, 'order.completed')
  await receivedBy(receiver, 1)
  isHealthy = true
  await rig.nothingLeft()
  expect((await rig.ends()).map(([, status]) => status)).toEqual(['delivered', 'delivered', 'delivered'])
})

test('what somebody should have acted on is not sent after its time; that it expired is recorded, records arrive', async () => {
  let isHealthy = false
  const receiver = await rig.startReceiver((res) => res.writeHead(isHealthy ? 200 : 503).end())
  const book = new EndpointBook()
  const { endpointId } = book.add(receiver.url, {
    policies: { 'call.ringing': { ttlMs: 1_200, delaysMs: [200] }, 'call.released': { delaysMs: [300] } },
  })
  await rig.startEngine(book)
  const calls = Array.from({ length: 5 }, (_, i) => `callhalf-${i}:0`)
  await Promise.all(calls.map((callId) => rig.append(book, callId, 1, 'call.ringing')))
  await Promise.all(calls.map((callId) => rig.append(book, callId, 2, 'call.released')))
  await until('all expired', async () => (await rig.ends()).filter(([, status]) => status === 'expired').length === 5)
  isHealthy = true
  await rig.nothingLeft()
  const facts = await rig.facts()
  const late = facts.filter((fact) => {
    if (fact.kind !== 'attempted') return false
    const taken = facts.find((each) => each.kind === 'taken' && hasDelivery(each, fact.deliveryId))
    return taken?.kind === 'taken' && taken.event.type === 'call.ringing' && fact.attempt.startedAt > taken.at + 1_200
  })
  expect(late).toEqual([])
  const ends = await rig.ends()
  expect(ends.filter(([sequence]) => sequence === '1').map(([, status]) => status)).toEqual(Array(5).fill('expired'))
  expect(ends.filter(([sequence]) => sequence === '2').map(([, status]) => status)).toEqual(Array(5).fill('delivered'))
  const released = receiver.received.filter(({ headers }) => headers['callhalf-event'] === 'call.released')
  expect(released.map(({ headers }) => headers['callhalf-skipped'])).toContain('1;expired')
  expect(book.records.get(endpointId)?.enabled).toBe(true)
})

const hasDelivery = (
  taken: { readonly endpoints: readonly { readonly deliveryId: string }[] },
  deliveryId: string,
): boolean => taken.endpoints.some((endpoint) => endpoint.deliveryId === deliveryId)

test('a URL that cannot be reached is replaced by the failover, in the same round and order', async () => {
  const dead = await rig.startReceiver()
  const deadUrl = dead.url
  await dead.stop()
  const failover = await rig.startReceiver()
  const book = new EndpointBook()
  book.add(deadUrl, { failoverUrl: failover.url })
  await rig.startEngine(book)
  for (let sequence = 1; sequence <= 5; sequence += 1) await rig.append(book, CALL, sequence)
  await rig.nothingLeft()
  expect(failover.sequencesOf(CALL)).toEqual([1, 2, 3, 4, 5])
  expect(failover.received.every(({ headers }) => headers['callhalf-target'] === 'failover')).toBe(true)
  expect((await rig.ends()).map(([, status]) => status)).toEqual(Array(5).fill('delivered'))
})
