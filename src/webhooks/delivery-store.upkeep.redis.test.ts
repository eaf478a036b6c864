import { describe, expect, test } from 'vitest'
import {
  RULES,
  START_MS,
  deliveryIdOf,
  keysOf,
  lane,
  manyLanes,
  held,
  released,
  ringing,
} from '../../test/support/delivery-rig.ts'
import { useDeliveryRigs } from '../../test/support/use-delivery-rigs.ts'

const { redis, openRig } = useDeliveryRigs()

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
