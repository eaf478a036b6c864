import * as v from 'valibot'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { useRedis } from '../test/support/use-redis.ts'
import {
  aCall,
  anna,
  app,
  bert,
  fence,
  network,
  otherApp,
  report,
  sequenceOf,
  snapshot,
  StateRig,
} from '../test/support/state-rig.ts'
import { simulateHistory, seededRandom } from '../test/support/call-history.ts'
import { CallEventPayloadSchema } from './core/call-event.ts'
import { toCallId, toSubscriberId } from './core/ids.ts'
import type { CallStore } from './core/call-store.ts'
import { systemClock } from './core/clock.ts'
import { silentLogger } from './core/logger.ts'
import { Ingest } from './ingest.ts'

const redis = useRedis()
let rig: StateRig
let second: StateRig
beforeEach(async () => {
  await redis.connect().flushall()
  rig = new StateRig(redis.socketPath)
  second = new StateRig(redis.socketPath)
  await rig.connection.start()
  await second.connection.start()
})
afterEach(async () => {
  await rig.connection.stop()
  await second.connection.stop()
})

const active = aCall({ state: 'active', answeredAt: 2_000 })
const held = aCall({ state: 'held', answeredAt: 2_000 })
const released = aCall({ state: 'released', answeredAt: 2_000, releasedAt: 3_000, releaseCause: 'normal' })

test('a call from ringing to released is numbered densely from 1', async () => {
  await rig.deliver(report(1, aCall()))
  await rig.deliver(report(2, active, 'answered'))
  await rig.deliver(report(3, held))
  await rig.deliver(report(4, released))
  expect(await rig.told()).toEqual(['call.ringing 1', 'call.active 2', 'call.held 3', 'call.released 4'])
})

test('an entry is the documented payload, field for field', async () => {
  await rig.deliver(report(1, aCall()))
  const before = Date.now()
  await rig.deliver(report(2, active, 'answered'))
  const entry = (await rig.entries())[1]
  expect(entry).toMatchObject({ type: 'call.active', orderKey: 'network-1/anna@example.net/callhalf-1:0' })
  const payload = v.parse(CallEventPayloadSchema, JSON.parse(entry?.payload ?? ''))
  expect(payload.timestamp).toBeGreaterThanOrEqual(before)
  expect({ ...payload, timestamp: 0 }).toEqual({
    app_id: 'app-1',
    subscriber_id: 'anna@example.net',
    subscriber_number: '+15550001',
    subscriber_name: 'Anna "A" Ünal',
    remote_number: '+15550100',
    call_id: 'callhalf-1:0',
    sequence_number: '2',
    direction: 'incoming',
    state: 'active',
    timestamp: 0,
    event: 'call.active',
    network_id: 'network-1',
    previous_state: 'ringing',
    tracking_id: '1:1',
    started_at: 1_000,
    answered_at: 2_000,
  })
})

test('each app of a subscriber is told, with its own position', async () => {
  const [known] = rig.directory.assignments
  rig.directory.assignments =
    known === undefined ? [] : [known, { ...known, app: otherApp, subscriberNumber: '+15550002' }]
  await rig.deliver(report(1, aCall(), 'state', bert))
  await rig.deliver(report(1, aCall()))
  const entries = await rig.entries(otherApp)
  expect(entries.map(({ position, payload }) => [position.offset, JSON.parse(payload).subscriber_number])).toEqual([
    [1, '+15550002'],
  ])
  expect(await rig.told(app)).toEqual(['call.ringing 1'])
})

test('an observation of a subscriber that no app has is resolved and leaves nothing behind', async () => {
  await rig.deliver(report(1, aCall(), 'state', toSubscriberId('nobody@example.net')))
  expect(await redis.connect().keys('*')).toEqual([])
})

test('two instances that receive the same observations tell everything once', async () => {
  const { reports } = simulateHistory({ random: seededRandom(7), steps: 40 })
  const mine = reports.map(({ observation }) => ({
    ...observation,
    networkId: network.networkId,
    subscriberId: anna,
  }))
  const alone = new StateRig(redis.socketPath)
  await alone.connection.start()
  for (const observation of mine) await alone.deliver(observation)
  const expected = await alone.told()
  await alone.connection.stop()
  await redis.connect().flushall()

  for (const observation of mine) await Promise.all([rig.deliver(observation), second.deliver(observation)])
  expect(await rig.told()).toEqual(expected)
})

test('instances that race on one subscriber number the events densely and decide conflicts again', async () => {
  const calls = Array.from({ length: 40 }, (_, index) => aCall({ callId: toCallId(`callhalf-${index}:0`) }))
  await Promise.all(
    calls.flatMap((call, index) => [
      (index % 2 === 0 ? rig : second).deliver(report(index * 3 + 1, call)),
      (index % 2 === 0 ? second : rig).deliver(report(index * 3 + 2, { ...call, remoteName: 'Bo' })),
    ]),
  )
  const entries = await rig.entries()
  const ofCall = new Map<string, string[]>()
  for (const { orderKey, payload } of entries)
    ofCall.set(orderKey, [...(ofCall.get(orderKey) ?? []), sequenceOf(payload)])
  expect(ofCall.size).toBe(40)
  for (const numbers of ofCall.values()) expect(numbers).toEqual(['1', '2'].slice(0, numbers.length))
  expect(entries.map(({ position }) => position.offset)).toEqual(entries.map((_, index) => index + 1))
  const conflicts = [
    ...(await rig.metric('callhalf_commit_conflicts_total')),
    ...(await second.metric('callhalf_commit_conflicts_total')),
  ]
  expect(conflicts.reduce((sum, { value }) => sum + value, 0)).toBeGreaterThan(0)
  expect(await rig.calls.liveCalls(network, [anna])).toHaveLength(40)
})

test('a sender whose lease was granted to another writes nothing, until it has the newest token', async () => {
  const old = await rig.leases.tryAcquire(network, 'channel')
  await old?.release()
  const newer = await second.leases.tryAcquire(network, 'channel')
  const oldFence = old?.fence ?? fence
  await expect(rig.deliver(report(1, aCall()), oldFence)).rejects.toMatchObject({ code: 'fenced' })
  expect(await rig.told()).toEqual([])
  expect(await rig.calls.liveCalls(network, [anna])).toEqual([])
  await second.deliver(report(1, aCall()), newer?.fence ?? fence)
  expect(await rig.told()).toEqual(['call.ringing 1'])
  expect(await rig.metric('callhalf_commits_fenced_total')).toMatchObject([{ value: 1 }])
  await newer?.release()
})

test('a reused id ends the call before as superseded and numbers the next from 1', async () => {
  await rig.deliver(report(1, aCall()))
  await rig.deliver(report(2, active, 'answered'))
  await rig.deliver(report(3, aCall({ startedAt: 9_000, trackingId: '2:1' })))
  await rig.deliver(report(4, aCall({ startedAt: 9_000, trackingId: '2:1', remoteName: 'Bo' })))
  expect(await rig.told()).toEqual([
    'call.ringing 1',
    'call.active 2',
    'call.released 3',
    'call.ringing 1',
    'call.updated 2',
  ])
  expect(await rig.metric('callhalf_ghosts_released_total')).toEqual([{ labels: { cause: 'superseded' }, value: 1 }])
})

test('stale marks live calls only, tells nobody, and ends with the next snapshot', async () => {
  await rig.deliver(report(1, aCall()))
  await rig.ingest.markStale(network.networkId, [anna, bert])
  expect(await second.calls.liveCalls(network, [anna])).toMatchObject([{ stale: true, sequence: 1 }])
  await rig.deliver(snapshot(2, [aCall()]))
  expect(await second.calls.liveCalls(network, [anna])).toMatchObject([{ stale: false, sequence: 1 }])
  expect(await rig.told()).toEqual(['call.ringing 1'])
})

test('the newest position is that of the last stored report, also for an instance that did not store it', async () => {
  expect(await second.ingest.newestUpstream(network.networkId, anna)).toBeUndefined()
  await rig.deliver(report(4, aCall()))
  await rig.deliver(report(3, aCall({ callId: toCallId('callhalf-2:0') })))
  expect(await second.ingest.newestUpstream(network.networkId, anna)).toEqual({ generation: 1, sequence: 4 })
})

test('what another instance stored is marked stale, read and released, too', async () => {
  await rig.deliver(report(1, aCall()))
  await second.deliver(report(2, active, 'answered'))
  expect(await rig.ingest.newestUpstream(network.networkId, anna)).toEqual({ generation: 1, sequence: 2 })
  await rig.ingest.markStale(network.networkId, [anna])
  expect(await second.calls.liveCalls(network, [anna])).toMatchObject([{ stale: true, call: { state: 'active' } }])
  await second.deliver(report(3, held))
  expect(await rig.deliver(snapshot(3, []))).toBe('changed')
  expect(await rig.told()).toEqual(['call.ringing 1', 'call.active 2', 'call.held 3', 'call.released 4'])
})

test('an instance that knows an older state releases what another one stored', async () => {
  await rig.deliver(report(1, released))
  const other = aCall({ callId: toCallId('callhalf-other:0') })
  await second.deliver(report(2, other))
  const release = { networkId: network.networkId, subscriberId: anna, callId: other.callId, cause: 'lost' } as const
  expect(await rig.ingest.release({ ...release, unconfirmedSince: Number.MAX_SAFE_INTEGER })).toBe(true)
})

test('a report that is older than what is known says that it was dropped', async () => {
  expect(await rig.deliver(report(5, active))).toBe('changed')
  expect(await rig.deliver(report(4, aCall()))).toBe('dropped')
  expect(await rig.deliver(report(6, active))).toBe('noop')
})

test('a call that nothing confirmed is released as lost, one that was confirmed is not', async () => {
  await rig.deliver(report(1, aCall()))
  const lost = { networkId: network.networkId, subscriberId: anna, callId: aCall().callId, cause: 'lost' as const }
  expect(await rig.ingest.release({ ...lost, unconfirmedSince: Date.now() - 60_000 })).toBe(false)
  expect(await rig.ingest.release({ ...lost, unconfirmedSince: Date.now() + 60_000 })).toBe(true)
  expect(await rig.told()).toEqual(['call.ringing 1', 'call.released 2'])
  expect(await rig.calls.findCalls(network, aCall().callId)).toMatchObject([{ call: { releaseCause: 'lost' } }])
})

test('after Redis was emptied the next snapshot restores the calls under a new epoch', async () => {
  await rig.deliver(report(1, aCall()))
  const before = await rig.log.top(app)
  await redis.connect().flushall()
  rig.ingest.forgetAll()
  await rig.deliver(snapshot(2, [active]))
  expect(await rig.told()).toEqual(['call.active 1'])
  expect(Number((await rig.log.top(app)).epoch)).toBeGreaterThan(Number(before.epoch))
})

test('a call that ended while Redis was emptied is ended with an event, one that goes on is confirmed', async () => {
  const other = aCall({ callId: toCallId('callhalf-2:0') })
  await rig.deliver(report(1, aCall()))
  await rig.deliver(report(2, other))
  await redis.connect().flushall()
  await rig.ingest.restoreAll()
  expect(await rig.calls.liveCalls(network, [anna])).toHaveLength(2)
  expect(await rig.calls.liveCalls(network, [anna])).toMatchObject([{ stale: true }, { stale: true }])
  await rig.deliver(snapshot(3, [other]))
  expect(await rig.told()).toEqual(['call.released 1'])
  expect(await rig.calls.liveCalls(network, [anna])).toMatchObject([{ stale: false, call: { callId: other.callId } }])
})

test('a call that ended while Redis was emptied is ended with an event also when a snapshot is the first to find out', async () => {
  const other = aCall({ callId: toCallId('callhalf-2:0') })
  await rig.deliver(report(1, aCall()))
  await rig.deliver(report(2, other))
  await redis.connect().flushall()
  await rig.deliver(snapshot(3, [other]))
  expect(await rig.told()).toEqual(['call.released 1'])
  expect(await rig.calls.liveCalls(network, [anna])).toMatchObject([{ stale: false, call: { callId: other.callId } }])
})

test('so it is when a report failed while Redis was away', async () => {
  const admin = redis.connect()
  await rig.deliver(report(1, aCall()))
  await admin.call('CLIENT', 'PAUSE', '1500', 'ALL')
  await expect(rig.deliver(report(2, active, 'answered'))).rejects.toMatchObject({ code: 'store_unavailable' })
  await admin.ping()
  await admin.flushall()
  await rig.deliver(snapshot(3, []))
  expect(await rig.told()).toEqual(['call.released 1'])
})

test('what was stored after the loss is not overwritten from memory', async () => {
  await rig.deliver(report(1, aCall()))
  await redis.connect().flushall()
  await second.deliver(report(2, active, 'answered'))
  await rig.ingest.restoreAll()
  expect(await rig.calls.liveCalls(network, [anna])).toMatchObject([{ stale: false, call: { state: 'active' } }])
})

test('a remembered state is not trusted when Redis was emptied behind it', async () => {
  await rig.deliver(report(1, aCall()))
  await redis.connect().flushall()
  await rig.deliver(report(2, active, 'answered'))
  expect(await rig.told()).toEqual(['call.active 1'])
})

test('while Redis does not answer, deliveries fail with store_unavailable, and succeed when repeated after', async () => {
  const admin = redis.connect()
  await rig.deliver(report(1, aCall()))
  await admin.call('CLIENT', 'PAUSE', '1500', 'ALL')
  await expect(rig.deliver(report(2, active, 'answered'))).rejects.toMatchObject({ code: 'store_unavailable' })
  await admin.ping()
  await rig.deliver(report(2, active, 'answered'))
  expect(await rig.told()).toEqual(['call.ringing 1', 'call.active 2'])
})

test('more changes than may wait are refused at once', async () => {
  const never = Promise.withResolvers<never>()
  const store: CallStore = {
    read: () => never.promise,
    commit: () => never.promise,
    withLiveCalls: () => never.promise,
    scanLive: () => never.promise,
  }
  const ingest = new Ingest({
    store,
    directory: rig.directory,
    metrics: rig.metrics,
    clock: systemClock,
    log: silentLogger,
    concurrencyMax: 1,
    waitingMax: 1,
  })
  const waiting = [ingest.deliver(report(1, aCall()), fence), ingest.deliver(report(2, aCall()), fence)]
  await expect(ingest.deliver(report(3, aCall()), fence)).rejects.toMatchObject({ code: 'store_unavailable' })
  never.reject(new Error('the test is over'))
  await Promise.allSettled(waiting)
})

test('every key that a busy day leaves behind has a TTL', async () => {
  const lease = await rig.leases.tryAcquire(network, 'channel')
  const { reports } = simulateHistory({ random: seededRandom(3), steps: 60 })
  for (const { observation } of reports) {
    await rig.deliver({ ...observation, networkId: network.networkId, subscriberId: anna }, lease?.fence ?? fence)
  }
  await rig.log.append(app, { id: 'x', type: 'subscriber.assigned', orderKey: 'k', payload: '{}' })
  await rig.log.top(otherApp)
  await rig.generations.generationOf(network, 'subscription-1')
  await rig.watch.check()
  const client = redis.connect()
  const keys = await client.keys('*')
  const kinds = new Set(keys.map((key) => key.split(':').slice(1, 3).join(':')))
  expect(kinds).toEqual(
    new Set([
      'data',
      ...['sub', 'live', 'call', 'log', 'meta', 'once', 'lease', 'fence', 'gen', 'lastgen'].map(
        (kind) => `{main}:${kind}`,
      ),
    ]),
  )
  const unbounded = []
  for (const key of keys) if ((await client.pttl(key)) < 0) unbounded.push(key)
  expect(unbounded).toEqual([])
  await lease?.release()
})
