import * as fc from 'fast-check'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  DeliveryRig,
  EPOCH,
  RULES,
  START_MS,
  appId,
  attemptOf,
  deliveryIdOf,
  endpointRef,
  eventId,
  keysOf,
  lane,
  position,
} from '../../test/support/delivery-rig.ts'
import type { EntrySpec } from '../../test/support/delivery-rig.ts'
import { startTestRedis } from '../../test/support/redis.ts'
import type { TestRedis } from '../../test/support/redis.ts'
import { toEndpointId } from '../core/ids.ts'
import { formatToken } from './delivery.ts'
import type { StoreLimits } from './delivery-store.ts'

let redis: TestRedis
beforeAll(async () => {
  redis = await startTestRedis()
})
afterEach(() => redis.connect().flushall())
afterAll(() => redis.stop())

/** A store with an endpoint called `endpoint`, and others if they are named. */
const openRig = (limits: Partial<StoreLimits> = {}, names: readonly string[] = []) =>
  new DeliveryRig(redis.connect(), limits).open('endpoint', ...names)

const ringing = (key: string): EntrySpec => ({ key, type: 'call.ringing' })
const held = (key: string): EntrySpec => ({ key, type: 'call.held' })
const released = (key: string): EntrySpec => ({ key, type: 'call.released' })
const manyLanes = (count: number): EntrySpec[] => Array.from({ length: count }, (_, i) => ringing(`lane-${i + 1}`))

describe('taking', () => {
  test('overlapping and repeated batches of several takers put every event into its lane once, in log order', async () => {
    const readings = fc.array(fc.tuple(fc.integer({ min: 0, max: 39 }), fc.integer({ min: 1, max: 15 })), {
      minLength: 1,
      maxLength: 12,
    })
    await fc.assert(
      fc.asyncProperty(readings, async (chunks) => {
        await redis.connect().flushall()
        const rig = await openRig()
        for (const [back, length] of chunks) {
          const cursor = (await rig.store.cursors(appId)).get(toEndpointId('endpoint'))?.offset ?? 0
          // A taker that read before the other one moved the cursor: it starts at or before it.
          const from = Math.max(1, cursor + 1 - back)
          const entries = Array.from({ length }, (_, i) => ringing(`lane-${(from + i) % 3}`))
          await rig.store.take(rig.batch(entries, from, ['endpoint']), rig.now)
        }
        const top = (await rig.store.cursors(appId)).get(toEndpointId('endpoint'))?.offset ?? 0
        for (const key of [0, 1, 2]) {
          const expected = Array.from({ length: top }, (_, i) => i + 1).filter((offset) => offset % 3 === key)
          expect(await rig.pendingIn(`lane-${key}`)).toEqual(expected)
        }
        expect(await rig.store.pending()).toBe(top)
      }),
      { numRuns: 40 },
    )
  })

  test('a batch of another epoch than the cursor is not taken', async () => {
    const rig = await openRig()
    await rig.store.jump(endpointRef('endpoint'), { from: position(0), to: { epoch: '1600000000000000', offset: 0 } })
    expect(await rig.take([ringing('a')])).toEqual({ wakes: [], full: [], reopens: [] })
    expect(await rig.store.pending()).toBe(0)
    expect(await rig.facts()).toEqual([])
  })

  test('a batch for an endpoint that was never opened is not taken', async () => {
    const rig = await openRig()
    expect(await rig.take([ringing('a')], ['stranger'])).toEqual({ wakes: [], full: [], reopens: [] })
    expect(await rig.store.pending()).toBe(0)
  })

  test('opening again does not move the cursor, and a jump moves it only from where it is expected', async () => {
    const rig = await openRig()
    const { store } = rig
    await store.open(endpointRef('other'), position(5))
    expect(await store.open(endpointRef('other'), position(9))).toEqual({ epoch: EPOCH, offset: 5 })
    expect(await store.jump(endpointRef('other'), { from: position(4), to: position(7) })).toBe(false)
    expect(await store.jump(endpointRef('other'), { from: position(5), to: position(7) })).toBe(true)
    expect((await store.cursors(appId)).get(toEndpointId('other'))).toEqual({ epoch: EPOCH, offset: 7 })
    expect(await store.apps()).toEqual([appId])
  })

  test('of one batch each endpoint takes what is behind its own cursor and what it wants', async () => {
    const rig = await openRig({}, ['other'])
    await rig.take([ringing('a'), ringing('a')])
    rig.offset = 0
    const both = [ringing('a'), ringing('a'), { ...ringing('a'), to: ['other'] }, ringing('a')]
    await rig.take(both, ['endpoint', 'other'])
    expect(await rig.pendingIn('a', 'endpoint')).toEqual([1, 2, 4])
    expect(await rig.pendingIn('a', 'other')).toEqual([1, 2, 3, 4])
    expect((await rig.store.cursors(appId)).get(toEndpointId('endpoint'))).toEqual({ epoch: EPOCH, offset: 4 })
  })

  test('an event is kept once for all endpoints, and goes when the last one has done with it', async () => {
    const rig = await openRig({}, ['other'])
    await rig.take([ringing('a')], ['endpoint', 'other'])
    expect(await redis.connect().hgetall(`ch:{wh}:event:${eventId(1)}`)).toEqual({
      refs: '2',
      type: 'call.ringing',
      about: `{"sequence":"1","occurredAt":${START_MS - 5}}`,
      payload: '{"n":1}',
    })
    await rig.settle('a', await rig.due('a', 'o'))
    expect(await redis.connect().hget(`ch:{wh}:event:${eventId(1)}`, 'refs')).toBe('1')
    await rig.settle('a', await rig.due('a', 'p', { name: 'other' }), 'delivered', { name: 'other' })
    expect(await redis.connect().exists(`ch:{wh}:event:${eventId(1)}`)).toBe(0)
  })

  test('a cursor stops before the first event that the backlog has no room for, and goes on when there is room', async () => {
    const rig = await openRig({ backlogMax: 3 }, ['other'])
    const entries = [ringing('a'), ringing('a'), { ...ringing('b'), to: ['other'] }, ringing('b'), ringing('c')]
    await rig.take(entries, ['endpoint', 'other'])
    // `endpoint` has 1, 2 and 4; `other` has 1, 2 and 3.
    const cursors = await rig.store.cursors(appId)
    expect(cursors.get(toEndpointId('endpoint'))).toEqual({ epoch: EPOCH, offset: 4 })
    expect(cursors.get(toEndpointId('other'))).toEqual({ epoch: EPOCH, offset: 3 })
    await rig.settle('a', await rig.due('a', 'o'))
    rig.offset = 0
    expect(await rig.take(entries, ['endpoint'])).toMatchObject({ full: [], wakes: [{ lane: { orderKey: 'c' } }] })
    expect((await rig.store.cursors(appId)).get(toEndpointId('endpoint'))).toEqual({ epoch: EPOCH, offset: 5 })
    expect(await rig.store.pending()).toBe(6)
  })

  test('a full backlog is told, and entries that are not wanted are passed over all the same', async () => {
    const rig = await openRig({ backlogMax: 1 })
    expect((await rig.take([ringing('a')])).full).toEqual([])
    expect((await rig.take([{ ...ringing('b'), to: [] }])).full).toEqual([])
    expect((await rig.store.cursors(appId)).get(toEndpointId('endpoint'))?.offset).toBe(2)
    expect((await rig.take([ringing('b')])).full).toEqual(['endpoint'])
    expect((await rig.store.cursors(appId)).get(toEndpointId('endpoint'))?.offset).toBe(2)
  })

  test('only lanes with a slot get a wake-up, and a lane that has one or waits gets no second', async () => {
    const rig = await openRig()
    rig.rules = { ...RULES, slots: 2 }
    const { wakes, reopens } = await rig.take([...manyLanes(4), ringing('lane-1'), ringing('lane-4')])
    expect(keysOf(wakes)).toEqual(['lane-1', 'lane-2'])
    // No gate is closed: the end of a lane hands its slot over.
    expect(reopens).toEqual([])
    expect(keysOf((await rig.take([ringing('lane-2'), ringing('lane-3')])).wakes)).toEqual([])
  })

  test('a lane in work gets no wake-up, its owner goes on with what has come', async () => {
    const rig = await openRig()
    await rig.take([ringing('a')])
    const first = await rig.due('a', 'o')
    expect((await rig.take([ringing('a')])).wakes).toEqual([])
    expect((await rig.settle('a', first)).kind).toBe('more')
    expect((await rig.due('a', 'o', { fresh: false })).event.payload).toBe('{"n":2}')
  })

  test('lanes that wait are handed a free slot before one that comes later, that of a dead owner among them', async () => {
    const rig = await openRig()
    rig.rules = { ...RULES, slots: 2 }
    await rig.take([ringing('a'), ringing('b'), ringing('c')])
    await rig.due('a', 'crashed')
    await rig.due('b', 'crashed')
    rig.now += 5_000
    expect(keysOf((await rig.take([ringing('d')])).wakes)).toEqual(['a', 'b'])
    expect(keysOf((await rig.settle('a', await rig.due('a', 'o'))).wakes)).toEqual(['c'])
  })

  test('a taken event is recorded with what every taker is to know', async () => {
    const rig = await openRig({}, ['other'])
    await rig.take([{ ...ringing('a'), to: [] }, held('a')], ['endpoint', 'other'])
    expect(await rig.facts()).toEqual([
      {
        kind: 'taken',
        factId: expect.stringMatching(/^\d+-\d+$/),
        at: START_MS,
        event: {
          eventId: `app:${EPOCH}-2`,
          appId: 'app',
          type: 'call.held',
          orderKey: 'a',
          sequence: '2',
          occurredAt: START_MS - 5,
          payload: '{"n":2}',
        },
        endpoints: [
          {
            endpointId: 'endpoint',
            deliveryId: deliveryIdOf('endpoint', 2),
            class: 'state',
            expiresAt: START_MS + 300_000,
          },
          { endpointId: 'other', deliveryId: deliveryIdOf('other', 2), class: 'state', expiresAt: START_MS + 300_000 },
        ],
      },
    ])
  })
})

describe('asking for a turn', () => {
  test('the first event of a lane is given to whoever asks first', async () => {
    const rig = await openRig()
    await rig.take([held('a')])
    expect(await rig.begin('a', 'o')).toEqual({
      kind: 'due',
      wakes: [],
      pending: {
        token: `app:${EPOCH}-1|s|${START_MS}|${START_MS + 300_000}|1|0|-`,
        eventId: `app:${EPOCH}-1`,
        class: 'state',
        takenAt: START_MS,
        expiresAt: START_MS + 300_000,
        attemptsBefore: 0,
        isReplay: false,
        isParked: false,
      },
      event: {
        eventId: `app:${EPOCH}-1`,
        type: 'call.held',
        about: { sequence: '1', occurredAt: START_MS - 5 },
        payload: '{"n":1}',
      },
      attempts: 0,
      failed: 0,
      skipped: [],
    })
  })

  test('a lane with nothing in it is idle', async () => {
    const rig = await openRig()
    expect(await rig.begin('a', 'o')).toEqual({ kind: 'idle', wakes: [] })
    expect(await redis.connect().keys('ch:{wh}:[^ac]*')).toEqual([])
  })

  test('while the owner lives others are told until when, and after its lease one takes over', async () => {
    const rig = await openRig()
    await rig.take([ringing('a'), ringing('a')])
    const first = await rig.due('a', 'dead')
    rig.now = START_MS + 4_999
    expect(await rig.begin('a', 'heir')).toEqual({ kind: 'busy', until: START_MS + 5_000 })
    rig.now = START_MS + 5_000
    expect((await rig.due('a', 'heir')).pending.token).toBe(first.pending.token)
    expect(await rig.begin('a', 'dead', { fresh: false })).toEqual({ kind: 'lost' })
    expect(await rig.begin('a', 'dead')).toEqual({ kind: 'busy', until: START_MS + 10_000 })
    expect(await rig.fail('a', 'dead', first, { due: rig.now + 60_000 })).toMatchObject({ kind: 'lost', wakes: [] })
    // What the former owner delivered is not sent again, and the heir goes on behind it.
    expect((await rig.settle('a', first)).kind).toBe('more')
    expect((await rig.settle('a', first)).kind).toBe('lost')
    expect((await rig.due('a', 'heir', { fresh: false })).event.payload).toBe('{"n":2}')
    expect(await rig.begin('a', 'dead', { fresh: false })).toEqual({ kind: 'lost' })
  })

  test('an owner whose event was ended by its predecessor puts nothing off', async () => {
    const rig = await openRig()
    await rig.take([ringing('a'), ringing('a')])
    const first = await rig.due('a', 'slow')
    rig.now += 5_000
    const again = await rig.due('a', 'heir')
    expect((await rig.settle('a', first)).kind).toBe('more')
    expect((await rig.fail('a', 'heir', again, { due: rig.now + 9_000 })).kind).toBe('lost')
    expect(await rig.due('a', 'heir', { fresh: false })).toMatchObject({ event: { payload: '{"n":2}' }, attempts: 0 })
  })

  test('a lease that is renewed lives on, but not one that somebody else has taken over', async () => {
    const rig = await openRig()
    await rig.take([ringing('a'), ringing('b')])
    await rig.due('a', 'o')
    await rig.due('b', 'o')
    rig.now += 4_000
    await rig.store.renew([{ lane: lane('a'), owner: 'o' }], rig.now)
    rig.now += 2_000
    expect(await rig.begin('a', 'p')).toEqual({ kind: 'busy', until: START_MS + 9_000 })
    await rig.due('b', 'p')
    rig.now += 1_000
    await rig.store.renew([{ lane: lane('b'), owner: 'o' }], rig.now)
    expect(await rig.begin('b', 'q')).toEqual({ kind: 'busy', until: START_MS + 11_000 })
  })

  test('a retry keeps its counts and is not due before its time, whoever asks', async () => {
    const rig = await openRig()
    await rig.take([released('a')])
    const failed = await rig.fail('a', 'o', await rig.due('a', 'o'), { due: START_MS + 5_000 })
    expect(failed).toMatchObject({ kind: 'ok', due: START_MS + 5_000, wakes: [] })
    rig.now = START_MS + 4_999
    expect(await rig.begin('a', 'p')).toEqual({ kind: 'later', due: START_MS + 5_000, wakes: [] })
    rig.now = START_MS + 5_000
    expect(await rig.due('a', 'p')).toMatchObject({ attempts: 1, failed: 1 })
  })

  test('what is handed back counts neither as a request nor as a failure', async () => {
    const rig = await openRig()
    await rig.take([ringing('a')])
    const back = await rig.handBack('a', 'o', await rig.due('a', 'o'))
    expect(back).toEqual({ kind: 'ok', due: START_MS, wakes: [], health: { failures: 0, breaker: 'closed' } })
    expect(await rig.due('a', 'p')).toMatchObject({ attempts: 0, failed: 0 })
  })

  test('a round of two requests is one failure', async () => {
    const rig = await openRig()
    await rig.take([released('a')])
    const turn = await rig.due('a', 'o')
    const attempts = [
      attemptOf('endpoint', turn, rig.now, 'connect_refused'),
      attemptOf('endpoint', turn, rig.now, 'timeout', rig.now + 10),
    ]
    const { token } = turn.pending
    const round = { owner: 'o', token, due: rig.now, attempts, failed: true, now: rig.now, rules: RULES }
    expect((await rig.store.postpone(lane('a'), round)).health.failures).toBe(1)
    expect(await rig.due('a', 'o')).toMatchObject({ attempts: 2, failed: 1 })
    expect((await rig.facts()).filter(({ kind }) => kind === 'attempted')).toHaveLength(2)
  })

  test('the slot of a lane that ends, or is left, goes to the lane that has waited longest', async () => {
    const rig = await openRig()
    rig.rules = { ...RULES, slots: 2 }
    for (const key of ['a', 'b', 'c', 'd', 'e']) {
      await rig.take([ringing(key)])
      rig.now += 1
    }
    const a = await rig.due('a', 'o')
    expect(await rig.begin('d', 'x')).toEqual({ kind: 'waiting', wakes: [] })
    expect(keysOf((await rig.settle('a', a)).wakes)).toEqual(['c'])
    const b = await rig.due('b', 'p')
    expect(keysOf((await rig.fail('b', 'p', b, { due: rig.now + 900 })).wakes)).toEqual(['d'])
    // A wake-up for a lane that is not due, or has nothing, gives its slot on, too.
    const c = await rig.due('c', 'q')
    await rig.settle('c', c)
    expect(await rig.begin('b', 'p')).toMatchObject({ kind: 'later', wakes: [] })
    expect(await rig.statusOf()).toMatchObject({ inFlight: 2, pending: 3 })
  })

  test('a lane that goes on keeps its slot, and a lane without one joins those that wait by its age', async () => {
    const rig = await openRig()
    rig.rules = { ...RULES, slots: 1 }
    await rig.take([ringing('a'), ringing('a')])
    rig.now += 5
    await rig.take([ringing('b')])
    rig.now += 5
    await rig.take([ringing('c')])
    const first = await rig.due('a', 'o')
    expect(await rig.settle('a', first)).toEqual({ kind: 'more', wakes: [] })
    const second = await rig.due('a', 'o', { fresh: false })
    // Handed back at once: its event is older than those of b and c, but it has had a turn when they wait.
    expect(keysOf((await rig.handBack('a', 'o', second)).wakes)).toEqual(['b'])
    expect(await rig.begin('a', 'o')).toEqual({ kind: 'waiting', wakes: [] })
    expect(keysOf((await rig.settle('b', await rig.due('b', 'p'))).wakes)).toEqual(['a'])
  })

  test('a lane that was handed a slot but has nothing to send any more hands it on', async () => {
    const rig = await openRig()
    rig.rules = { ...RULES, slots: 1 }
    await rig.take([{ ...ringing('a'), ttlMs: 1_000 }, ringing('b')])
    rig.now += 1_000
    expect(await rig.begin('a', 'o')).toEqual({ kind: 'idle', wakes: [{ lane: lane('b') }] })
  })

  test('an owner whose slot was given away gets no second one by renewing', async () => {
    const rig = await openRig()
    rig.rules = { ...RULES, slots: 1 }
    await rig.take([ringing('a'), ringing('b')])
    await rig.due('a', 'slow')
    rig.now += 5_000
    await rig.due('b', 'o')
    await rig.store.renew([{ lane: lane('a'), owner: 'slow' }], rig.now)
    expect(await rig.statusOf()).toMatchObject({ inFlight: 1 })
    expect(await rig.begin('a', 'p')).toEqual({ kind: 'waiting', wakes: [] })
  })

  test('a slot that a wake-up was lost for lapses after three seconds', async () => {
    const rig = await openRig()
    rig.rules = { ...RULES, slots: 1 }
    await rig.take([ringing('a'), ringing('b')])
    rig.now = START_MS + 2_999
    expect(await rig.begin('b', 'o')).toEqual({ kind: 'waiting', wakes: [] })
    rig.now = START_MS + 3_000
    await rig.due('b', 'o')
  })

  test('an event whose content is gone is dropped instead of blocking its lane', async () => {
    const rig = await openRig()
    await rig.take([released('a'), released('a')])
    await redis.connect().del(`ch:{wh}:event:${eventId(1)}`)
    expect(await rig.due('a', 'o')).toMatchObject({ event: { payload: '{"n":2}' }, skipped: ['1;dropped'] })
    expect(await rig.ended()).toEqual({ [deliveryIdOf('endpoint', 1)]: 'dropped' })
  })
})

describe('order hold', () => {
  test('an event that was not attempted holds up the next for as long as it lives', async () => {
    const rig = await openRig()
    await rig.take([released('a'), released('a')])
    await rig.handBack('a', 'o', await rig.due('a', 'o'))
    rig.now += 3_600_000
    expect(await rig.due('a', 'o')).toMatchObject({ event: { payload: '{"n":1}' }, skipped: [] })
  })

  test('one that was attempted does not make way for one that has expired', async () => {
    const rig = await openRig()
    await rig.take([held('a')])
    const turn = await rig.due('a', 'o')
    rig.now += 500
    await rig.take([{ ...ringing('a'), ttlMs: 5_000 }])
    rig.now += 6_000
    expect(await rig.fail('a', 'o', turn, { due: rig.now + 20_000 })).toMatchObject({ due: rig.now + 20_000 })
    rig.now += 20_000
    expect(await rig.due('a', 'p')).toMatchObject({ event: { payload: '{"n":1}' }, skipped: [] })
  })

  test('one that was attempted is parked when the next has waited for the hold, and the next tells so until it arrives', async () => {
    const rig = await openRig()
    await rig.take([held('a')])
    await rig.fail('a', 'o', await rig.due('a', 'o'), { due: START_MS + 60_000 })
    rig.now = START_MS + 3_000
    await rig.take([held('a')])
    rig.now = START_MS + 12_999
    expect(await rig.begin('a', 'o')).toMatchObject({ kind: 'later', due: START_MS + 13_000 })
    await rig.facts()
    rig.now = START_MS + 13_000
    const second = await rig.due('a', 'o')
    expect(second).toMatchObject({ event: { payload: '{"n":2}' }, attempts: 0, failed: 0, skipped: ['1;parked'] })
    expect(await rig.facts()).toEqual([
      {
        kind: 'ended',
        factId: expect.any(String),
        deliveryId: deliveryIdOf('endpoint', 1),
        class: 'state',
        at: START_MS + 13_000,
        status: 'parked',
      },
    ])
    await rig.fail('a', 'o', second, { due: rig.now })
    expect(await rig.due('a', 'o')).toMatchObject({ attempts: 1, skipped: ['1;parked'] })
    await rig.take([held('a')])
    await rig.settle('a', second)
    expect(await rig.due('a', 'o')).toMatchObject({ event: { payload: '{"n":3}' }, skipped: [] })
  })

  test('a record goes on in a lane of its own, with its attempts and when it is due', async () => {
    const rig = await openRig()
    await rig.take([released('a')])
    await rig.fail('a', 'o', await rig.due('a', 'o'), { due: START_MS + 600_000 })
    rig.now = START_MS + 2_000
    const { wakes } = await rig.take([released('a')])
    expect(keysOf(wakes)).toEqual(['a at +12000'])
    rig.now = START_MS + 12_000
    await rig.facts()
    const next = await rig.due('a', 'o')
    const parkedLane = `parked:${eventId(1)}`
    expect(next).toMatchObject({ event: { payload: '{"n":2}' }, skipped: ['1;parked'] })
    expect(keysOf(next.wakes)).toEqual([`${parkedLane} at +600000`])
    // It has not ended.
    expect(await rig.facts()).toEqual([])
    expect(await rig.statusOf()).toMatchObject({ pending: 2 })
    expect(await rig.begin(parkedLane, 'p')).toEqual({ kind: 'later', due: START_MS + 600_000, wakes: [] })
    rig.now = START_MS + 600_000
    const parked = await rig.due(parkedLane, 'p')
    expect(parked).toMatchObject({ attempts: 1, failed: 1, event: { payload: '{"n":1}' }, skipped: [] })
    expect(parked.pending).toMatchObject({ isParked: true, isReplay: false })
    await rig.settle(parkedLane, parked)
    expect(await rig.ended()).toEqual({ [deliveryIdOf('endpoint', 1)]: 'delivered' })
    expect(await redis.connect().exists(`ch:{wh}:event:${eventId(1)}`)).toBe(0)
  })

  test('the first successor of an event that waits for a retry gives a wake-up for the end of the hold, no other does', async () => {
    const rig = await openRig()
    await rig.take([held('a')])
    await rig.fail('a', 'o', await rig.due('a', 'o'), { due: START_MS + 60_000 })
    rig.now = START_MS + 4_000
    expect(keysOf((await rig.take([held('a')])).wakes)).toEqual(['a at +14000'])
    rig.now = START_MS + 5_000
    expect(keysOf((await rig.take([held('a')])).wakes)).toEqual([])
  })

  test('a retry that is due before the hold ends needs no other wake-up', async () => {
    const rig = await openRig()
    await rig.take([held('a')])
    await rig.fail('a', 'o', await rig.due('a', 'o'), { due: START_MS + 10_000 })
    expect(keysOf((await rig.take([held('a')])).wakes)).toEqual([])
    rig.now = START_MS + 9_999
    expect(await rig.begin('a', 'o')).toMatchObject({ kind: 'later', due: START_MS + 10_000 })
  })

  test('an event that fails while the next waits comes up again when the hold ends, at the latest', async () => {
    const rig = await openRig()
    await rig.take([released('a')])
    rig.now = START_MS + 1_000
    await rig.take([released('a')])
    const first = await rig.due('a', 'o')
    expect(await rig.fail('a', 'o', first, { due: START_MS + 900_000 })).toMatchObject({ due: START_MS + 11_000 })
    // Whoever comes too early must not move the time at which the record itself is due.
    rig.now = START_MS + 6_000
    expect(await rig.begin('a', 'p')).toMatchObject({ kind: 'later', due: START_MS + 11_000 })
    rig.now = START_MS + 11_000
    expect(keysOf((await rig.due('a', 'o')).wakes)).toEqual([`parked:${eventId(1)} at +900000`])
  })

  test('without a hold the next event goes as soon as the one before has failed', async () => {
    const rig = await openRig()
    rig.rules = { ...RULES, orderHoldMs: 0 }
    await rig.take([held('a'), held('a')])
    const first = await rig.due('a', 'o')
    expect(await rig.fail('a', 'o', first, { due: START_MS + 60_000 })).toMatchObject({ due: START_MS })
    expect(await rig.due('a', 'o')).toMatchObject({ event: { payload: '{"n":2}' }, skipped: ['1;parked'] })
  })

  test('one that fails after it has held up the next for too long makes way at once', async () => {
    const rig = await openRig()
    await rig.take([held('a'), held('a')])
    rig.now = START_MS + 20_000
    const first = await rig.due('a', 'o')
    expect(await rig.fail('a', 'o', first, { due: START_MS + 60_000 })).toMatchObject({ due: START_MS + 20_000 })
    expect(await rig.due('a', 'o')).toMatchObject({ skipped: ['1;parked'] })
  })

  test('an event without a sequence is called by its position', async () => {
    const rig = await openRig()
    await rig.take([{ ...held('a'), unnumbered: true }, released('a')])
    await rig.settle('a', await rig.due('a', 'o'), 'expired')
    expect((await rig.due('a', 'o', { fresh: false })).skipped).toEqual([`"${EPOCH}:1";expired`])
  })

  test('of many events that were left out the last 32 are told', async () => {
    const rig = await openRig()
    await rig.take([...Array.from({ length: 40 }, () => ringing('a')), released('a')])
    rig.now = START_MS + 30_000
    const { skipped } = await rig.due('a', 'o')
    expect(skipped).toHaveLength(32)
    expect([skipped.at(0), skipped.at(-1)]).toEqual(['9;expired', '40;expired'])
  })
})

describe('coalescing', () => {
  test('of changes that were overtaken only the last is sent, and it tells of the others', async () => {
    const rig = await openRig()
    rig.rules = { ...RULES, coalesce: true }
    await rig.take([ringing('a'), held('a'), held('a'), held('b')])
    expect(await rig.due('a', 'o')).toMatchObject({
      event: { payload: '{"n":3}' },
      skipped: ['1;superseded', '2;superseded'],
    })
    expect(await rig.ended()).toEqual({
      [deliveryIdOf('endpoint', 1)]: 'superseded',
      [deliveryIdOf('endpoint', 2)]: 'superseded',
    })
  })

  test('a record is never left out, whatever follows', async () => {
    const rig = await openRig()
    rig.rules = { ...RULES, coalesce: true }
    await rig.take([held('a'), released('a'), held('a'), held('a')])
    const record = await rig.due('a', 'o')
    expect(record).toMatchObject({ event: { payload: '{"n":2}' }, skipped: ['1;superseded'] })
    await rig.settle('a', record)
    expect(await rig.due('a', 'o')).toMatchObject({ event: { payload: '{"n":4}' }, skipped: ['3;superseded'] })
  })

  test('a change is not left out for one that has expired', async () => {
    const rig = await openRig()
    rig.rules = { ...RULES, coalesce: true }
    await rig.take([held('a')])
    await rig.fail('a', 'o', await rig.due('a', 'o'), { due: START_MS + 8_000 })
    rig.now = START_MS + 2_000
    await rig.take([{ ...held('a'), ttlMs: 5_000 }])
    rig.now = START_MS + 8_000
    expect(await rig.due('a', 'o')).toMatchObject({ event: { payload: '{"n":1}' }, skipped: [] })
    // One that can still be sent is found behind it.
    await rig.take([held('a')])
    rig.now = START_MS + 20_000
    expect(await rig.due('a', 'p')).toMatchObject({
      event: { payload: '{"n":3}' },
      skipped: ['1;superseded', '2;expired'],
    })
  })

  test('a change that waits for a retry is overtaken by the next at the end of its wait', async () => {
    const rig = await openRig()
    rig.rules = { ...RULES, coalesce: true }
    await rig.take([held('a')])
    await rig.fail('a', 'o', await rig.due('a', 'o'), { due: START_MS + 500 })
    await rig.take([held('a')])
    rig.now = START_MS + 500
    expect(await rig.due('a', 'o')).toMatchObject({ attempts: 0, skipped: ['1;superseded'] })
  })
})

describe('expiry', () => {
  test('no turn is given from the moment an event expires, and what was skipped is told by the next', async () => {
    const rig = await openRig()
    await rig.take([ringing('a'), held('a')])
    rig.now = START_MS + 29_999
    const turn = await rig.due('a', 'o')
    expect(turn.event.payload).toBe('{"n":1}')
    await rig.handBack('a', 'o', turn)
    rig.now = START_MS + 30_000
    expect(await rig.due('a', 'o')).toMatchObject({ event: { payload: '{"n":2}' }, skipped: ['1;expired'] })
    expect(await rig.ended()).toEqual({ [deliveryIdOf('endpoint', 1)]: 'expired' })
  })

  test('a lane of which everything has expired is idle, however long it was', async () => {
    const rig = await openRig()
    await rig.take(Array.from({ length: 250 }, () => ringing('a')))
    rig.now = START_MS + 30_000
    expect(await rig.begin('a', 'o')).toEqual({ kind: 'idle', wakes: [] })
    expect(Object.values(await rig.ended())).toEqual(Array.from({ length: 250 }, () => 'expired'))
    expect(await rig.store.pending()).toBe(0)
  })

  test('a sweep ends what has expired anywhere in a lane that waits', async () => {
    const rig = await openRig()
    rig.rules = { ...RULES, slots: 1 }
    await rig.take([released('busy'), released('a'), ringing('a'), released('a'), ringing('a'), ringing('b')])
    await rig.due('busy', 'o')
    for (rig.now = START_MS + 4_000; rig.now < START_MS + 29_000; rig.now += 4_000) {
      await rig.store.renew([{ lane: lane('busy'), owner: 'o' }], rig.now)
    }
    rig.now = START_MS + 29_999
    expect(await rig.sweep()).toMatchObject({ expired: 0 })
    rig.now = START_MS + 30_000
    expect(await rig.sweep()).toMatchObject({ expired: 3 })
    expect(await rig.pendingIn('a')).toEqual([2, 4])
    expect(await rig.pendingIn('b')).toEqual([])
    expect(await rig.ended()).toEqual({
      [deliveryIdOf('endpoint', 3)]: 'expired',
      [deliveryIdOf('endpoint', 5)]: 'expired',
      [deliveryIdOf('endpoint', 6)]: 'expired',
    })
    expect(await rig.statusOf()).toMatchObject({ pending: 3 })
  })

  test('a sweep leaves a lane in work to its owner, and comes back when the lease ends', async () => {
    const rig = await openRig()
    await rig.take([{ ...ringing('a'), ttlMs: 1_000 }])
    await rig.due('a', 'o')
    rig.now = START_MS + 4_999
    expect(await rig.sweep()).toMatchObject({ expired: 0 })
    rig.now = START_MS + 5_000
    expect(await rig.sweep()).toMatchObject({ expired: 1 })
    expect(await redis.connect().keys('ch:{wh}:[plrtw]*:endpoint*')).toEqual([])
  })

  test('what is left of a lane whose first event expired while it waited for a retry is woken by the same sweep', async () => {
    const rig = await openRig()
    await rig.take([held('a')])
    await rig.fail('a', 'o', await rig.due('a', 'o'), { due: START_MS + 300_000 })
    rig.rules = { ...RULES, orderHoldMs: 300_000 }
    rig.now = START_MS + 299_000
    await rig.take([held('a')])
    rig.now = START_MS + 300_000
    const swept = await rig.sweep()
    expect(swept).toMatchObject({ expired: 1 })
    expect(keysOf(swept.wakes)).toEqual(['a'])
    expect(await rig.due('a', 'o')).toMatchObject({
      event: { payload: '{"n":2}' },
      attempts: 0,
      skipped: ['1;expired'],
    })
  })
})

describe('sweeping', () => {
  test('a lost wake-up is repeated whenever its slot has lapsed', async () => {
    const rig = await openRig()
    await rig.take([ringing('a')])
    rig.now = START_MS + 2_999
    expect((await rig.sweep()).wakes).toEqual([])
    rig.now = START_MS + 3_000
    expect(keysOf((await rig.sweep()).wakes)).toEqual(['a'])
    rig.now = START_MS + 5_999
    expect((await rig.sweep()).wakes).toEqual([])
    rig.now = START_MS + 6_000
    expect(keysOf((await rig.sweep()).wakes)).toEqual(['a'])
  })

  test('the lane of a dead owner is woken when its lease ends, and whoever comes need not wait', async () => {
    const rig = await openRig()
    await rig.take([ringing('a')])
    await rig.due('a', 'dead')
    rig.now = START_MS + 5_000
    expect(keysOf((await rig.sweep()).wakes)).toEqual(['a'])
    await rig.due('a', 'heir')
    expect(await rig.begin('a', 'dead', { fresh: false })).toEqual({ kind: 'lost' })
  })

  test('the lane of a dead owner that gets a new event is woken by it, and whoever comes need not wait', async () => {
    const rig = await openRig()
    await rig.take([ringing('a')])
    await rig.due('a', 'dead')
    rig.now = START_MS + 5_000
    expect(keysOf((await rig.take([ringing('a')])).wakes)).toEqual(['a'])
    await rig.due('a', 'heir')
  })

  test('the lane of a dead owner does not wait behind those that came after its event', async () => {
    const rig = await openRig()
    rig.rules = { ...RULES, slots: 1 }
    await rig.take([ringing('a')])
    rig.now = START_MS + 1
    await rig.take([ringing('b')])
    await rig.due('a', 'dead')
    rig.now = START_MS + 5_001
    expect(keysOf((await rig.sweep()).wakes)).toEqual(['a'])
    expect(keysOf((await rig.settle('a', await rig.due('a', 'o'))).wakes)).toEqual(['b'])
  })

  test('of thousands of lanes that wait, none is sent before that of an owner that died', async () => {
    const rig = await openRig()
    rig.rules = { ...RULES, slots: 1 }
    for (let i = 0; i < 4; i += 1) {
      await rig.take(Array.from({ length: 500 }, (_, j) => released(`lane-${i * 500 + j}`)))
    }
    await rig.due('lane-0', 'dead')
    // Nobody sweeps: the first of the others that is given a slot would tell.
    rig.now += 5_000
    expect(keysOf((await rig.reopen()).wakes)).toEqual(['lane-0'])
    await rig.due('lane-0', 'heir')
  })

  test('a wake-up that was handed over and lost is repeated soon, however long the lane had waited', async () => {
    const rig = await openRig()
    rig.rules = { ...RULES, slots: 1 }
    await rig.take([released('a'), released('b')])
    const a = await rig.due('a', 'o')
    // The last sweep that saw b put it off for ten seconds, at 55.
    for (let s = 1; s <= 56; s += 1) {
      rig.now = START_MS + s * 1_000
      await rig.store.renew([{ lane: lane('a'), owner: 'o' }], rig.now)
      await rig.sweep()
    }
    expect(keysOf((await rig.settle('a', a)).wakes)).toEqual(['b'])
    rig.now += 5_000
    expect(keysOf((await rig.sweep()).wakes)).toEqual(['b'])
  })

  test('a lane whose retry was forgotten is woken when it should long have been tried', async () => {
    const rig = await openRig()
    await rig.take([held('a')])
    await rig.fail('a', 'o', await rig.due('a', 'o'), { due: START_MS + 60_000 })
    rig.now = START_MS + 64_999
    expect((await rig.sweep()).wakes).toEqual([])
    rig.now = START_MS + 65_000
    expect(keysOf((await rig.sweep()).wakes)).toEqual(['a'])
  })

  test('a sweep takes as many lanes as it may, the next one the rest', async () => {
    const rig = await openRig()
    rig.rules = { ...RULES, slots: 25 }
    await rig.take(manyLanes(5))
    const keys = await rig.redis.zrange('ch:{wh}:lanes:endpoint', '0', '-1')
    for (const key of keys) await rig.fail(key, 'o', await rig.due(key, 'o'), { due: START_MS + 1_000 })
    rig.now = START_MS + 6_000
    expect((await rig.sweep('endpoint', { limit: 3 })).wakes).toHaveLength(3)
    expect((await rig.sweep('endpoint', { limit: 3 })).wakes).toHaveLength(2)
    expect((await rig.sweep('endpoint', { limit: 3 })).wakes).toHaveLength(0)
  })

  test('events that have outlived their time to live no longer count, so that a full backlog opens again', async () => {
    const rig = await openRig({ backlogMax: 3 })
    await rig.take([ringing('a'), ringing('a'), ringing('a')])
    expect((await rig.take([ringing('a')])).full).toEqual(['endpoint'])
    // What an outage of the webhooks role for longer than the time to live leaves.
    await redis.connect().del('ch:{wh}:lanes:endpoint', 'ch:{wh}:pending:endpoint:a', 'ch:{wh}:running:endpoint')
    await rig.sweep()
    expect(await rig.store.pending()).toBe(0)
    rig.offset = 3
    expect((await rig.take([ringing('a')])).full).toEqual([])
    expect(await rig.pendingIn('a')).toEqual([4])
  })
})

describe('rate limit', () => {
  test('a second’s worth may begin at once, then one per interval; those that wait are told when', async () => {
    const rig = await openRig()
    rig.rules = { ...RULES, ratePerSecond: 4 }
    const { wakes, reopens } = await rig.take(manyLanes(6))
    expect(keysOf(wakes)).toEqual(['lane-1', 'lane-2', 'lane-3', 'lane-4'])
    expect(reopens).toEqual([{ endpoint: endpointRef('endpoint'), at: START_MS + 250 }])
    const turns = []
    for (const key of keysOf(wakes)) turns.push(await rig.due(key, `owner-${key}`))
    expect(await rig.settle('lane-1', turns[0]!)).toEqual({ kind: 'idle', wakes: [], reopenAt: START_MS + 250 })
    expect(await rig.begin('lane-6', 'o')).toEqual({ kind: 'waiting', wakes: [], reopenAt: START_MS + 250 })
    rig.now = START_MS + 249
    expect(await rig.reopen()).toEqual({ wakes: [], reopenAt: START_MS + 250 })
    rig.now = START_MS + 250
    const { wakes: next, reopenAt } = await rig.reopen()
    expect([keysOf(next), reopenAt]).toEqual([['lane-5'], START_MS + 500])
    expect((await rig.begin('lane-5', 'o')).kind).toBe('due')
    rig.now = START_MS + 500
    // Nobody is left to ask again for.
    expect(await rig.reopen()).toEqual({ wakes: [{ lane: lane('lane-6') }] })
    expect(await rig.reopen()).toEqual({ wakes: [] })
  })

  test('however long nothing was sent, no more than a second’s worth begins at once', async () => {
    const rig = await openRig()
    rig.rules = { ...RULES, ratePerSecond: 2 }
    await rig.take([ringing('first')])
    await rig.settle('first', await rig.due('first', 'o'))
    rig.now += 60_000
    expect((await rig.take(manyLanes(5))).wakes).toHaveLength(2)
  })

  test('a lane that comes when there is a token again stands behind those that have waited for it', async () => {
    const rig = await openRig()
    rig.rules = { ...RULES, ratePerSecond: 1 }
    await rig.take([ringing('a')])
    await rig.due('a', 'o')
    await rig.take([ringing('b'), ringing('c')])
    rig.now += 1_000
    expect(keysOf((await rig.take([ringing('d')])).wakes)).toEqual(['b'])
    await rig.due('b', 'p')
    rig.now += 1_000
    expect(keysOf((await rig.reopen()).wakes)).toEqual(['c'])
  })

  test('a lane that goes on needs a token, too', async () => {
    const rig = await openRig()
    rig.rules = { ...RULES, ratePerSecond: 1 }
    await rig.take([ringing('a'), ringing('a')])
    await rig.settle('a', await rig.due('a', 'o'))
    const turn = await rig.begin('a', 'o', { fresh: false })
    expect(turn).toEqual({ kind: 'waiting', wakes: [], reopenAt: START_MS + 1_000 })
    rig.now = START_MS + 1_000
    expect(keysOf((await rig.reopen()).wakes)).toEqual(['a'])
    await rig.due('a', 'p')
  })

  test('lanes that wait for nothing but a slot are not asked for by the clock', async () => {
    const rig = await openRig()
    rig.rules = { ...RULES, slots: 1, ratePerSecond: 1_000 }
    const { reopens } = await rig.take([ringing('a'), ringing('b')])
    const a = await rig.due('a', 'o')
    rig.now += 100
    expect([reopens, await rig.reopen(), (await rig.sweep()).reopenAt]).toEqual([[], { wakes: [] }, undefined])
    expect(keysOf((await rig.settle('a', a)).wakes)).toEqual(['b'])
  })

  test('in ten seconds at five per second 55 begin, evenly, and nobody asks more often than needed', async () => {
    const rig = await openRig()
    rig.rules = { ...RULES, slots: 3, ratePerSecond: 5 }
    const { wakes, reopens } = await rig.take(manyLanes(100))
    let woken = keysOf(wakes)
    const reopenings = new Set(reopens.map(({ at }) => at))
    const begun: number[] = []
    let asked = 0
    const follow = (answer: { readonly wakes: Parameters<typeof keysOf>[0]; readonly reopenAt?: number }) => {
      woken.push(...keysOf(answer.wakes))
      if (answer.reopenAt !== undefined) reopenings.add(answer.reopenAt)
    }
    for (rig.now = START_MS; rig.now <= START_MS + 10_000; rig.now += 10) {
      for (const at of reopenings) {
        if (at > rig.now) continue
        reopenings.delete(at)
        asked += 1
        follow(await rig.reopen())
      }
      while (woken.length > 0) {
        const keys = woken
        woken = []
        for (const key of keys) {
          const turn = await rig.begin(key, `owner-${key}`)
          if (turn.kind !== 'due') {
            if ('wakes' in turn) follow(turn)
            continue
          }
          begun.push(rig.now - START_MS)
          follow(await rig.settle(key, turn))
        }
      }
    }
    expect(begun).toHaveLength(55)
    expect(begun.slice(0, 7)).toEqual([0, 0, 0, 0, 0, 200, 400])
    expect(asked).toBeLessThanOrEqual(110)
  })

  test('clocks that differ between processes create no tokens but once', async () => {
    const rig = await openRig()
    rig.rules = { ...RULES, slots: 25, ratePerSecond: 2 }
    await rig.take(manyLanes(20))
    let begun = 0
    for (let i = 1; i <= 20; i += 1) {
      // One process is half a second behind the other.
      rig.now = START_MS + i * 10 - (i % 2) * 500
      if ((await rig.begin(`lane-${i}`, 'o')).kind === 'due') begun += 1
    }
    // The half second that the second process seems to come later is one token.
    expect(begun).toBe(3)
  })
})

describe('a clock that was put back', () => {
  const BACK_MS = 10 * 3_600_000

  test('does not keep an endpoint with a rate limit from being sent to', async () => {
    const rig = await openRig()
    rig.rules = { ...RULES, ratePerSecond: 1 }
    await rig.take([ringing('a'), ringing('b'), ringing('c')])
    await rig.settle('a', await rig.due('a', 'o'))
    rig.now -= BACK_MS
    await rig.settle('b', await rig.due('b', 'o'))
    expect(await rig.begin('c', 'o')).toMatchObject({ kind: 'waiting', reopenAt: rig.now + 1_000 })
    rig.now += 1_000
    await rig.due('c', 'o')
  })

  test('prolongs a pause to an hour at most', async () => {
    const rig = await openRig()
    await rig.take([released('a')])
    await rig.fail('a', 'o', await rig.due('a', 'o'), { due: rig.now + 60_000, pausedUntil: rig.now + 60_000 })
    rig.now -= BACK_MS
    const { reopens } = await rig.take([ringing('b')])
    expect(reopens).toMatchObject([{ at: rig.now + 3_600_000 }])
    rig.now += 3_600_000
    expect(keysOf((await rig.reopen()).wakes)).toEqual(['b'])
  })

  test('prolongs the time that a breaker is open to ten seconds at most', async () => {
    const rig = await openRig()
    await attempt(rig, 20, 'bad')
    rig.now -= BACK_MS
    const { reopens } = await rig.take([ringing('b')])
    expect(reopens).toMatchObject([{ at: rig.now + 10_000 }])
    rig.now += 10_000
    expect(keysOf((await rig.reopen()).wakes)).toEqual(['b'])
  })
})

describe('pause', () => {
  test('is not shortened by an answer that asks for a shorter one', async () => {
    const rig = await openRig()
    await rig.take([ringing('a'), ringing('b')])
    const [a, b] = [await rig.due('a', 'o'), await rig.due('b', 'o')]
    await rig.fail('a', 'o', a, { due: START_MS + 60_000, pausedUntil: START_MS + 60_000 })
    await rig.fail('b', 'o', b, { due: START_MS + 1_000, pausedUntil: START_MS + 1_000 })
    expect(await rig.statusOf()).toMatchObject({ pausedUntil: START_MS + 60_000 })
  })

  test('a paused endpoint begins nothing until the pause ends, then hands over to those that wait', async () => {
    const rig = await openRig()
    await rig.take([ringing('a'), ringing('b')])
    const b = await rig.due('b', 'o')
    const paused = await rig.fail('b', 'o', b, { due: START_MS + 7_000, pausedUntil: START_MS + 7_000 })
    expect(paused).toMatchObject({ kind: 'ok', health: { breaker: 'closed', failures: 1 } })
    // The job for a is on its way.
    expect(await rig.begin('a', 'p')).toEqual({ kind: 'waiting', wakes: [], reopenAt: START_MS + 7_000 })
    const { wakes, reopens } = await rig.take([ringing('c')])
    // A reopening was asked for when the first lane had to wait.
    expect([wakes, reopens]).toEqual([[], []])
    expect(await rig.statusOf()).toMatchObject({ pausedUntil: START_MS + 7_000 })
    rig.now = START_MS + 6_999
    expect(await rig.reopen()).toEqual({ wakes: [], reopenAt: START_MS + 7_000 })
    rig.now = START_MS + 7_000
    expect(keysOf((await rig.reopen()).wakes)).toEqual(['a', 'c'])
    await rig.due('a', 'p')
  })

  test('the first lane that has to wait for a paused endpoint asks for its reopening', async () => {
    const rig = await openRig()
    await rig.take([ringing('a')])
    await rig.fail('a', 'o', await rig.due('a', 'o'), { due: START_MS + 7_000, pausedUntil: START_MS + 7_000 })
    const { reopens } = await rig.take([ringing('b'), ringing('c')])
    expect(reopens).toEqual([{ endpoint: endpointRef('endpoint'), at: START_MS + 7_000 }])
  })

  test('another endpoint goes on', async () => {
    const rig = await openRig({}, ['other'])
    await rig.take([ringing('a')], ['endpoint', 'other'])
    await rig.fail('a', 'o', await rig.due('a', 'o'), { due: START_MS + 7_000, pausedUntil: START_MS + 7_000 })
    expect(await rig.begin('a', 'p', { name: 'other' })).toMatchObject({ kind: 'due' })
  })

  test('answers that ask for a pause do not open the breaker', async () => {
    const rig = await openRig()
    rig.rules = { ...RULES, slots: 25 }
    await rig.take(manyLanes(25))
    for (let i = 1; i <= 25; i += 1) {
      const turn = await rig.due(`lane-${i}`, 'o')
      await rig.fail(`lane-${i}`, 'o', turn, { due: rig.now + 10, pausedUntil: rig.now + 1 })
      rig.now += 1
    }
    expect(await rig.statusOf()).toMatchObject({ breaker: 'closed', failures: 25 })
  })
})

/** Works on `count` lanes of one event each, all with the same result. */
async function attempt(rig: DeliveryRig, count: number, result: 'ok' | 'bad') {
  for (let i = 0; i < count; i += 1) {
    const key = `try-${rig.offset + 1}`
    await rig.take([ringing(key)])
    const turn = await rig.due(key, 'o')
    if (result === 'ok') await rig.settle(key, turn)
    // Far away, so that it does not come up again.
    else await rig.fail(key, 'o', turn, { due: rig.now + 29_000 })
  }
}

describe('breaker', () => {
  test('it opens with the 20th request if 70 % have failed, not with the 19th', async () => {
    const rig = await openRig()
    await attempt(rig, 6, 'ok')
    await attempt(rig, 13, 'bad')
    expect((await rig.statusOf()).breaker).toBe('closed')
    await attempt(rig, 1, 'bad')
    expect(await rig.statusOf()).toMatchObject({ breaker: 'open', openUntil: START_MS + 10_000 })
    const { wakes, reopens } = await rig.take([ringing('a')])
    expect([wakes, reopens]).toEqual([[], [{ endpoint: endpointRef('endpoint'), at: START_MS + 10_000 }]])
    expect(await rig.begin('a', 'o')).toEqual({ kind: 'waiting', wakes: [], reopenAt: START_MS + 10_000 })
  })

  test('nothing but failure opens it not before the 20th', async () => {
    const rig = await openRig()
    await attempt(rig, 19, 'bad')
    expect((await rig.statusOf()).breaker).toBe('closed')
    await attempt(rig, 1, 'bad')
    expect((await rig.statusOf()).breaker).toBe('open')
  })

  test('it stays closed at 69 of 100', async () => {
    const rig = await openRig()
    await attempt(rig, 31, 'ok')
    await attempt(rig, 69, 'bad')
    expect((await rig.statusOf()).breaker).toBe('closed')
    // 73 of 104 are more than 70 %, 72 of 103 are less.
    await attempt(rig, 3, 'bad')
    expect((await rig.statusOf()).breaker).toBe('closed')
    await attempt(rig, 1, 'bad')
    expect((await rig.statusOf()).breaker).toBe('open')
  })

  test('failures count for at least 30 and less than 60 seconds', async () => {
    const rig = await openRig()
    await attempt(rig, 10, 'bad')
    rig.now = START_MS + 29_999
    await attempt(rig, 5, 'bad')
    rig.now = START_MS + 59_998
    await attempt(rig, 4, 'bad')
    expect((await rig.statusOf()).breaker).toBe('closed')
    await attempt(rig, 1, 'bad')
    expect((await rig.statusOf()).breaker).toBe('open')
  })

  test('failures before the last minute are forgotten', async () => {
    const rig = await openRig()
    await attempt(rig, 19, 'bad')
    rig.now = START_MS + 60_000
    await attempt(rig, 19, 'bad')
    expect((await rig.statusOf()).breaker).toBe('closed')
  })

  test('half-open it lets one probe through; a failure opens it for ten seconds more', async () => {
    const rig = await openRig()
    await attempt(rig, 20, 'bad')
    await rig.take([ringing('a'), ringing('b'), ringing('c')])
    rig.now = START_MS + 9_999
    expect(await rig.reopen()).toEqual({ wakes: [], reopenAt: START_MS + 10_000 })
    rig.now = START_MS + 10_000
    expect(await rig.reopen()).toEqual({ wakes: [{ lane: lane('a') }] })
    expect((await rig.statusOf()).breaker).toBe('half_open')
    const probe = await rig.due('a', 'o')
    expect(await rig.reopen()).toEqual({ wakes: [] })
    expect(await rig.begin('b', 'p')).toEqual({ kind: 'waiting', wakes: [] })
    const failed = await rig.fail('a', 'o', probe, { due: rig.now + 1_000 })
    expect(failed).toMatchObject({ wakes: [], reopenAt: START_MS + 20_000, health: { breaker: 'open' } })
    expect(await rig.begin('c', 'p')).toEqual({ kind: 'waiting', wakes: [], reopenAt: START_MS + 20_000 })
  })

  test('the first success closes it and hands over to everyone who waits', async () => {
    const rig = await openRig()
    rig.rules = { ...RULES, slots: 3 }
    await attempt(rig, 20, 'bad')
    await rig.take([ringing('a'), ringing('a'), ringing('b'), ringing('c'), ringing('d')])
    rig.now = START_MS + 10_000
    expect(keysOf((await rig.reopen()).wakes)).toEqual(['a'])
    const { kind, wakes } = await rig.settle('a', await rig.due('a', 'o'))
    expect([kind, keysOf(wakes)]).toEqual(['more', ['b', 'c']])
    expect(await rig.statusOf()).toMatchObject({ breaker: 'closed', failures: 0 })
    // What failed before does not count against it.
    const b = await rig.due('b', 'p')
    expect((await rig.fail('b', 'p', b, { due: rig.now + 1 })).health.breaker).toBe('closed')
  })

  test('an attempt that was begun before it opened closes it when it succeeds', async () => {
    const rig = await openRig()
    await rig.take([ringing('slow'), ringing('waits')])
    const slow = await rig.due('slow', 's')
    await attempt(rig, 20, 'bad')
    expect(await rig.begin('waits', 'w')).toMatchObject({ kind: 'waiting' })
    expect(keysOf((await rig.settle('slow', slow)).wakes)).toEqual(['waits'])
    expect((await rig.statusOf()).breaker).toBe('closed')
  })

  test('a success that comes too late for its lane still closes it', async () => {
    const rig = await openRig()
    await rig.take([ringing('slow'), ringing('waits')])
    const slow = await rig.due('slow', 's')
    await rig.settle('slow', slow)
    await attempt(rig, 19, 'bad')
    await rig.begin('waits', 'w')
    const late = await rig.settle('slow', slow)
    expect([late.kind, keysOf(late.wakes)]).toEqual(['lost', ['waits']])
  })

  test('a probe that is answered with a pause leaves it open for as long', async () => {
    const rig = await openRig()
    await attempt(rig, 20, 'bad')
    await rig.take([ringing('a')])
    rig.now = START_MS + 10_000
    await rig.reopen()
    const pausedUntil = START_MS + 25_000
    await rig.fail('a', 'o', await rig.due('a', 'o'), { due: pausedUntil, pausedUntil })
    expect(await rig.statusOf()).toMatchObject({ breaker: 'open', openUntil: START_MS + 25_000 })
  })

  test('a probe whose process died is followed by another', async () => {
    const rig = await openRig()
    await attempt(rig, 20, 'bad')
    await rig.take([ringing('a'), ringing('b')])
    rig.now = START_MS + 10_000
    await rig.reopen()
    await rig.due('a', 'dead')
    rig.now = START_MS + 15_000
    expect(keysOf((await rig.sweep()).wakes)).toEqual(['a'])
  })

  test('another endpoint’s breaker stays closed', async () => {
    const rig = await openRig({}, ['other'])
    await attempt(rig, 20, 'bad')
    expect((await rig.statusOf('other')).breaker).toBe('closed')
  })
})

describe('failures', () => {
  test('they are counted since the first one after the last success', async () => {
    const rig = await openRig()
    await attempt(rig, 1, 'bad')
    rig.now += 1_000
    await attempt(rig, 2, 'bad')
    expect(await rig.statusOf()).toMatchObject({ failingSince: START_MS, failures: 3 })
    await attempt(rig, 1, 'ok')
    expect(await rig.statusOf()).toEqual({ breaker: 'closed', failures: 0, pending: 3, inFlight: 0 })
    rig.now += 1_000
    await rig.take([ringing('a')])
    const { health } = await rig.fail('a', 'o', await rig.due('a', 'o'), { due: rig.now + 1 })
    expect(health).toEqual({ breaker: 'closed', failingSince: START_MS + 2_000, failures: 1 })
  })

  test('the failures of an owner that was replaced count, since the requests were made', async () => {
    const rig = await openRig()
    await rig.take([ringing('a')])
    const turn = await rig.due('a', 'dead')
    rig.now += 5_000
    await rig.due('a', 'heir')
    await rig.facts()
    expect(await rig.fail('a', 'dead', turn, { due: rig.now + 1 })).toMatchObject({
      kind: 'lost',
      health: { failures: 1, failingSince: START_MS + 5_000 },
    })
    expect((await rig.facts()).map(({ kind }) => kind)).toEqual(['attempted'])
    expect(await rig.begin('a', 'x')).toEqual({ kind: 'busy', until: START_MS + 10_000 })
  })

  test('one caller is told to warn, once until the next success', async () => {
    const rig = await openRig()
    const warn = () => rig.store.markWarned(endpointRef('endpoint'))
    expect(await warn()).toBe(false)
    await attempt(rig, 1, 'bad')
    expect([await warn(), await warn()]).toEqual([true, false])
    await attempt(rig, 1, 'ok')
    expect(await warn()).toBe(false)
    await attempt(rig, 1, 'bad')
    expect(await warn()).toBe(true)
  })

  test('forgetting failures closes the breaker and ends a pause', async () => {
    const rig = await openRig()
    await attempt(rig, 20, 'bad')
    await rig.store.forgetFailures(endpointRef('endpoint'))
    expect(await rig.statusOf()).toEqual({ breaker: 'closed', failures: 0, pending: 20, inFlight: 0 })
  })

  test('an endpoint that has nothing in the store is idle and well', async () => {
    const rig = await openRig()
    const ids = [toEndpointId('unknown'), toEndpointId('endpoint')]
    expect([...(await rig.store.status(ids))]).toEqual([
      ['unknown', { breaker: 'closed', failures: 0, pending: 0, inFlight: 0 }],
      ['endpoint', { breaker: 'closed', failures: 0, pending: 0, inFlight: 0 }],
    ])
  })
})

/** Replays events of the endpoint, each into its lane. */
const replay = (rig: DeliveryRig, specs: readonly (readonly [key: string, offset: number])[], ttlMs = 3_600_000) =>
  rig.store.replay(endpointRef('endpoint'), {
    now: rig.now,
    rules: rig.rules,
    events: specs.map(([orderKey, offset]) => ({
      orderKey,
      event: {
        eventId: eventId(offset),
        type: 'call.held',
        about: { sequence: String(offset), occurredAt: START_MS },
        payload: `{"n":${offset}}`,
      },
      token: formatToken({
        eventId: eventId(offset),
        class: 'state',
        takenAt: rig.now,
        expiresAt: rig.now + ttlMs,
        attemptsBefore: 3,
        isReplay: true,
        sequence: String(offset),
      }),
    })),
  })

describe('replaying', () => {
  test('events go into lanes again in the order given, as far as the backlog has room', async () => {
    const rig = await openRig({ backlogMax: 4 })
    rig.rules = { ...RULES, slots: 2 }
    await rig.take([ringing('a')])
    await rig.facts()
    const first = await replay(rig, [
      ['replay:x', 11],
      ['replay:x', 12],
      ['replay:y', 13],
      ['replay:z', 14],
    ])
    expect([first?.taken, keysOf(first?.wakes ?? [])]).toEqual([3, ['replay:x']])
    expect(await rig.pendingIn('replay:x')).toEqual([11, 12])
    expect(await rig.pendingIn('replay:z')).toEqual([])
    expect(await rig.facts()).toEqual(
      [11, 12, 13].map((offset) => ({
        kind: 'replayed',
        factId: expect.any(String),
        deliveryId: deliveryIdOf('endpoint', offset),
        at: START_MS,
        expiresAt: START_MS + 3_600_000,
      })),
    )
    expect((await replay(rig, [['replay:z', 14]]))?.taken).toBe(0)
  })

  test('a replayed event goes on counting, is not superseded, and makes way in time without an end', async () => {
    const rig = await openRig()
    rig.rules = { ...RULES, coalesce: true, orderHoldMs: 4_000 }
    await replay(rig, [
      ['replay:x', 11],
      ['replay:x', 12],
    ])
    const first = await rig.due('replay:x', 'o')
    expect(first).toMatchObject({
      attempts: 0,
      pending: { attemptsBefore: 3, isReplay: true },
      event: { eventId: eventId(11), type: 'call.held', payload: '{"n":11}' },
    })
    expect(await rig.fail('replay:x', 'o', first, { due: rig.now + 60_000 })).toMatchObject({ due: START_MS + 4_000 })
    rig.now += 4_000
    await rig.facts()
    const second = await rig.due('replay:x', 'o')
    const aside = `parked:${eventId(11)}`
    expect(second).toMatchObject({ event: { payload: '{"n":12}' }, skipped: ['11;parked'] })
    expect(keysOf(second.wakes)).toEqual([`${aside} at +60000`])
    expect(await rig.ended()).toEqual({})
    rig.now = START_MS + 60_000
    const again = await rig.due(aside, 'o')
    expect(again).toMatchObject({ attempts: 1, pending: { isReplay: true, isParked: true } })
    await rig.settle(aside, again)
    expect(await rig.ended()).toEqual({ [deliveryIdOf('endpoint', 11)]: 'delivered' })
  })

  test('what is pending as a replay is not replayed once more, until it has come to an end', async () => {
    const rig = await openRig()
    await rig.take([held('a')])
    const [ours, theirs] = [rig, await new DeliveryRig(redis.connect()).open('other')]
    expect(await replay(ours, [['replay:x', 1]])).toMatchObject({ taken: 1, passed: 0 })
    const again: readonly (readonly [string, number])[] = [
      ['replay:x', 1],
      ['replay:x', 2],
    ]
    await theirs.take([held('a')], ['other'])
    expect(await replay(ours, again)).toMatchObject({ taken: 1, passed: 1 })
    expect(await rig.pendingIn('replay:x')).toEqual([1, 2])
    expect(await rig.statusOf()).toMatchObject({ pending: 3 })
    await rig.settle('replay:x', await rig.due('replay:x', 'o'))
    // The live one is pending still, so the event itself is kept.
    expect(await rig.pendingIn('a')).toEqual([1])
    expect(await replay(ours, again)).toMatchObject({ taken: 1, passed: 1 })
    expect(await rig.pendingIn('replay:x')).toEqual([2, 1])
  })

  test('a replayed event expires like any other', async () => {
    const rig = await openRig()
    await replay(rig, [['replay:x', 11]])
    rig.now += 3_600_000
    await rig.facts()
    expect(await rig.sweep()).toMatchObject({ expired: 1 })
    expect(await rig.ended()).toEqual({ [deliveryIdOf('endpoint', 11)]: 'expired' })
  })

  test('an endpoint that was removed meanwhile takes nothing, and nothing is left of the replay', async () => {
    const rig = await openRig()
    await rig.store.remove(endpointRef('endpoint'), rig.now)
    await rig.facts()
    expect(await replay(rig, [['replay:x', 11]])).toBeUndefined()
    expect(await redis.connect().keys('*')).toEqual([])
  })

  test('a replay to a paused endpoint waits, and tells when it may begin', async () => {
    const rig = await openRig()
    await rig.take([ringing('a')])
    await rig.fail('a', 'o', await rig.due('a', 'o'), { due: START_MS + 7_000, pausedUntil: START_MS + 7_000 })
    expect(await replay(rig, [['replay:x', 11]])).toEqual({
      taken: 1,
      passed: 0,
      wakes: [],
      reopenAt: START_MS + 7_000,
    })
    rig.now = START_MS + 7_000
    expect(keysOf((await rig.reopen()).wakes)).toEqual(['replay:x'])
  })
})

describe('removing', () => {
  test('an endpoint is removed with everything that it alone had pending, each event recorded as dropped', async () => {
    const rig = await openRig()
    const entries = Array.from({ length: 2_500 }, (_, i) => ringing(i < 1_500 ? 'long' : `lane-${i % 450}`))
    const { wakes } = await rig.take(entries)
    expect(keysOf(wakes).slice(0, 3)).toEqual(['long', 'lane-150', 'lane-151'])
    await rig.due('lane-150', 'o')
    await rig.fail('lane-151', 'o', await rig.due('lane-151', 'o'), { due: rig.now + 1_000 })
    // Leaves word of what was left out.
    expect((await rig.settle('lane-152', await rig.due('lane-152', 'o'), 'expired')).kind).toBe('more')
    await rig.facts()
    expect(await rig.store.remove(endpointRef('endpoint'), rig.now)).toBe(2_499)
    const facts = await rig.facts()
    expect(facts).toHaveLength(2_499)
    expect(facts.every((fact) => fact.kind === 'ended' && fact.status === 'dropped')).toBe(true)
    await rig.records.release('test')
    expect(await redis.connect().keys('*')).toEqual(['ch:{wh}:records'])
    expect(await redis.connect().xlen('ch:{wh}:records')).toBe(0)
    expect(await rig.begin('lane-150', 'o')).toEqual({ kind: 'idle', wakes: [] })
  })

  test('what another endpoint has of the same events stays', async () => {
    const rig = await openRig({}, ['other'])
    await rig.take([ringing('a')], ['endpoint', 'other'])
    await rig.store.remove(endpointRef('endpoint'), rig.now)
    expect((await rig.due('a', 'o', { name: 'other' })).event.payload).toBe('{"n":1}')
    expect(await rig.store.apps()).toEqual([appId])
    expect([...(await rig.store.cursors(appId)).keys()]).toEqual(['other'])
  })

  test('an owner that comes back after the removal leaves nothing behind but counts with a time to live', async () => {
    const rig = await openRig()
    await rig.take([ringing('a'), ringing('b')])
    const a = await rig.due('a', 'o')
    const b = await rig.due('b', 'p')
    await rig.store.remove(endpointRef('endpoint'), rig.now)
    expect((await rig.settle('a', a)).kind).toBe('lost')
    expect((await rig.fail('b', 'p', b, { due: rig.now + 1 })).kind).toBe('lost')
    await rig.store.renew([{ lane: lane('b'), owner: 'p' }], rig.now)
    expect(await rig.begin('b', 'p', { fresh: false })).toEqual({ kind: 'lost' })
    const client = redis.connect()
    expect((await client.keys('*')).toSorted()).toEqual(['ch:{wh}:gate:endpoint', 'ch:{wh}:records'])
    expect(await client.pttl('ch:{wh}:gate:endpoint')).toBeGreaterThan(0)
    // It has no lanes, so the next removal takes the rest.
    await rig.store.remove(endpointRef('endpoint'), rig.now)
    expect(await client.keys('*')).toEqual(['ch:{wh}:records'])
  })
})

describe('bounds', () => {
  test('the list of lanes lives at least as long as the event appended last', async () => {
    const rig = await openRig()
    const client = redis.connect()
    await rig.take([ringing('a')])
    await client.pexpire('ch:{wh}:lanes:endpoint', 60_000)
    await client.pexpire('ch:{wh}:expiring:endpoint', 60_000)
    await rig.take([ringing('a')])
    expect(await client.pttl('ch:{wh}:lanes:endpoint')).toBeGreaterThan(60_000)
    expect(await client.pttl('ch:{wh}:expiring:endpoint')).toBeGreaterThan(60_000)
  })

  test('beyond their length the records only count what they leave out', async () => {
    const rig = await openRig({ recordsMax: 3 })
    await rig.take(manyLanes(5))
    const claimed = await rig.records.claim('r', 100)
    expect([claimed?.facts.length, claimed?.lost]).toEqual([3, 2])
    await rig.records.release('r', { last: claimed?.last, told: claimed?.lost ?? 0 })
    expect(await rig.records.claim('r', 100)).toMatchObject({ facts: [], lost: 0 })
  })

  test('what was left out of a lane is forgotten some hours after the lane is empty', async () => {
    const rig = await openRig()
    await rig.take([ringing('a'), ringing('b'), ringing('c')])
    await rig.settle('b', await rig.due('b', 'o'), 'expired')
    rig.now += 30_000
    await rig.begin('a', 'o')
    await rig.sweep()
    const ttlsMs = await Promise.all(
      ['a', 'b', 'c'].map((key) => redis.connect().pttl(`ch:{wh}:skipped:endpoint:${key}`)),
    )
    expect(ttlsMs.map((ttlMs) => Math.ceil(ttlMs / 3_600_000))).toEqual([6, 6, 6])
    await rig.take([released('a')])
    expect((await rig.due('a', 'o')).skipped).toEqual(['1;expired'])
  })
})
