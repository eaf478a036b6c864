import { describe, expect, test } from 'vitest'
import {
  EPOCH,
  RULES,
  START_MS,
  deliveryIdOf,
  eventId,
  keysOf,
  held,
  released,
  ringing,
} from '../../test/support/delivery-rig.ts'
import { useDeliveryRigs } from '../../test/support/use-delivery-rigs.ts'

const { redis, openRig } = useDeliveryRigs()

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
