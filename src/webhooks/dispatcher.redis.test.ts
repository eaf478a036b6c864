import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { startTestRedis } from '../../test/support/redis.ts'
import type { TestRedis } from '../../test/support/redis.ts'
import { until } from '../../test/support/until.ts'
import { callEntry, createEventLog, EndpointBook, startEngine } from '../../test/support/webhook-engine.ts'
import type { Engine } from '../../test/support/webhook-engine.ts'
import { WebhookReceiver } from '../../test/support/webhook-receiver.ts'
import type { Answer } from '../../test/support/webhook-receiver.ts'
import type { RedisEventLog } from '../state/event-log.ts'
import { toEndpointId } from '../core/ids.ts'
import { DeliveryStore } from './delivery-store.ts'
import { EndpointOpener } from './endpoint-opener.ts'
import { createSigningKey, verify } from './signature.ts'

let redis: TestRedis
let eventLog: RedisEventLog
const cleanups: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  redis = await startTestRedis()
  eventLog = createEventLog(redis)
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

/** A running dispatcher whose endpoints have started, so that whatever is appended next is theirs. */
const start = async (book: EndpointBook, options: Parameters<typeof startEngine>[2] = {}): Promise<Engine> => {
  const engine = await startEngine(redis, book, { eventLog, ...options })
  cleanups.push(() => engine.stop())
  await cursorsOf(book)
  return engine
}

const cursorsOf = (book: EndpointBook) =>
  until('the cursors', async () => {
    const cursors = await redis.connect().hgetall(`ch:{wh}:cursors:${book.app.appId}`)
    return [...book.records.keys()].every((id) => cursors[id] !== undefined) ? cursors : undefined
  })

const append = (book: EndpointBook, callId: string, sequence: number, type?: string) =>
  eventLog.append(book.app, callEntry(callId, sequence, type))

const receivedBy = (receiver: WebhookReceiver, count: number, timeoutMs?: number) =>
  until(`${count} webhooks`, () => (receiver.received.length >= count ? receiver.received : undefined), timeoutMs)

/** Keys of events and lanes, of which nothing may be left over. */
const leftovers = async () => {
  const keys = await redis.connect().keys('ch:{wh}:*')
  return keys.filter((key) => !key.startsWith('ch:{wh}:bull:') && !/^ch:\{wh\}:(cursors:.*|apps)$/.test(key))
}

test('an event of the log arrives once, signed and with its headers', async () => {
  const receiver = await startReceiver()
  const book = new EndpointBook()
  const { secret } = book.add(`${receiver.url}/hook?a=1`)
  await start(book)
  await append(book, 'callhalf-1:0', 7, 'call.ringing')
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
    keys: [createSigningKey(secret)],
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
      const receiver = await startReceiver((res, _request, count) => {
        const fate = plan[count % plan.length]
        if (typeof fate === 'number') res.writeHead(fate).end()
        else if (fate === 'reset') res.destroy()
      })
      const book = new EndpointBook()
      book.add(receiver.url)
      const engine = await startEngine(redis, book, { eventLog, deliverer: { deadlineMs: 150 } })
      await cursorsOf(book)
      const calls = Array.from({ length: 25 }, (_, i) => `callhalf-${i}:0`)
      for (let sequence = 1; sequence <= 6; sequence += 1) {
        await Promise.all(calls.map((callId) => append(book, callId, sequence)))
      }
      await until('everything delivered', async () => (await leftovers()).length === 0, 30_000)
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
  const receiver = await startReceiver((res, _request, count) => res.writeHead(count < 3 ? 503 : 200).end())
  const book = new EndpointBook()
  book.add(receiver.url)
  await start(book)
  await append(book, 'callhalf-1:0', 1)
  const received = await receivedBy(receiver, 3)
  expect(received.map(({ headers }) => headers['callhalf-attempt'])).toEqual(['1', '2', '3'])
  expect(new Set(received.map(({ headers }) => headers['webhook-id'])).size).toBe(1)
  expect(new Set(received.map(({ body }) => body)).size).toBe(1)
})

test('an event taken by a process that died before the wake-up is delivered', async () => {
  const receiver = await startReceiver()
  const book = new EndpointBook()
  book.add(receiver.url)
  const first = await start(book)
  await append(book, 'callhalf-1:0', 1)
  await receivedBy(receiver, 1)
  await first.stop()
  const store = new DeliveryStore(redis.connect())
  const [endpointId, cursor] = [...(await store.cursors(book.app.appId))][0] ?? []
  if (endpointId === undefined || cursor === undefined) throw new Error('no cursor')
  const position = { epoch: cursor.epoch, offset: cursor.offset + 1 }
  await append(book, 'callhalf-1:0', 2)
  // Taken, and the answer with the wake-up never used.
  const { wakes } = await store.take(
    {
      appId: book.app.appId,
      last: position,
      events: [
        {
          position,
          eventId: 'x:1-2',
          type: 'call.updated',
          acceptedAt: 0,
          payload: '{"call_id":"callhalf-1:0","sequence_number":"2"}',
        },
      ],
      endpoints: [{ endpointId, wanted: [{ place: 0, orderKey: 'callhalf-1:0' }] }],
    },
    Date.now(),
  )
  expect(wakes).toHaveLength(1)
  const engine = await start(book)
  await receivedBy(receiver, 2, 12_000)
  expect(receiver.sequencesOf('callhalf-1:0')).toEqual([1, 2])
  expect(await engine.metric('callhalf_webhook_wakeups_healed_total')).toBe(1)
})

test('two dispatchers deliver every event once and in order', async () => {
  const receiver = await startReceiver()
  const book = new EndpointBook()
  book.add(receiver.url)
  await Promise.all([start(book), start(book, { eventLog: createEventLog(redis) })])
  for (let sequence = 1; sequence <= 20; sequence += 1) {
    await Promise.all(['a', 'b', 'c', 'd', 'e'].map((callId) => append(book, callId, sequence)))
  }
  await until('everything delivered', async () => (await leftovers()).length === 0 && receiver.received.length >= 100)
  const expected = Array.from({ length: 20 }, (_, i) => i + 1)
  for (const callId of ['a', 'b', 'c', 'd', 'e']) expect(receiver.sequencesOf(callId)).toEqual(expected)
})

test('the event that a killed process was sending is sent again within 8 s', async () => {
  const receiver = await startReceiver((res, _request, count) => {
    if (count > 1) res.writeHead(200).end()
  })
  const book = new EndpointBook()
  const endpoint = book.add(receiver.url)
  const script = join(import.meta.dirname, '../../test/support/webhook-worker.ts')
  const child = spawn(process.execPath, [script, redis.socketPath, JSON.stringify(endpoint)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  cleanups.push(async () => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  await cursorsOf(book)
  await append(book, 'callhalf-1:0', 1)
  await append(book, 'callhalf-1:0', 2)
  await receivedBy(receiver, 1)
  child.kill('SIGKILL')
  await once(child, 'exit')
  const killedAt = performance.now()
  await start(book)
  const received = await receivedBy(receiver, 3, 12_000)
  expect((received[1]?.at ?? Infinity) - killedAt).toBeLessThan(8_000)
  expect(receiver.sequencesOf('callhalf-1:0')).toEqual([1, 1, 2])
  expect(received[1]?.headers['webhook-id']).toBe(received[0]?.headers['webhook-id'])
})

test('an endpoint that hangs holds ten requests and nobody else', async () => {
  const hanging = await startReceiver(() => undefined)
  const healthy = await startReceiver()
  const book = new EndpointBook()
  book.add(hanging.url)
  book.add(healthy.url)
  await start(book, { dispatcher: { concurrency: 20 } })
  const calls = Array.from({ length: 60 }, (_, i) => `callhalf-${i}:0`)
  await Promise.all(calls.map((callId) => append(book, callId, 1)))
  await receivedBy(healthy, 60, 3_000)
  expect(hanging.received).toHaveLength(10)
})

test('lanes beyond the slots are worked on as slots become free, without polling', async () => {
  let most = 0
  let now = 0
  const receiver = await startReceiver((res) => {
    now += 1
    most = Math.max(most, now)
    setTimeout(() => {
      now -= 1
      res.writeHead(200).end()
    }, 20)
  })
  const book = new EndpointBook()
  book.add(receiver.url)
  const engine = await start(book)
  await Promise.all(Array.from({ length: 100 }, (_, i) => append(book, `callhalf-${i}:0`, 1)))
  await until(
    'everything delivered',
    async () => receiver.received.length === 100 && (await leftovers()).length === 0,
    3_000,
  )
  expect((await redis.connect().keys('ch:{wh}:bull:*')).length).toBeLessThan(10)
  expect(most).toBeLessThanOrEqual(10)
  expect(await engine.metric('callhalf_webhook_wakeups_healed_total')).toBe(0)
})

test('an endpoint that answers 410 is disabled and what is pending for it dropped', async () => {
  const receiver = await startReceiver((res) => res.writeHead(410).end())
  const book = new EndpointBook()
  const { endpointId } = book.add(receiver.url)
  const engine = await start(book)
  await append(book, 'callhalf-1:0', 1)
  await append(book, 'callhalf-1:0', 2)
  await until('the endpoint disabled', () => book.records.get(endpointId)?.enabled === false)
  await until('its keys gone', async () =>
    (await redis.connect().keys('ch:{wh}:*')).every((key) => key.includes(':bull:')),
  )
  expect(receiver.received).toHaveLength(1)
  expect(await engine.metric('callhalf_webhook_dropped_total')).toBeGreaterThanOrEqual(1)
})

test('a Retry-After is waited for', async () => {
  const receiver = await startReceiver((res, _request, count) =>
    count === 1 ? res.writeHead(503, { 'retry-after': '1' }).end() : res.writeHead(200).end(),
  )
  const book = new EndpointBook()
  book.add(receiver.url)
  await start(book)
  await append(book, 'callhalf-1:0', 1)
  const [first, second] = await receivedBy(receiver, 2)
  const waited = (second?.at ?? 0) - (first?.at ?? 0)
  expect(waited).toBeGreaterThan(990)
  expect(waited).toBeLessThan(2_000)
})

test('a redirect is a failure and is not followed', async () => {
  const elsewhere = await startReceiver()
  const receiver = await startReceiver((res, _request, count) =>
    count === 1 ? res.writeHead(307, { location: elsewhere.url }).end() : res.writeHead(200).end(),
  )
  const book = new EndpointBook()
  book.add(receiver.url)
  await start(book)
  await append(book, 'callhalf-1:0', 1)
  await receivedBy(receiver, 2)
  expect(elsewhere.received).toHaveLength(0)
})

test('an event past the horizon is given up with an error and the next one goes', async () => {
  const receiver = await startReceiver((res, request) =>
    res.writeHead(request.headers['callhalf-sequence'] === '1' ? 500 : 200).end(),
  )
  const book = new EndpointBook()
  book.add(receiver.url)
  const engine = await start(book, { dispatcher: { schedule: { delaysMs: [20], horizonMs: 200 } } })
  await append(book, 'callhalf-1:0', 1)
  await append(book, 'callhalf-1:0', 2)
  await until('the second event', () => receiver.sequencesOf('callhalf-1:0').includes(2))
  expect(await engine.metric('callhalf_webhook_dropped_total')).toBe(1)
  await until('nothing left', async () => (await leftovers()).length === 0)
})

test('only wanted events are sent, and a skipped one leaves nothing in the store', async () => {
  const receiver = await startReceiver()
  const book = new EndpointBook()
  book.add(receiver.url, { eventTypes: ['call.released', 'subscriber.*'] })
  await start(book)
  await append(book, 'callhalf-1:0', 1, 'call.ringing')
  await append(book, 'callhalf-1:0', 2, 'call.released')
  await append(book, 'x', 3, 'subscriber.assigned')
  await receivedBy(receiver, 2)
  await until('nothing left', async () => (await leftovers()).length === 0)
  const types = receiver.received.map(({ headers }) => headers['callhalf-event'])
  expect(types).toHaveLength(2)
  expect(types).toEqual(expect.arrayContaining(['call.released', 'subscriber.assigned']))
})

test('one event for several endpoints is stored once and forgotten after the last has it', async () => {
  const receivers = await Promise.all([startReceiver(), startReceiver(), startReceiver(() => undefined)])
  const book = new EndpointBook()
  for (const { url } of receivers) book.add(url)
  await start(book, { deliverer: { deadlineMs: 500 } })
  await append(book, 'callhalf-1:0', 1)
  await Promise.all(receivers.map((receiver) => receivedBy(receiver, 1)))
  const events = await until('one reference left', async () => {
    const keys = await redis.connect().keys('ch:{wh}:event:*')
    const refs = keys[0] === undefined ? undefined : await redis.connect().hget(keys[0], 'refs')
    return refs === '1' ? keys : undefined
  })
  expect(events).toHaveLength(1)
  receivers[2]?.answer((res) => res.writeHead(200).end())
  await until('nothing left', async () => (await leftovers()).length === 0)
})

test('a removed endpoint is sent nothing more and its keys are deleted', async () => {
  const receiver = await startReceiver((res) => res.writeHead(500).end())
  const book = new EndpointBook()
  const { endpointId } = book.add(receiver.url)
  await start(book, { dispatcher: { schedule: { delaysMs: [60_000], horizonMs: 600_000 } } })
  await append(book, 'callhalf-1:0', 1)
  await append(book, 'callhalf-2:0', 1)
  await receivedBy(receiver, 2)
  book.remove(endpointId)
  await until('its keys gone', async () =>
    (await redis.connect().keys('ch:{wh}:*')).every((key) => key.includes(':bull:')),
  )
  expect(receiver.received).toHaveLength(2)
})

test('a log that starts again under a new epoch is delivered from its first entry, and the gap is counted', async () => {
  const receiver = await startReceiver()
  const book = new EndpointBook()
  book.add(receiver.url)
  const engine = await start(book)
  await append(book, 'callhalf-1:0', 1)
  await receivedBy(receiver, 1)
  const client = redis.connect()
  await client.del(...(await client.keys('ch:{main}:*')))
  await append(book, 'callhalf-2:0', 1)
  await append(book, 'callhalf-2:0', 2)
  await receivedBy(receiver, 3)
  expect(receiver.sequencesOf('callhalf-2:0')).toEqual([1, 2])
  expect(await engine.metric('callhalf_webhook_log_gaps_total')).toBe(1)
})

test('when Redis loses everything, what the new log has is delivered', async () => {
  const receiver = await startReceiver()
  const book = new EndpointBook()
  book.add(receiver.url)
  await start(book)
  await append(book, 'callhalf-1:0', 1)
  await receivedBy(receiver, 1)
  await until('nothing left', async () => (await leftovers()).length === 0)
  const client = redis.connect()
  await client.flushall()
  await append(book, 'callhalf-2:0', 1)
  await append(book, 'callhalf-2:0', 2)
  await receivedBy(receiver, 3)
  expect(receiver.sequencesOf('callhalf-2:0')).toEqual([1, 2])
})

test('entries trimmed from the log before they were taken are counted as a gap and the rest arrives', async () => {
  const receiver = await startReceiver()
  const book = new EndpointBook()
  book.add(receiver.url)
  const short = createEventLog(redis, 100)
  const engine = await start(book, { eventLog: short })
  await append(book, 'callhalf-1:0', 1)
  await receivedBy(receiver, 1)
  await engine.stop()
  for (let i = 2; i <= 600; i += 1) await short.append(book.app, callEntry('callhalf-1:0', i))
  const again = await start(book, { eventLog: short })
  await until('the last one', () => receiver.sequencesOf('callhalf-1:0').at(-1) === 600)
  const sequences = receiver.sequencesOf('callhalf-1:0').slice(1)
  expect(sequences[0]).toBeGreaterThan(2)
  expect(sequences).toEqual(Array.from({ length: sequences.length }, (_, i) => 601 - sequences.length + i))
  expect(await again.metric('callhalf_webhook_log_gaps_total')).toBe(1)
})

test('an endpoint with a full backlog leaves the rest in the log and gets it later', async () => {
  let healthy = false
  const receiver = await startReceiver((res) => res.writeHead(healthy ? 200 : 500).end())
  const book = new EndpointBook()
  const { endpointId } = book.add(receiver.url)
  await start(book, { dispatcher: { limits: { backlogMax: 10 } } })
  for (let i = 1; i <= 30; i += 1) await append(book, 'callhalf-1:0', i)
  const client = redis.connect()
  await until('a full backlog', async () => Number(await client.hget('ch:{wh}:counts', endpointId)) >= 10)
  expect(await client.hget('ch:{wh}:counts', endpointId)).toBe('10')
  healthy = true
  await until('everything', () => receiver.sequencesOf('callhalf-1:0').at(-1) === 30)
  const sequences = receiver.sequencesOf('callhalf-1:0')
  expect([...new Set(sequences)]).toEqual(Array.from({ length: 30 }, (_, i) => i + 1))
  expect(sequences).toEqual(sequences.toSorted((a, b) => a - b))
})

test('an attempt cut off by a stop is made again at once by another dispatcher', async () => {
  const receiver = await startReceiver((res, _request, count) => {
    if (count > 1) res.writeHead(200).end()
  })
  const book = new EndpointBook()
  book.add(receiver.url)
  const first = await start(book)
  await append(book, 'callhalf-1:0', 1)
  await receivedBy(receiver, 1)
  const stoppedAt = performance.now()
  await first.dispatcher.stop(AbortSignal.timeout(200))
  expect(performance.now() - stoppedAt).toBeLessThan(1_000)
  const startedAt = performance.now()
  await start(book)
  const received = await receivedBy(receiver, 2)
  expect((received[1]?.at ?? Infinity) - startedAt).toBeLessThan(1_500)
  expect(received[1]?.headers['callhalf-attempt']).toBe('1')
})

test('a stop waits for the attempt under way, which is not made twice', async () => {
  const receiver = await startReceiver((res) => setTimeout(() => res.writeHead(200).end(), 300))
  const book = new EndpointBook()
  book.add(receiver.url)
  const first = await start(book)
  await append(book, 'callhalf-1:0', 1)
  await append(book, 'callhalf-1:0', 2)
  await receivedBy(receiver, 1)
  await first.dispatcher.stop(AbortSignal.timeout(3_000))
  await start(book)
  await receivedBy(receiver, 2)
  expect(receiver.sequencesOf('callhalf-1:0')).toEqual([1, 2])
})

test('an endpoint enabled again gets new events at once, although a retry of a dropped one is hours away', async () => {
  const receiver = await startReceiver((res, _request, count) => res.writeHead(count === 1 ? 500 : 200).end())
  const book = new EndpointBook()
  const endpoint = book.add(receiver.url)
  await start(book, { dispatcher: { schedule: { delaysMs: [6 * 3_600_000], horizonMs: 72 * 3_600_000 } } })
  await append(book, 'callhalf-1:0', 1)
  await receivedBy(receiver, 1)
  book.put({ ...endpoint, enabled: false })
  await until('its keys gone', async () => (await redis.connect().keys('ch:{wh}:cursors:*')).length === 0)
  book.put(endpoint)
  await cursorsOf(book)
  await append(book, 'callhalf-1:0', 2)
  await receivedBy(receiver, 2, 3_000)
  expect(receiver.sequencesOf('callhalf-1:0')).toEqual([1, 2])
})

test('delivery goes on within 5 s after Redis is back', async () => {
  const receiver = await startReceiver()
  const book = new EndpointBook()
  book.add(receiver.url)
  await start(book)
  await append(book, 'callhalf-1:0', 1)
  await receivedBy(receiver, 1)
  await until('nothing left', async () => (await leftovers()).length === 0)
  await redis.server.stop(AbortSignal.timeout(5_000))
  await redis.server.start()
  const backAt = performance.now()
  await append(book, 'callhalf-1:0', 2)
  const received = await receivedBy(receiver, 2)
  expect((received[1]?.at ?? Infinity) - backAt).toBeLessThan(5_000)
})

test('what is appended right after the start is delivered, though nothing was known before', async () => {
  const receiver = await startReceiver()
  const book = new EndpointBook()
  book.add(receiver.url)
  const engine = await startEngine(redis, book, { eventLog })
  cleanups.push(() => engine.stop())
  await append(book, 'callhalf-1:0', 1)
  await receivedBy(receiver, 1)
  expect(receiver.sequencesOf('callhalf-1:0')).toEqual([1])
})

test('an endpoint opened at its creation misses nothing, however late the dispatcher sees it', async () => {
  const receiver = await startReceiver()
  const book = new EndpointBook()
  await start(book)
  const opener = new EndpointOpener((work) => work(redis.connect()), eventLog)
  await append(book, 'callhalf-1:0', 1)
  const endpointId = toEndpointId('endpoint-1')
  await opener.open(book.app, endpointId)
  await append(book, 'callhalf-1:0', 2)
  book.put({ ...book.add('http://127.0.0.1:1/'), endpointId, url: receiver.url })
  await receivedBy(receiver, 1)
  expect(receiver.sequencesOf('callhalf-1:0')).toEqual([2])
})
