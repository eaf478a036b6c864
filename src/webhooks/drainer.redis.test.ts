import { afterEach, beforeAll, expect, test } from 'vitest'
import { DrainerScenes, createLog, isDue } from '../../test/support/drainer-scenes.ts'
import type { Line } from '../../test/support/drainer-scenes.ts'
import { useRedis } from '../../test/support/use-redis.ts'

const redis = useRedis()
let scenes: DrainerScenes
beforeAll(async () => {
  scenes = new DrainerScenes(redis)
})
afterEach(() => scenes.clear())

test.each([
  ['delivered', 200],
  ['failed to deliver', 500],
])('an owner whose event was taken off meanwhile, by a former one, goes on once it has %s it', async (_, status) => {
  const arrived = Promise.withResolvers<() => void>()
  const receiver = await scenes.startReceiver((res, { body }) => {
    if (body === '1') arrived.resolve(() => void res.writeHead(status).end())
    else res.writeHead(200).end()
  })
  const { store, drainer, lane, tokens, rules } = await scenes.setUp(receiver.url, { count: 3 })
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
  const receiver = await scenes.startReceiver((res) => arrived.resolve(() => void res.writeHead(200).end()))
  const { store, drainer, lane, tokens, rules } = await scenes.setUp(receiver.url, { count: 3 })
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
  const receiver = await scenes.startReceiver()
  const { store, drainer, lane, rules } = await scenes.setUp(receiver.url)
  const now = Date.now()
  await store.begin(lane, { owner: 'another', fresh: true, now, rules })
  expect(await drainer.drain(lane, 'owner')).toBe(now + 5_000)
  expect(receiver.received).toEqual([])
})

test.each([
  ['call.ringing', {}, 500],
  ['call.released', { '*': { delaysMs: [8_000] } }, 4_000],
])('a replayed %s is retried with the patience for records', async (type, policies, earliestMs) => {
  const receiver = await scenes.startReceiver((res) => res.writeHead(503).end())
  const { drainer, lane } = await scenes.setUp(receiver.url, { type, isReplay: true, endpoint: { policies } })
  const startedAt = Date.now()
  const again = await drainer.drain(lane, 'owner')
  expect((again ?? 0) - startedAt).toBeGreaterThanOrEqual(earliestMs)
})

test('each attempt is recorded and logged, with what follows from it', async () => {
  const lines: Line[] = []
  const receiver = await scenes.startReceiver((res, _request, count) =>
    res.writeHead(count === 1 ? 503 : 204).end('so it is'),
  )
  const log = createLog(lines)
  const { drainer, lane } = await scenes.setUp(receiver.url, { type: 'call.ringing', log })
  const again = await drainer.drain(lane, 'owner')
  expect(again).toBeGreaterThan(Date.now() - 1_000)
  await isDue(again)
  expect(await drainer.drain(lane, 'owner')).toBeUndefined()
  const [first, second] = await scenes.attempts()
  expect(first).toMatchObject({ number: 1, target: 'primary', outcome: 'http_status', status: 503, next: again })
  expect(first).toMatchObject({ remoteAddress: '127.0.0.1', response: 'so it is', reused: false })
  expect(second).toMatchObject({ number: 2, target: 'primary', outcome: 'delivered', status: 204 })
  expect(second?.next).toBeUndefined()
  expect(await scenes.ends()).toEqual(['delivered'])
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
  const receiver = await scenes.startReceiver((res) => res.writeHead(500).end())
  const policies = { '*': { delaysMs: [2] } }
  const { drainer, lane } = await scenes.setUp(receiver.url, { endpoint: { policies }, log: createLog(lines) })
  for (let i = 0; i < 6; i += 1) {
    const again = await drainer.drain(lane, `owner-${i}`)
    await isDue(again)
  }
  expect(lines.map(({ level }) => level)).toEqual(['info', 'info', 'info', 'info', 'warn', 'warn'])
})

test('the failover URL is tried within the round, and both requests are recorded', async () => {
  const dead = await scenes.startReceiver()
  const deadUrl = dead.url
  await dead.stop()
  const failover = await scenes.startReceiver()
  const { drainer, lane } = await scenes.setUp(deadUrl, { endpoint: { failoverUrl: failover.url } })
  expect(await drainer.drain(lane, 'owner')).toBeUndefined()
  expect(failover.received[0]?.headers).toMatchObject({ 'callhalf-target': 'failover', 'callhalf-attempt': '2' })
  expect((await scenes.attempts()).map(({ number, target, outcome }) => [number, target, outcome])).toEqual([
    [1, 'primary', 'connect_refused'],
    [2, 'failover', 'delivered'],
  ])
  expect(await scenes.ends()).toEqual(['delivered'])
})

test('a drainer that stops hands back what it has not begun, for now', async () => {
  const receiver = await scenes.startReceiver()
  const { drainer, lane, store } = await scenes.setUp(receiver.url)
  drainer.stop(AbortSignal.timeout(1_000))
  const again = await drainer.drain(lane, 'owner')
  expect(again).toBeLessThanOrEqual(Date.now())
  expect(receiver.received).toEqual([])
  expect(await store.pending()).toBe(1)
})
