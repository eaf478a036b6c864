import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  EPOCH,
  RULES,
  START_MS,
  appId,
  attemptOf,
  deliveryIdOf,
  endpointRef,
  eventId,
  keysOf,
  manyLanes,
  position,
  held,
  released,
  ringing,
} from '../../test/support/delivery-rig.ts'
import { useDeliveryRigs } from '../../test/support/use-delivery-rigs.ts'
import { toEndpointId } from '../core/ids.ts'

const { redis, openRig } = useDeliveryRigs()

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
    expect(await rig.take([ringing('a')])).toMatchObject({ wakes: [], full: [], reopens: [] })
    expect(await rig.store.pending()).toBe(0)
    expect(await rig.facts()).toEqual([])
  })

  test('a batch for an endpoint that was never opened is not taken', async () => {
    const rig = await openRig()
    expect(await rig.take([ringing('a')], ['stranger'])).toMatchObject({ wakes: [], full: [], reopens: [] })
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

  test('it is told where each endpoint is now, and whether somebody else has taken some of it', async () => {
    const rig = await openRig({}, ['other'])
    const names = ['endpoint', 'stranger']
    const first = await rig.take([ringing('a'), ringing('a')], names)
    expect(first.cursors).toEqual(new Map([['endpoint', { epoch: EPOCH, offset: 2 }]]))
    expect(first.isShared).toBe(false)
    expect((await rig.take([ringing('a')], names)).isShared).toBe(false)
    rig.offset = 2
    const again = await rig.take([ringing('a'), ringing('a')], names)
    expect(again.cursors).toEqual(new Map([['endpoint', { epoch: EPOCH, offset: 4 }]]))
    expect(again.isShared).toBe(true)
    expect(await rig.pendingIn('a')).toEqual([1, 2, 3, 4])
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

  test('an attempt and the end that it made are two facts of one entry, also where they are left out', async () => {
    const rig = await openRig({ recordsMax: 3 })
    await rig.take(manyLanes(2))
    for (const key of ['lane-1', 'lane-2']) {
      const turn = await rig.due(key, 'o')
      await rig.settle(key, turn, 'delivered', { attempts: [attemptOf('endpoint', turn, rig.now, 'delivered')] })
    }
    const claimed = await rig.records.claim('r', 100)
    expect(claimed?.facts.map(({ kind }) => kind)).toEqual(['taken', 'taken', 'attempted', 'ended'])
    expect(claimed?.lost).toBe(2)
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
