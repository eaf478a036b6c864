import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { until } from '../../test/support/until.ts'
import { callEntry, createEventLog, EndpointBook } from '../../test/support/webhook-engine.ts'
import { receivedBy, WebhookRig } from '../../test/support/webhook-rig.ts'
import { formatToken, rulesOf } from './delivery.ts'
import { DeliveryStore } from './delivery-store.ts'

let rig: WebhookRig

beforeAll(async () => {
  rig = await WebhookRig.start()
})
afterEach(() => rig.clean())
afterAll(() => rig.stop())

test('an event taken by a process that died before the wake-up is delivered', async () => {
  const receiver = await rig.startReceiver()
  const book = new EndpointBook()
  const endpoint = book.add(receiver.url)
  const first = await rig.startEngine(book)
  await rig.append(book, 'callhalf-1:0', 1)
  await receivedBy(receiver, 1)
  await first.stop()
  const store = new DeliveryStore(rig.redis.connect())
  const [endpointId, cursor] = [...(await store.cursors(book.app.appId))][0] ?? []
  if (endpointId === undefined || cursor === undefined) throw new Error('no cursor')
  const position = { epoch: cursor.epoch, offset: cursor.offset + 1 }
  await rig.append(book, 'callhalf-1:0', 2)
  const about = { occurredAt: Date.now(), sequence: '2', callId: 'callhalf-1:0' }
  const pending = { eventId: 'x:1-2', class: 'state', takenAt: Date.now(), expiresAt: Date.now() + 60_000 } as const
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
          orderKey: 'callhalf-1:0',
          about,
          payload: '{"call_id":"callhalf-1:0","sequence_number":"2"}',
        },
      ],
      endpoints: [
        {
          endpointId,
          rules: rulesOf(endpoint),
          wanted: [{ place: 0, token: formatToken({ ...pending, attemptsBefore: 0, isReplay: false, sequence: '2' }) }],
        },
      ],
    },
    Date.now(),
  )
  expect(wakes).toHaveLength(1)
  const engine = await rig.startEngine(book)
  await receivedBy(receiver, 2, 12_000)
  expect(receiver.sequencesOf('callhalf-1:0')).toEqual([1, 2])
  expect(await engine.metric('callhalf_webhook_wakeups_healed_total')).toBe(1)
})

test('a log that starts again under a new epoch is delivered from its first entry, and the gap is counted', async () => {
  const receiver = await rig.startReceiver()
  const book = new EndpointBook()
  book.add(receiver.url)
  const engine = await rig.startEngine(book)
  await rig.append(book, 'callhalf-1:0', 1)
  await receivedBy(receiver, 1)
  const client = rig.redis.connect()
  await client.del(...(await client.keys('ch:{main}:*')))
  await rig.append(book, 'callhalf-2:0', 1)
  await rig.append(book, 'callhalf-2:0', 2)
  await receivedBy(receiver, 3)
  expect(receiver.sequencesOf('callhalf-2:0')).toEqual([1, 2])
  expect(await engine.metric('callhalf_webhook_log_gaps_total')).toBe(1)
})

test('when Redis loses everything, what the new log has is delivered', async () => {
  const receiver = await rig.startReceiver()
  const book = new EndpointBook()
  book.add(receiver.url)
  await rig.startEngine(book)
  await rig.append(book, 'callhalf-1:0', 1)
  await receivedBy(receiver, 1)
  await rig.nothingLeft()
  const client = rig.redis.connect()
  await client.flushall()
  await rig.append(book, 'callhalf-2:0', 1)
  await rig.append(book, 'callhalf-2:0', 2)
  await receivedBy(receiver, 3)
  expect(receiver.sequencesOf('callhalf-2:0')).toEqual([1, 2])
})

test('entries trimmed from the log before they were taken are counted as a gap and the rest arrives', async () => {
  const receiver = await rig.startReceiver()
  const book = new EndpointBook()
  book.add(receiver.url)
  const short = createEventLog(rig.redis, 100)
  const engine = await rig.startEngine(book, { eventLog: short })
  await rig.append(book, 'callhalf-1:0', 1)
  await receivedBy(receiver, 1)
  await engine.stop()
  for (let i = 2; i <= 600; i += 1) await short.append(book.app, callEntry('callhalf-1:0', i))
  const again = await rig.startEngine(book, { eventLog: short })
  await until('the last one', () => receiver.sequencesOf('callhalf-1:0').at(-1) === 600)
  const sequences = receiver.sequencesOf('callhalf-1:0').slice(1)
  expect(sequences[0]).toBeGreaterThan(2)
  expect(sequences).toEqual(Array.from({ length: sequences.length }, (_, i) => 601 - sequences.length + i))
  expect(await again.metric('callhalf_webhook_log_gaps_total')).toBe(1)
})

test('delivery goes on within 5 s after Redis is back', async () => {
  const receiver = await rig.startReceiver()
  const book = new EndpointBook()
  book.add(receiver.url)
  await rig.startEngine(book)
  await rig.append(book, 'callhalf-1:0', 1)
  await receivedBy(receiver, 1)
  await rig.nothingLeft()
  await rig.redis.server.stop(AbortSignal.timeout(5_000))
  await rig.redis.server.start()
  const backAt = performance.now()
  await rig.append(book, 'callhalf-1:0', 2)
  const received = await receivedBy(receiver, 2)
  expect((received[1]?.at ?? Infinity) - backAt).toBeLessThan(5_000)
})
