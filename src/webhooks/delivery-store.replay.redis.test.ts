import { describe, expect, test } from 'vitest'
import {
  DeliveryRig,
  RULES,
  START_MS,
  deliveryIdOf,
  endpointRef,
  eventId,
  keysOf,
  held,
  ringing,
} from '../../test/support/delivery-rig.ts'
import { useDeliveryRigs } from '../../test/support/use-delivery-rigs.ts'
import { formatToken } from './delivery.ts'

const { redis, openRig } = useDeliveryRigs()

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
