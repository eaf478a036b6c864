import { expect, test } from 'vitest'
import { DeliveryRig, RULES, START_MS, endpointRef, eventId, keysOf, lane } from '../../test/support/delivery-rig.ts'
import { useEmptyRedis } from '../../test/support/use-redis.ts'
import { formatToken } from './delivery.ts'

const redis = useEmptyRedis()

const openRig = async (slots: number) => {
  const rig = await new DeliveryRig(redis.connect()).open('endpoint')
  rig.rules = { ...RULES, slots }
  return rig
}

const many = (type: string, name: string, count: number) =>
  Array.from({ length: count }, (_, i) => ({ key: `${name}-${i + 1}`, type }))

/** Delivers in a lane; resolves with the lanes that are handed a slot for it. */
const deliver = async (rig: DeliveryRig, key: string): Promise<readonly string[]> =>
  keysOf((await rig.settle(key, await rig.due(key, 'o'))).wakes)

/** Delivers one lane after the other, each with the slot of the one before; resolves with their order keys. */
async function deliverAll(rig: DeliveryRig, first: string, count: number): Promise<readonly string[]> {
  const order: string[] = []
  let key: string | undefined = first
  for (let i = 0; i < count && key !== undefined; i += 1) {
    const next: readonly string[] = await deliver(rig, key)
    order.push(...next)
    key = next[0]
  }
  return order
}

test('of five hundred records that wait, none goes before a ringing phone', async () => {
  const rig = await openRig(10)
  await rig.take(many('call.released', 'record', 500))
  rig.now += 1_000
  await rig.take([{ key: 'phone', type: 'call.ringing' }])
  expect(await deliver(rig, 'record-1')).toEqual(['phone'])
})

test('what somebody must act on goes before states, and states before records, each by age', async () => {
  const rig = await openRig(1)
  await rig.take([{ key: 'busy' }])
  for (const [key, type] of [
    ['r1', 'call.released'],
    ['s1', 'call.held'],
    ['a1', 'call.ringing'],
    ['a2', 'call.ringing'],
    ['s2', 'call.held'],
  ] as const) {
    rig.now += 1
    await rig.take([{ key, type }])
  }
  // The fourth slot is kept for a state anyway.
  expect(await deliverAll(rig, 'busy', 5)).toEqual(['a1', 'a2', 's1', 's2', 'r1'])
})

test('one slot in eight goes to the oldest record and one to the oldest state, however often phones ring', async () => {
  const rig = await openRig(1)
  await rig.take([{ key: 'busy' }])
  await rig.take(many('call.released', 'record', 10))
  await rig.take(many('call.held', 'state', 10))
  rig.now += 1
  await rig.take(many('call.ringing', 'phone', 30))
  const order = await deliverAll(rig, 'busy', 24)
  expect(order.filter((key) => key.startsWith('phone'))).toHaveLength(18)
  expect([order[3], order[11], order[19]]).toEqual(['state-1', 'state-10', 'state-2'])
  expect([order[7], order[15], order[23]]).toEqual(['record-1', 'record-10', 'record-2'])
})

test('a share that nobody needs goes to the next in line', async () => {
  const rig = await openRig(1)
  await rig.take([{ key: 'busy' }, ...many('call.ringing', 'phone', 9)])
  expect(await deliverAll(rig, 'busy', 9)).toHaveLength(9)
})

test('a replay waits as records do, whatever it is of', async () => {
  const rig = await openRig(1)
  await rig.take([{ key: 'busy' }])
  const token = formatToken({
    eventId: eventId(90),
    class: 'act_now',
    takenAt: rig.now,
    expiresAt: rig.now + 3_600_000,
    attemptsBefore: 1,
    isReplay: true,
    sequence: '90',
  })
  const event = { eventId: eventId(90), type: 'call.ringing', about: { occurredAt: START_MS }, payload: '{}' }
  const { now, rules } = rig
  await rig.store.replay(endpointRef('endpoint'), { now, rules, events: [{ event, orderKey: 'replay:x', token }] })
  rig.now += 1
  await rig.take([{ key: 'held', type: 'call.held' }])
  expect(await deliverAll(rig, 'busy', 2)).toEqual(['held', 'replay:x'])
})

test('a lane whose first event expires while it waits goes on by the class of the next', async () => {
  const rig = await openRig(1)
  await rig.take([{ key: 'busy', type: 'call.released' }])
  await rig.take([
    { key: 'mixed', type: 'call.ringing', ttlMs: 1_000 },
    { key: 'mixed', type: 'call.released' },
  ])
  rig.now += 500
  await rig.take([{ key: 'held', type: 'call.held' }])
  const turn = await rig.due('busy', 'o')
  rig.now += 500
  await rig.store.renew([{ lane: lane('busy'), owner: 'o' }], rig.now)
  expect(await rig.sweep()).toMatchObject({ expired: 1, wakes: [] })
  expect(keysOf((await rig.settle('busy', turn)).wakes)).toEqual(['held'])
})

test('a sweep tells for each class since when the oldest waits', async () => {
  const rig = await openRig(1)
  await rig.take([{ key: 'busy' }])
  expect((await rig.sweep()).waitingSince).toEqual({})
  rig.now += 10
  await rig.take([{ key: 'r1', type: 'call.released' }])
  rig.now += 10
  await rig.take([
    { key: 'r2', type: 'call.released' },
    { key: 'a1', type: 'call.ringing' },
  ])
  expect((await rig.sweep()).waitingSince).toEqual({ act_now: START_MS + 20, record: START_MS + 10 })
})
