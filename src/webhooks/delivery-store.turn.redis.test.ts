import { describe, expect, test } from 'vitest'
import {
  EPOCH,
  RULES,
  START_MS,
  attemptOf,
  deliveryIdOf,
  eventId,
  keysOf,
  lane,
  held,
  released,
  ringing,
} from '../../test/support/delivery-rig.ts'
import { useDeliveryRigs } from '../../test/support/use-delivery-rigs.ts'

const { redis, openRig } = useDeliveryRigs()

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
    expect(await rig.settle('a', first)).toEqual({ kind: 'more', wakes: [], begun: [] })
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

describe('turns that nobody has to ask for', () => {
  test('as many lanes as there is room for are begun for who takes the events, the others are woken', async () => {
    const rig = await openRig()
    const { begun, wakes } = await rig.take([held('a'), held('b'), held('c'), held('a')], ['endpoint'], 2)
    expect(begun.map(({ lane: { orderKey }, turn }) => [orderKey, turn])).toMatchObject([
      ['a', { kind: 'due', event: { payload: '{"n":1}', type: 'call.held' }, attempts: 0, skipped: [] }],
      ['b', { kind: 'due', event: { payload: '{"n":2}' } }],
    ])
    expect(new Set(begun.map(({ owner }) => owner)).size).toBe(2)
    expect(keysOf(wakes)).toEqual(['c'])
    expect(await rig.statusOf()).toMatchObject({ inFlight: 3, pending: 4 })
  })

  test('its owner goes on with such a lane, and nobody else does', async () => {
    const rig = await openRig()
    const { begun } = await rig.take([held('a'), held('a')], ['endpoint'], 5)
    const [{ owner, turn } = { owner: '', turn: undefined }] = begun
    expect(await rig.begin('a', 'other')).toEqual({ kind: 'busy', until: START_MS + 5_000 })
    if (turn?.kind !== 'due') throw new Error(turn?.kind)
    expect((await rig.settle('a', turn, 'delivered', { owner })).turn).toMatchObject({
      kind: 'due',
      event: { payload: '{"n":2}' },
    })
  })

  test('what has expired in the log is recorded as taken and as expired, in this order, and counted down', async () => {
    const rig = await openRig()
    const { begun } = await rig.take([{ ...held('a'), ttlMs: -1 }], ['endpoint'], 5)
    expect(begun.map(({ turn }) => turn.kind)).toEqual(['idle'])
    expect((await rig.facts()).map(({ kind }) => kind)).toEqual(['taken', 'ended'])
    expect(await rig.statusOf()).toMatchObject({ inFlight: 0, pending: 0 })
  })

  test('the slot of a lane that is empty goes to the one that waits, begun for the heir', async () => {
    const rig = await openRig()
    rig.rules = { ...RULES, slots: 1 }
    await rig.take([ringing('a'), ringing('b'), ringing('c')])
    const first = await rig.due('a', 'o')
    const settled = await rig.settle('a', first, 'delivered', { owner: 'o', heir: 'h' })
    expect(settled).toMatchObject({ kind: 'idle', wakes: [] })
    expect(settled.begun).toMatchObject([
      { lane: lane('b'), owner: 'h', turn: { kind: 'due', event: { payload: '{"n":2}' } } },
    ])
    const [{ turn } = { turn: undefined }] = settled.begun
    if (turn?.kind !== 'due') throw new Error(turn?.kind)
    // Without an heir it is woken up.
    const last = await rig.settle('b', turn)
    expect([keysOf(last.wakes), last.begun]).toEqual([['c'], []])
  })
})
