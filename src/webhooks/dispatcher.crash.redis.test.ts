import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { until } from '../../test/support/until.ts'
import { createEventLog, EndpointBook } from '../../test/support/webhook-engine.ts'
import type { BookedEndpoint } from '../../test/support/webhook-engine.ts'
import { receivedBy, WebhookRig } from '../../test/support/webhook-rig.ts'

const WORKER = join(import.meta.dirname, '../../test/support/webhook-worker.ts')
const CALL = 'callhalf-1:0'
let rig: WebhookRig
beforeAll(async () => {
  rig = await WebhookRig.start()
})
afterEach(() => rig.clean())
afterAll(() => rig.stop())

/** Another process that delivers; it has started when this resolves. */
async function startWorker(endpoint: BookedEndpoint, of = rig): Promise<ChildProcess> {
  const child = spawn(process.execPath, [WORKER, of.redis.socketPath, JSON.stringify(endpoint)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  of.defer(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
  })
  await once(child.stdout, 'data')
  return child
}

const end = async (child: ChildProcess, signal: NodeJS.Signals) => {
  const exited = once(child, 'exit')
  child.kill(signal)
  const [code] = await exited
  return code
}

// These wait for leases, at the same time and each with its own store.
test.concurrent.each([
  // Without a job: its lease lapses and a sweeper finds it.
  ['sends for the first time', 1],
  // With one, which stalls: the retry is a job of the queue.
  ['sends again', 2],
])('an event that a killed process %s is sent by another one within 8 s', async (_, hangsAt) => {
  await using own = await WebhookRig.start()
  const receiver = await own.startReceiver((res, _request, count) => {
    if (count !== hangsAt) res.writeHead(count < hangsAt ? 503 : 200).end()
  })
  const book = new EndpointBook()
  const endpoint = book.add(receiver.url)
  const worker = await startWorker(endpoint, own)
  await own.cursorsOf(book)
  await own.append(book, CALL, 1)
  await own.append(book, CALL, 2)
  await receivedBy(receiver, hangsAt)
  await end(worker, 'SIGKILL')
  const killedAt = performance.now()
  await own.startEngine(book)
  const received = await receivedBy(receiver, hangsAt + 2, 12_000)
  expect((received[hangsAt]?.at ?? Infinity) - killedAt).toBeLessThan(8_000)
  expect(receiver.sequencesOf(CALL)).toEqual([...Array(hangsAt).fill(1), 1, 2])
  expect(received[hangsAt]?.headers['webhook-id']).toBe(received[0]?.headers['webhook-id'])
})

test.concurrent(
  'a lane whose attempt takes longer than its lease is nobody else’s meanwhile',
  { timeout: 40_000 },
  async () => {
    await using own = await WebhookRig.start()
    const answers: (() => void)[] = []
    const receiver = await own.startReceiver((res) => answers.push(() => void res.writeHead(200).end()))
    const book = new EndpointBook()
    book.add(receiver.url, { policies: { '*': { timeoutMs: 15_000 } } })
    await own.startEngine(book)
    const other = await own.startEngine(book, { eventLog: createEventLog(own.redis) })
    await own.append(book, CALL, 1)
    await receivedBy(receiver, 1)
    const client = own.redis.connect()
    const [lane = ''] = (await client.keys('ch:{wh}:running:*')) ?? []
    const leaseOf = async () => Number((await client.zrange(lane, 0, '0', 'WITHSCORES'))[1])
    const first = await leaseOf()
    // Renewed at least until long after the first lease would have lapsed.
    await until('the lease renewed', async () => (await leaseOf()) > first + 5_000)
    await until('the first lease over', () => Date.now() > first + 2_500)
    expect(receiver.received).toHaveLength(1)
    expect(await other.metric('callhalf_webhook_wakeups_healed_total')).toBe(0)
    for (const answer of answers) answer()
    await own.nothingLeft()
    expect(receiver.received).toHaveLength(1)
  },
)

test('what a killed process had in work for many calls is all sent, in order, by the one that is left', async () => {
  let isKilled = false
  const receiver = await rig.startReceiver((res) => {
    // Slow enough that some are always under way.
    setTimeout(() => res.writeHead(200).end(), isKilled ? 0 : 20)
  })
  const book = new EndpointBook()
  const endpoint = book.add(receiver.url, { maxInFlight: 25 })
  const worker = await startWorker(endpoint)
  await rig.startEngine(book, { eventLog: createEventLog(rig.redis) })
  const calls = Array.from({ length: 30 }, (_, i) => `callhalf-${i}:0`)
  const appended = (async () => {
    for (let sequence = 1; sequence <= 6; sequence += 1) {
      await Promise.all(calls.map((callId) => rig.append(book, callId, sequence)))
    }
  })()
  await receivedBy(receiver, 60)
  await end(worker, 'SIGKILL')
  isKilled = true
  await appended
  await rig.nothingLeft(12_000)
  for (const callId of calls) {
    const sequences = receiver.sequencesOf(callId)
    expect(sequences).toEqual(sequences.toSorted((a, b) => a - b))
    expect([...new Set(sequences)]).toEqual([1, 2, 3, 4, 5, 6])
  }
  expect((await rig.ends()).filter(([, status]) => status === 'delivered')).toHaveLength(180)
})

test('a process that is asked to end hands over what it has, and nothing is sent twice', async () => {
  const receiver = await rig.startReceiver((res) => setTimeout(() => res.writeHead(200).end(), 100))
  const book = new EndpointBook()
  const endpoint = book.add(receiver.url)
  const worker = await startWorker(endpoint)
  await rig.cursorsOf(book)
  const calls = Array.from({ length: 20 }, (_, i) => `callhalf-${i}:0`)
  for (let sequence = 1; sequence <= 4; sequence += 1) {
    await Promise.all(calls.map((callId) => rig.append(book, callId, sequence)))
  }
  await receivedBy(receiver, 15)
  expect(await end(worker, 'SIGTERM')).toBe(0)
  const atEnd = receiver.received.length
  expect(atEnd).toBeLessThan(80)
  const startedAt = performance.now()
  await rig.startEngine(book)
  await receivedBy(receiver, 80)
  await rig.nothingLeft()
  // Handed over, not waited for until a lease lapses.
  expect((receiver.received[atEnd]?.at ?? Infinity) - startedAt).toBeLessThan(1_500)
  expect(receiver.received).toHaveLength(80)
  for (const callId of calls) expect(receiver.sequencesOf(callId)).toEqual([1, 2, 3, 4])
})
