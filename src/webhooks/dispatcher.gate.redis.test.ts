import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { until } from '../../test/support/until.ts'
import { EndpointBook } from '../../test/support/webhook-engine.ts'
import { receivedBy, WebhookRig } from '../../test/support/webhook-rig.ts'
import type { EndpointId } from '../core/ids.ts'
import { DeliveryStore } from './delivery-store.ts'
import { EndpointState } from './endpoint-state.ts'
import { endpointKeys } from './keys.ts'

let rig: WebhookRig
beforeAll(async () => {
  rig = await WebhookRig.start()
})
afterEach(() => rig.clean())
afterAll(() => rig.stop())

const callsOf = (count: number, from = 0) => Array.from({ length: count }, (_, i) => `callhalf-${from + i}:0`)

const appendAll = (book: EndpointBook, callIds: readonly string[], to = rig) =>
  Promise.all(callIds.map((callId) => to.append(book, callId, 1)))

const statusOf = async (endpointId: EndpointId, of = rig) => {
  const status = (await new DeliveryStore(of.redis.connect()).status([endpointId])).get(endpointId)
  if (status === undefined) throw new Error('no status')
  return status
}

test('a 429 pauses its endpoint for as long as it asks, and no other one', async () => {
  const busy = await rig.startReceiver((res, _request, count) =>
    count === 1 ? res.writeHead(429, { 'retry-after': '2' }).end() : res.writeHead(200).end(),
  )
  const other = await rig.startReceiver()
  const book = new EndpointBook()
  const { endpointId } = book.add(busy.url)
  book.add(other.url)
  await rig.startEngine(book)
  await appendAll(book, callsOf(1))
  await until('the pause', async () => (await statusOf(endpointId)).pausedUntil)
  await appendAll(book, callsOf(20, 1))
  await receivedBy(other, 21)
  expect(busy.received).toHaveLength(1)
  await receivedBy(busy, 22)
  expect((busy.received[1]?.at ?? 0) - (busy.received[0]?.at ?? 0)).toBeGreaterThanOrEqual(1_990)
  await rig.nothingLeft()
  expect(await rig.ends()).toHaveLength(42)
})

// These two wait for ten seconds until a breaker lets a probe through, at the same time and each with its own store.
test.concurrent(
  'an endpoint that only fails is left alone by its breaker, but for one probe, whose success closes it',
  { timeout: 60_000 },
  async () => {
    await using own = await WebhookRig.start()
    const probe = Promise.withResolvers<() => void>()
    let isOpen = false
    const receiver = await own.startReceiver((res) => {
      if (isOpen) probe.resolve(() => void res.writeHead(200).end())
      else res.writeHead(500).end()
    })
    const healthy = await own.startReceiver()
    const book = new EndpointBook()
    const { endpointId } = book.add(receiver.url)
    book.add(healthy.url)
    const engine = await own.startEngine(book)
    await appendAll(book, callsOf(25), own)
    const { openUntil } = await until('an open breaker', async () => {
      const status = await statusOf(endpointId, own)
      return status.breaker === 'open' && status.inFlight === 0 ? status : undefined
    })
    isOpen = true
    const before = receiver.received.length
    expect(before).toBeGreaterThanOrEqual(20)
    await until(
      'it in the metrics',
      async () => (await engine.metric('callhalf_webhook_breakers', { state: 'open' })) === 1 || undefined,
    )
    await appendAll(book, callsOf(10, 25), own)
    await receivedBy(healthy, 35)
    const answerProbe = await probe.promise
    expect(Date.now()).toBeGreaterThanOrEqual(openUntil ?? Infinity)
    expect(await statusOf(endpointId, own)).toMatchObject({ breaker: 'half_open', inFlight: 1, pending: 35 })
    expect(receiver.received).toHaveLength(before + 1)
    receiver.answer((res) => res.writeHead(200).end())
    answerProbe()
    await own.nothingLeft(5_000)
    expect((await statusOf(endpointId, own)).breaker).toBe('closed')
    expect(receiver.received).toHaveLength(before + 35)
  },
)

test.concurrent('a probe that fails opens the breaker again', { timeout: 60_000 }, async () => {
  await using own = await WebhookRig.start()
  const receiver = await own.startReceiver((res) => res.writeHead(500).end())
  const book = new EndpointBook()
  const { endpointId } = book.add(receiver.url)
  await own.startEngine(book)
  await appendAll(book, callsOf(25), own)
  const first = await until('an open breaker', async () => {
    const status = await statusOf(endpointId, own)
    return status.breaker === 'open' && status.inFlight === 0 ? status : undefined
  })
  const before = receiver.received.length
  const second = await until('the breaker open again', async () => {
    const status = await statusOf(endpointId, own)
    return status.breaker === 'open' && status.openUntil !== first.openUntil ? status : undefined
  })
  expect((second.openUntil ?? 0) - (first.openUntil ?? 0)).toBeGreaterThanOrEqual(10_000)
  expect(receiver.received).toHaveLength(before + 1)
})

test(
  'an endpoint whose failures are forgotten gets at once what waited behind its breaker',
  { timeout: 30_000 },
  async () => {
    const receiver = await rig.startReceiver((res) => res.writeHead(500).end())
    const book = new EndpointBook()
    const { endpointId } = book.add(receiver.url)
    const engine = await rig.startEngine(book)
    await appendAll(book, callsOf(25))
    const waiting = () => rig.redis.connect().zcard(endpointKeys(endpointId).waiting)
    await until('all lanes to wait', async () => (await waiting()) === 25 || undefined)
    const failed = receiver.received.length
    receiver.answer((res) => res.writeHead(200).end())
    const ref = { appId: book.app.appId, endpointId }
    await new EndpointState((work) => work(rig.redis.connect()), rig.eventLog).forgetFailures(ref)
    await engine.dispatcher.reopen(ref, Date.now())
    await receivedBy(receiver, failed + 25)
    await rig.nothingLeft()
    // Not by the sweeper.
    expect(await engine.metric('callhalf_webhook_wakeups_healed_total')).toBe(0)
  },
)

test('an endpoint with a rate limit gets no more than that, one second’s worth at once', async () => {
  const receiver = await rig.startReceiver()
  const book = new EndpointBook()
  book.add(receiver.url, { ratePerSecond: 20 })
  await rig.startEngine(book)
  await appendAll(book, callsOf(50))
  const received = await receivedBy(receiver, 50)
  const start = received[0]?.at ?? 0
  // The times are of arrival, which scatter a little.
  received.forEach(({ at }, i) => expect(at - start).toBeGreaterThanOrEqual(((i - 20) / 20) * 1_000 - 100))
  expect((received.at(-1)?.at ?? 0) - start).toBeLessThan(5_000)
  await rig.nothingLeft()
})

test('an endpoint gets no more requests at a time than it asked for', async () => {
  let most = 0
  let now = 0
  const receiver = await rig.startReceiver((res) => {
    now += 1
    most = Math.max(most, now)
    setTimeout(() => {
      now -= 1
      res.writeHead(200).end()
    }, 20)
  })
  const book = new EndpointBook()
  book.add(receiver.url, { maxInFlight: 3 })
  await Promise.all([rig.startEngine(book), rig.startEngine(book)])
  await appendAll(book, callsOf(60))
  await receivedBy(receiver, 60)
  await rig.nothingLeft()
  expect(most).toBe(3)
})

test('an endpoint that hangs holds its ten requests, and nobody else', async () => {
  const hanging = await rig.startReceiver(() => undefined)
  const healthy = await rig.startReceiver()
  const book = new EndpointBook()
  const { endpointId } = book.add(hanging.url, { policies: { '*': { timeoutMs: 15_000 } } })
  book.add(healthy.url)
  // Little more room than the one that hangs takes.
  await rig.startEngine(book, { dispatcher: { directCapacity: 6, concurrency: 12 } })
  await appendAll(book, callsOf(60))
  await receivedBy(healthy, 60)
  expect(hanging.received).toHaveLength(10)
  expect(await statusOf(endpointId)).toMatchObject({ inFlight: 10, pending: 60 })
  expect((await rig.ends()).filter(([, status]) => status === 'delivered')).toHaveLength(60)
})

test('what there is no room for at once goes through the queue and arrives in order', async () => {
  const receiver = await rig.startReceiver()
  const book = new EndpointBook()
  book.add(receiver.url)
  const engine = await rig.startEngine(book, { dispatcher: { directCapacity: 0 } })
  for (let sequence = 1; sequence <= 10; sequence += 1) {
    await Promise.all(callsOf(5).map((callId) => rig.append(book, callId, sequence)))
  }
  await receivedBy(receiver, 50)
  await rig.nothingLeft()
  for (const callId of callsOf(5)) expect(receiver.sequencesOf(callId)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  expect(await engine.metric('callhalf_webhook_drains_total', { by: 'direct' })).toBe(0)
  expect(await engine.metric('callhalf_webhook_drains_total', { by: 'queue' })).toBeGreaterThanOrEqual(5)
})
