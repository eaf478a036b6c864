import * as fc from 'fast-check'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { until } from '../../test/support/until.ts'
import { createEventLog, EndpointBook, startEngine } from '../../test/support/webhook-engine.ts'
import { receivedBy, WebhookRig } from '../../test/support/webhook-rig.ts'
import { toEndpointId } from '../core/ids.ts'
import { EndpointState } from './endpoint-state.ts'
import { toKeyring, verify } from './signature.ts'

let rig: WebhookRig

beforeAll(async () => {
  rig = await WebhookRig.start()
})
afterEach(() => rig.clean())
afterAll(() => rig.stop())

test('an event of the log arrives once, signed and with its headers', async () => {
  const receiver = await rig.startReceiver()
  const book = new EndpointBook()
  const { secret } = book.add(`${receiver.url}/hook?a=1`)
  await rig.startEngine(book)
  await rig.append(book, 'callhalf-1:0', 7, 'call.ringing')
  const [request] = await receivedBy(receiver, 1)
  expect(request?.path).toBe('/hook?a=1')
  expect(request?.body).toBe('{"call_id":"callhalf-1:0","sequence_number":"7","state":"active"}')
  expect(request?.headers).toMatchObject({
    'content-type': 'application/json',
    'user-agent': 'Callhalf/test',
    'accept-encoding': 'identity',
    'webhook-id': expect.stringMatching(/^msg_[\w-]{27}$/),
    'callhalf-event': 'call.ringing',
    'callhalf-attempt': '1',
    'callhalf-sequence': '7',
    'callhalf-position': expect.stringMatching(/^[1-9]\d*:1$/),
  })
  const header = (name: string) => String(request?.headers[name])
  const headers = {
    id: header('webhook-id'),
    timestamp: header('webhook-timestamp'),
    signature: header('webhook-signature'),
  }
  const judged = verify(headers, request?.body ?? '', {
    keys: toKeyring([secret]).symmetric,
    nowSeconds: Date.now() / 1_000,
  })
  expect(judged).toBe('valid')
})

test('per call the sequence arrives in order with nothing missing, whatever fails', { timeout: 60_000 }, async () => {
  const failures = fc.array(fc.constantFrom(200, 200, 200, 200, 200, 200, 200, 503, 500, 'reset', 'hang'), {
    minLength: 50,
    maxLength: 50,
  })
  await fc.assert(
    fc.asyncProperty(failures, async (plan) => {
      const receiver = await rig.startReceiver((res, _request, count) => {
        const fate = plan[count % plan.length]
        if (typeof fate === 'number') res.writeHead(fate).end()
        else if (fate === 'reset') res.destroy()
      })
      const book = new EndpointBook()
      book.add(receiver.url, { policies: { '*': { delaysMs: [20, 40, 80], timeoutMs: 150 } } })
      const engine = await startEngine(rig.redis, book, { eventLog: rig.eventLog })
      await rig.cursorsOf(book)
      const calls = Array.from({ length: 25 }, (_, i) => `callhalf-${i}:0`)
      for (let sequence = 1; sequence <= 6; sequence += 1) {
        await Promise.all(calls.map((callId) => rig.append(book, callId, sequence)))
      }
      await until('everything delivered', async () => (await rig.leftovers()).length === 0, 30_000)
      await engine.stop()
      for (const callId of calls) {
        const sequences = receiver.sequencesOf(callId)
        expect(sequences).toEqual(sequences.toSorted((a, b) => a - b))
        expect([...new Set(sequences)]).toEqual([1, 2, 3, 4, 5, 6])
      }
      await receiver.stop()
    }),
    { numRuns: 4 },
  )
})

test('a repetition has the same id and body, a higher attempt number and a signature of its own time', async () => {
  const receiver = await rig.startReceiver((res, _request, count) => res.writeHead(count < 3 ? 503 : 200).end())
  const book = new EndpointBook()
  book.add(receiver.url)
  await rig.startEngine(book)
  await rig.append(book, 'callhalf-1:0', 1)
  const received = await receivedBy(receiver, 3)
  expect(received.map(({ headers }) => headers['callhalf-attempt'])).toEqual(['1', '2', '3'])
  expect(new Set(received.map(({ headers }) => headers['webhook-id'])).size).toBe(1)
  expect(new Set(received.map(({ body }) => body)).size).toBe(1)
})

test('two dispatchers deliver every event once and in order', async () => {
  const receiver = await rig.startReceiver()
  const book = new EndpointBook()
  book.add(receiver.url)
  await Promise.all([rig.startEngine(book), rig.startEngine(book, { eventLog: createEventLog(rig.redis) })])
  for (let sequence = 1; sequence <= 20; sequence += 1) {
    await Promise.all(['a', 'b', 'c', 'd', 'e'].map((callId) => rig.append(book, callId, sequence)))
  }
  await until(
    'everything delivered',
    async () => (await rig.leftovers()).length === 0 && receiver.received.length >= 100,
  )
  const expected = Array.from({ length: 20 }, (_, i) => i + 1)
  for (const callId of ['a', 'b', 'c', 'd', 'e']) expect(receiver.sequencesOf(callId)).toEqual(expected)
})

test('lanes beyond the slots are worked on as slots become free, without polling', async () => {
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
  book.add(receiver.url)
  const engine = await rig.startEngine(book)
  await Promise.all(Array.from({ length: 100 }, (_, i) => rig.append(book, `callhalf-${i}:0`, 1)))
  await until(
    'everything delivered',
    async () => receiver.received.length === 100 && (await rig.leftovers()).length === 0,
    3_000,
  )
  expect((await rig.redis.connect().keys('ch:{wh}:bull:*')).length).toBeLessThan(10)
  expect(most).toBeLessThanOrEqual(10)
  expect(await engine.metric('callhalf_webhook_wakeups_healed_total')).toBe(0)
})

test('an endpoint that answers 410 is disabled and what is pending for it dropped', async () => {
  const receiver = await rig.startReceiver((res) => res.writeHead(410).end())
  const book = new EndpointBook()
  const { endpointId } = book.add(receiver.url)
  const engine = await rig.startEngine(book)
  await rig.append(book, 'callhalf-1:0', 1)
  await rig.append(book, 'callhalf-1:0', 2)
  await until('the endpoint disabled', () => book.records.get(endpointId)?.enabled === false)
  await until('its keys gone', async () =>
    (await rig.redis.connect().keys('ch:{wh}:*')).every((key) => /:bull:|:records$/.test(key)),
  )
  expect(receiver.received).toHaveLength(1)
  expect(book.records.get(endpointId)?.disabledReason).toBe('gone')
  expect(book.operatorEvents).toEqual([
    {
      type: 'webhook.disabled',
      appId: book.app.appId,
      endpointId,
      details: { reason: 'gone', status: 410, type: 'call.updated' },
    },
  ])
  expect(await rig.ends()).toEqual([
    ['1', 'dropped'],
    ['2', 'dropped'],
  ])
  expect(await engine.metric('callhalf_webhook_endpoints_disabled_total', { reason: 'gone' })).toBe(1)
})

test('a Retry-After is waited for', async () => {
  const receiver = await rig.startReceiver((res, _request, count) =>
    count === 1 ? res.writeHead(503, { 'retry-after': '1' }).end() : res.writeHead(200).end(),
  )
  const book = new EndpointBook()
  book.add(receiver.url)
  await rig.startEngine(book)
  await rig.append(book, 'callhalf-1:0', 1)
  const [first, second] = await receivedBy(receiver, 2)
  const waited = (second?.at ?? 0) - (first?.at ?? 0)
  expect(waited).toBeGreaterThan(990)
  expect(waited).toBeLessThan(2_000)
})

test('a redirect is a failure and is not followed', async () => {
  const elsewhere = await rig.startReceiver()
  const receiver = await rig.startReceiver((res, _request, count) =>
    count === 1 ? res.writeHead(307, { location: elsewhere.url }).end() : res.writeHead(200).end(),
  )
  const book = new EndpointBook()
  book.add(receiver.url)
  await rig.startEngine(book)
  await rig.append(book, 'callhalf-1:0', 1)
  await receivedBy(receiver, 2)
  expect(elsewhere.received).toHaveLength(0)
})

test('only wanted events are sent, and a skipped one leaves nothing in the store', async () => {
  const receiver = await rig.startReceiver()
  const book = new EndpointBook()
  book.add(receiver.url, { eventTypes: ['call.released', 'subscriber.*'] })
  await rig.startEngine(book)
  await rig.append(book, 'callhalf-1:0', 1, 'call.ringing')
  await rig.append(book, 'callhalf-1:0', 2, 'call.released')
  await rig.append(book, 'x', 3, 'subscriber.assigned')
  await receivedBy(receiver, 2)
  await rig.nothingLeft()
  const types = receiver.received.map(({ headers }) => headers['callhalf-event'])
  expect(types).toHaveLength(2)
  expect(types).toEqual(expect.arrayContaining(['call.released', 'subscriber.assigned']))
})

test('one event for several endpoints is stored once and forgotten after the last has it', async () => {
  const receivers = await Promise.all([rig.startReceiver(), rig.startReceiver(), rig.startReceiver(() => undefined)])
  const book = new EndpointBook()
  for (const { url } of receivers) book.add(url, { policies: { '*': { delaysMs: [20], timeoutMs: 500 } } })
  await rig.startEngine(book)
  await rig.append(book, 'callhalf-1:0', 1)
  await Promise.all(receivers.map((receiver) => receivedBy(receiver, 1)))
  const events = await until('one reference left', async () => {
    const keys = await rig.redis.connect().keys('ch:{wh}:event:*')
    const refs = keys[0] === undefined ? undefined : await rig.redis.connect().hget(keys[0], 'refs')
    return refs === '1' ? keys : undefined
  })
  expect(events).toHaveLength(1)
  receivers[2]?.answer((res) => res.writeHead(200).end())
  await rig.nothingLeft()
})

test('a removed endpoint is sent nothing more and its keys are deleted', async () => {
  const receiver = await rig.startReceiver((res) => res.writeHead(500).end())
  const book = new EndpointBook()
  const { endpointId } = book.add(receiver.url, { policies: { '*': { delaysMs: [60_000] } } })
  await rig.startEngine(book)
  await rig.append(book, 'callhalf-1:0', 1)
  await rig.append(book, 'callhalf-2:0', 1)
  await receivedBy(receiver, 2)
  book.remove(endpointId)
  await until('its keys gone', async () =>
    (await rig.redis.connect().keys('ch:{wh}:*')).every((key) => /:bull:|:records$/.test(key)),
  )
  expect(receiver.received).toHaveLength(2)
})

test('an endpoint with a full backlog leaves the rest in the log and gets it later', async () => {
  let healthy = false
  const receiver = await rig.startReceiver((res) => res.writeHead(healthy ? 200 : 500).end())
  const book = new EndpointBook()
  const { endpointId } = book.add(receiver.url)
  await rig.startEngine(book, { dispatcher: { limits: { backlogMax: 10 } } })
  for (let i = 1; i <= 30; i += 1) await rig.append(book, 'callhalf-1:0', i)
  const client = rig.redis.connect()
  await until('a full backlog', async () => Number(await client.hget('ch:{wh}:counts', endpointId)) >= 10)
  expect(await client.hget('ch:{wh}:counts', endpointId)).toBe('10')
  healthy = true
  await until('everything', () => receiver.sequencesOf('callhalf-1:0').at(-1) === 30)
  const sequences = receiver.sequencesOf('callhalf-1:0')
  expect([...new Set(sequences)]).toEqual(Array.from({ length: 30 }, (_, i) => i + 1))
  expect(sequences).toEqual(sequences.toSorted((a, b) => a - b))
})

test('an attempt cut off by a stop is made again at once by another dispatcher', async () => {
  const receiver = await rig.startReceiver((res, _request, count) => {
    if (count > 1) res.writeHead(200).end()
  })
  const book = new EndpointBook()
  book.add(receiver.url)
  const first = await rig.startEngine(book)
  await rig.append(book, 'callhalf-1:0', 1)
  await receivedBy(receiver, 1)
  const stoppedAt = performance.now()
  await first.dispatcher.stop(AbortSignal.timeout(200))
  expect(performance.now() - stoppedAt).toBeLessThan(1_000)
  const startedAt = performance.now()
  await rig.startEngine(book)
  const received = await receivedBy(receiver, 2)
  expect((received[1]?.at ?? Infinity) - startedAt).toBeLessThan(1_500)
  expect(received[1]?.headers['callhalf-attempt']).toBe('1')
})

test('a stop waits for the attempt under way, which is not made twice', async () => {
  const receiver = await rig.startReceiver((res) => setTimeout(() => res.writeHead(200).end(), 300))
  const book = new EndpointBook()
  book.add(receiver.url)
  const first = await rig.startEngine(book)
  await rig.append(book, 'callhalf-1:0', 1)
  await rig.append(book, 'callhalf-1:0', 2)
  await receivedBy(receiver, 1)
  await first.dispatcher.stop(AbortSignal.timeout(3_000))
  await rig.startEngine(book)
  await receivedBy(receiver, 2)
  expect(receiver.sequencesOf('callhalf-1:0')).toEqual([1, 2])
})

test('an endpoint enabled again gets new events at once, although a retry of a dropped one is hours away', async () => {
  const receiver = await rig.startReceiver((res, _request, count) => res.writeHead(count === 1 ? 500 : 200).end())
  const book = new EndpointBook()
  const endpoint = book.add(receiver.url, { policies: { '*': { delaysMs: [6 * 3_600_000], ttlMs: 72 * 3_600_000 } } })
  await rig.startEngine(book)
  await rig.append(book, 'callhalf-1:0', 1)
  await receivedBy(receiver, 1)
  book.put({ ...endpoint, enabled: false })
  await until('its keys gone', async () => (await rig.redis.connect().keys('ch:{wh}:cursors:*')).length === 0)
  book.put(endpoint)
  await rig.cursorsOf(book)
  await rig.append(book, 'callhalf-1:0', 2)
  await receivedBy(receiver, 2, 3_000)
  expect(receiver.sequencesOf('callhalf-1:0')).toEqual([1, 2])
})

test('what is appended right after the start is delivered, though nothing was known before', async () => {
  const receiver = await rig.startReceiver()
  const book = new EndpointBook()
  book.add(receiver.url)
  const engine = await startEngine(rig.redis, book, { eventLog: rig.eventLog })
  rig.defer(() => engine.stop())
  await rig.append(book, 'callhalf-1:0', 1)
  await receivedBy(receiver, 1)
  expect(receiver.sequencesOf('callhalf-1:0')).toEqual([1])
})

test('an endpoint opened at its creation misses nothing, however late the dispatcher sees it', async () => {
  const receiver = await rig.startReceiver()
  const book = new EndpointBook()
  await rig.startEngine(book)
  const state = new EndpointState((work) => work(rig.redis.connect()), rig.eventLog)
  await rig.append(book, 'callhalf-1:0', 1)
  const endpointId = toEndpointId('endpoint-1')
  await state.open(book.app, endpointId)
  await rig.append(book, 'callhalf-1:0', 2)
  book.put({ ...book.add('http://127.0.0.1:1/'), endpointId, url: receiver.url })
  await receivedBy(receiver, 1)
  expect(receiver.sequencesOf('callhalf-1:0')).toEqual([2])
})
