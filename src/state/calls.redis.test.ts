import { afterEach, beforeEach, expect, test } from 'vitest'
import { useRedis } from '../../test/support/use-redis.ts'
import { aCall, anna, app, bert, network, StateRig } from '../../test/support/state-rig.ts'
import type { Commit } from '../core/call-store.ts'
import { toCallId, toSubscriberId } from '../core/ids.ts'
import type { CallRecord } from '../core/subscriber-state.ts'
import { until } from '../../test/support/until.ts'

const redis = useRedis()
let rig: StateRig
beforeEach(async () => {
  await redis.connect().flushall()
  rig = new StateRig(redis.socketPath)
  await rig.connection.start()
})
afterEach(() => rig.connection.stop())

const record = (changes: Partial<CallRecord['call']> = {}): CallRecord => ({
  call: aCall(changes),
  upstream: { generation: 1, sequence: 1 },
  incarnation: 1,
  changedAt: 5_000,
  confirmedAt: 5_000,
})

const commit = (changes: Partial<Commit> = {}): Commit => {
  const stored = record()
  return {
    network,
    subscriberId: anna,
    expected: undefined,
    head: { stale: false, newestUpstream: { generation: 1, sequence: 1 } },
    writes: [
      {
        callId: stored.call.callId,
        record: stored,
        restartsSequence: false,
        entry: { type: 'call.ringing', orderKey: 'key', payloads: [{ app, payload: { call_id: 'x' } }] },
      },
    ],
    live: [stored.call.callId],
    ...changes,
  }
}

test('what was committed is read back as it was, with the version of the commit', async () => {
  const full = record({
    state: 'held',
    remoteName: 'Bo "B" Ünal',
    answeredAt: 2_000,
    redirect: { number: '+15550103', reason: 'no-answer' },
    canResume: true,
    flags: { recall: true, recording: 'paused' },
  })
  const write = { callId: full.call.callId, record: full, restartsSequence: false }
  const result = await rig.calls.commit(commit({ writes: [write] }))
  expect(await rig.calls.read(network, anna)).toEqual({
    version: result.kind === 'stored' ? result.version : '',
    state: {
      head: { stale: false, newestUpstream: { generation: 1, sequence: 1 } },
      calls: new Map([[full.call.callId, full]]),
    },
  })
})

test('nothing stored reads as an empty state without a version', async () => {
  expect(await rig.calls.read(network, anna)).toEqual({
    version: undefined,
    state: { head: { stale: false }, calls: new Map() },
  })
})

test('a commit on another version writes nothing and returns what is stored', async () => {
  const first = await rig.calls.commit(commit())
  const again = await rig.calls.commit(commit({ expected: 'not-this' }))
  expect(again).toEqual({ kind: 'conflict', current: await rig.calls.read(network, anna) })
  expect(again).toMatchObject({ current: { version: first.kind === 'stored' ? first.version : '' } })
  expect(await rig.told()).toEqual(['call.ringing 1'])
})

test('a commit on a version that Redis lost writes nothing and returns that nothing is stored', async () => {
  const first = await rig.calls.commit(commit())
  await redis.connect().flushall()
  expect(await rig.calls.commit(commit({ expected: first.kind === 'stored' ? first.version : '' }))).toEqual({
    kind: 'conflict',
    current: { version: undefined, state: { head: { stale: false }, calls: new Map() } },
  })
})

test('an older fence token is refused before the version is looked at; the newest and a missing one are not', async () => {
  const lease = await rig.leases.tryAcquire(network, 'channel')
  const token = lease?.fence.token ?? 0
  const under = (used: number) => commit({ expected: 'not-this', fence: { lease: 'channel', token: used } })
  expect(await rig.calls.commit(under(token - 1))).toEqual({ kind: 'fenced' })
  expect(await rig.calls.commit(under(token))).toMatchObject({ kind: 'conflict' })
  expect(await rig.calls.commit(commit({ fence: { lease: 'other', token: 1 } }))).toMatchObject({ kind: 'stored' })
  await lease?.release()
})

test('the script survives a server that does not know it', async () => {
  await rig.calls.commit(commit())
  await redis.connect().script('FLUSH')
  expect(await rig.calls.commit(commit({ subscriberId: bert }))).toMatchObject({ kind: 'stored' })
})

test('a forgotten call leaves neither record nor sequence nor index behind', async () => {
  const first = await rig.calls.commit(commit())
  const { callId } = aCall()
  const writes = [{ callId, record: undefined, restartsSequence: false }]
  await rig.calls.commit(commit({ expected: first.kind === 'stored' ? first.version : '', writes, live: [] }))
  const fields = await redis.connect().hkeys('ch:{main}:sub:network-1:anna%40example.net')
  expect(fields.toSorted()).toEqual(['head', 'live', 'v'])
  expect(await rig.calls.findCalls(network, callId)).toEqual([])
  expect(await redis.connect().exists('ch:{main}:live:network-1')).toBe(0)
})

const subscribers = Array.from({ length: 30 }, (_, index) => toSubscriberId(`user-${index}@example.net`))

async function commitFor(count: number): Promise<void> {
  for (const subscriberId of subscribers.slice(0, count)) await rig.calls.commit(commit({ subscriberId }))
}

test('live calls are found whether more is asked for than is live or less', async () => {
  await commitFor(20)
  const all = await rig.calls.liveCalls(network, [...subscribers, anna])
  expect(all.map(({ subscriberId }) => subscriberId)).toEqual(subscribers.slice(0, 20))
  const few = await rig.calls.liveCalls(network, [anna, ...subscribers.slice(18, 22)])
  expect(few.map(({ subscriberId, sequence, stale }) => [subscriberId, sequence, stale])).toEqual([
    ['user-18@example.net', 1, false],
    ['user-19@example.net', 1, false],
  ])
  expect(await rig.calls.liveCalls(network, [])).toEqual([])
})

test('a released call is not listed as live and is still found by its id', async () => {
  const ended = record({ state: 'released', releasedAt: 3_000 })
  const writes = [{ callId: ended.call.callId, record: ended, restartsSequence: false }]
  await rig.calls.commit(commit({ writes, live: [] }))
  await rig.calls.commit(commit({ subscriberId: bert }))
  expect(await rig.calls.liveCalls(network, [anna, bert])).toMatchObject([{ subscriberId: bert }])
  const found = await rig.calls.findCalls(network, ended.call.callId)
  expect(found.map(({ subscriberId, call }) => `${subscriberId} ${call.state}`).toSorted()).toEqual([
    'anna@example.net released',
    'bert@example.net ringing',
  ])
})

test('a scan meets every live call and ends', async () => {
  await commitFor(30)
  const met = new Set<string>()
  let cursor = '0'
  do {
    const page = await rig.calls.scanLive(network, cursor)
    for (const { subscriberId } of page.calls) met.add(subscriberId)
    cursor = page.cursor
  } while (cursor !== '0')
  expect(met.size).toBe(30)
})

test('a record that cannot be read counts as unknown', async () => {
  await rig.calls.commit(commit())
  await redis
    .connect()
    .hset('ch:{main}:sub:network-1:anna%40example.net', `c:${toCallId('callhalf-1:0')}`, '{"call":{}}')
  expect((await rig.calls.read(network, anna)).state.calls.size).toBe(0)
  expect(await rig.calls.liveCalls(network, [anna])).toEqual([])
})

test('ids with separators and braces never share a key', async () => {
  const odd = toSubscriberId('a:b}@example.net')
  await rig.calls.commit(commit({ subscriberId: odd, network: { ...network } }))
  expect(await redis.connect().keys('*a%3Ab%7D*')).toEqual(['ch:{main}:sub:network-1:a%3Ab%7D%40example.net'])
})

test('the data watch reports a restart and an emptied store once each', async () => {
  const losses: string[] = []
  await rig.watch.start()
  const end = rig.watch.onDataLoss((loss) => losses.push(loss))
  await redis.connect().flushall()
  await until('the loss', () => losses.length === 1)
  await redis.server.stop(AbortSignal.timeout(5_000))
  await redis.server.start()
  await until('the loss', () => losses.length === 2)
  await rig.watch.check()
  expect(losses).toEqual(['emptied', 'restarted_or_failed_over'])
  end()
  await rig.watch.stop()
})
