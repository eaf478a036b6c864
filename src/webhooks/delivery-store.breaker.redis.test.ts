import { describe, expect, test } from 'vitest'
import { RULES, START_MS, attemptLanes, endpointRef, keysOf, lane, ringing } from '../../test/support/delivery-rig.ts'
import { useDeliveryRigs } from '../../test/support/use-delivery-rigs.ts'
import { toEndpointId } from '../core/ids.ts'

const { openRig } = useDeliveryRigs()

describe('breaker', () => {
  test('it opens with the 20th request if 70 % have failed, not with the 19th', async () => {
    const rig = await openRig()
    await attemptLanes(rig, 6, 'ok')
    await attemptLanes(rig, 13, 'bad')
    expect((await rig.statusOf()).breaker).toBe('closed')
    await attemptLanes(rig, 1, 'bad')
    expect(await rig.statusOf()).toMatchObject({ breaker: 'open', openUntil: START_MS + 10_000 })
    const { wakes, reopens } = await rig.take([ringing('a')])
    expect([wakes, reopens]).toEqual([[], [{ endpoint: endpointRef('endpoint'), at: START_MS + 10_000 }]])
    expect(await rig.begin('a', 'o')).toEqual({ kind: 'waiting', wakes: [], reopenAt: START_MS + 10_000 })
  })

  test('nothing but failure opens it not before the 20th', async () => {
    const rig = await openRig()
    await attemptLanes(rig, 19, 'bad')
    expect((await rig.statusOf()).breaker).toBe('closed')
    await attemptLanes(rig, 1, 'bad')
    expect((await rig.statusOf()).breaker).toBe('open')
  })

  test('it stays closed at 69 of 100', async () => {
    const rig = await openRig()
    await attemptLanes(rig, 31, 'ok')
    await attemptLanes(rig, 69, 'bad')
    expect((await rig.statusOf()).breaker).toBe('closed')
    // 73 of 104 are more than 70 %, 72 of 103 are less.
    await attemptLanes(rig, 3, 'bad')
    expect((await rig.statusOf()).breaker).toBe('closed')
    await attemptLanes(rig, 1, 'bad')
    expect((await rig.statusOf()).breaker).toBe('open')
  })

  test('failures count for at least 30 and less than 60 seconds', async () => {
    const rig = await openRig()
    await attemptLanes(rig, 10, 'bad')
    rig.now = START_MS + 29_999
    await attemptLanes(rig, 5, 'bad')
    rig.now = START_MS + 59_998
    await attemptLanes(rig, 4, 'bad')
    expect((await rig.statusOf()).breaker).toBe('closed')
    await attemptLanes(rig, 1, 'bad')
    expect((await rig.statusOf()).breaker).toBe('open')
  })

  test('failures before the last minute are forgotten', async () => {
    const rig = await openRig()
    await attemptLanes(rig, 19, 'bad')
    rig.now = START_MS + 60_000
    await attemptLanes(rig, 19, 'bad')
    expect((await rig.statusOf()).breaker).toBe('closed')
  })

  test('an endpoint that hangs after it was well opens it as soon as ten requests in a row have timed out', async () => {
    const rig = await openRig()
    await attemptLanes(rig, 500, 'ok')
    for (let n = 1; n <= 9; n += 1) {
      rig.now += 500
      await attemptLanes(rig, 1, 'bad', 5_000)
    }
    expect((await rig.statusOf()).breaker).toBe('closed')
    rig.now += 500
    await attemptLanes(rig, 1, 'bad', 5_000)
    expect(await rig.statusOf()).toMatchObject({ breaker: 'open', openUntil: START_MS + 15_000 })
  })

  test('an endpoint that refuses after it was well opens it when nothing else has come for three seconds', async () => {
    const rig = await openRig()
    await attemptLanes(rig, 500, 'ok')
    await attemptLanes(rig, 50, 'bad', 0)
    rig.now += 2_999
    await attemptLanes(rig, 1, 'bad', 0)
    expect((await rig.statusOf()).breaker).toBe('closed')
    rig.now += 1
    await attemptLanes(rig, 1, 'bad', 0)
    expect((await rig.statusOf()).breaker).toBe('open')
  })

  test('a blip does not open it: however many fail together, and one success ends the row', async () => {
    const rig = await openRig()
    await attemptLanes(rig, 500, 'ok')
    await attemptLanes(rig, 100, 'bad')
    expect((await rig.statusOf()).breaker).toBe('closed')
    rig.now += 2_000
    await attemptLanes(rig, 9, 'bad')
    await attemptLanes(rig, 1, 'ok')
    rig.now += 2_000
    await attemptLanes(rig, 9, 'bad')
    rig.now += 2_000
    expect((await rig.statusOf()).breaker).toBe('closed')
    await attemptLanes(rig, 1, 'bad')
    expect((await rig.statusOf()).breaker).toBe('closed')
    rig.now += 1_000
    await attemptLanes(rig, 1, 'bad')
    expect((await rig.statusOf()).breaker).toBe('open')
  })

  test('failures more than ten seconds apart are no row', async () => {
    const rig = await openRig()
    await attemptLanes(rig, 9, 'bad')
    rig.now += 10_001
    await attemptLanes(rig, 9, 'bad')
    expect((await rig.statusOf()).breaker).toBe('closed')
    rig.now += 10_000
    await attemptLanes(rig, 1, 'bad')
    expect((await rig.statusOf()).breaker).toBe('open')
  })

  test('half-open it lets one probe through; a failure opens it for ten seconds more', async () => {
    const rig = await openRig()
    await attemptLanes(rig, 20, 'bad')
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
    await attemptLanes(rig, 20, 'bad')
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
    await attemptLanes(rig, 20, 'bad')
    expect(await rig.begin('waits', 'w')).toMatchObject({ kind: 'waiting' })
    expect(keysOf((await rig.settle('slow', slow)).wakes)).toEqual(['waits'])
    expect((await rig.statusOf()).breaker).toBe('closed')
  })

  test('a success that comes too late for its lane still closes it', async () => {
    const rig = await openRig()
    await rig.take([ringing('slow'), ringing('waits')])
    const slow = await rig.due('slow', 's')
    await rig.settle('slow', slow)
    await attemptLanes(rig, 19, 'bad')
    await rig.begin('waits', 'w')
    const late = await rig.settle('slow', slow)
    expect([late.kind, keysOf(late.wakes)]).toEqual(['lost', ['waits']])
  })

  test('a probe that is answered with a pause leaves it open for as long', async () => {
    const rig = await openRig()
    await attemptLanes(rig, 20, 'bad')
    await rig.take([ringing('a')])
    rig.now = START_MS + 10_000
    await rig.reopen()
    const pausedUntil = START_MS + 25_000
    await rig.fail('a', 'o', await rig.due('a', 'o'), { due: pausedUntil, pausedUntil })
    expect(await rig.statusOf()).toMatchObject({ breaker: 'open', openUntil: START_MS + 25_000 })
  })

  test('a probe whose process died is followed by another', async () => {
    const rig = await openRig()
    await attemptLanes(rig, 20, 'bad')
    await rig.take([ringing('a'), ringing('b')])
    rig.now = START_MS + 10_000
    await rig.reopen()
    await rig.due('a', 'dead')
    rig.now = START_MS + 15_000
    expect(keysOf((await rig.sweep()).wakes)).toEqual(['a'])
  })

  test('another endpoint’s breaker stays closed', async () => {
    const rig = await openRig({}, ['other'])
    await attemptLanes(rig, 20, 'bad')
    expect((await rig.statusOf('other')).breaker).toBe('closed')
  })
})

describe('failures', () => {
  test('they are counted since the first one after the last success', async () => {
    const rig = await openRig()
    await attemptLanes(rig, 1, 'bad')
    rig.now += 1_000
    await attemptLanes(rig, 2, 'bad')
    expect(await rig.statusOf()).toMatchObject({ failingSince: START_MS, failures: 3 })
    await attemptLanes(rig, 1, 'ok')
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
    await attemptLanes(rig, 1, 'bad')
    expect([await warn(), await warn()]).toEqual([true, false])
    await attemptLanes(rig, 1, 'ok')
    expect(await warn()).toBe(false)
    await attemptLanes(rig, 1, 'bad')
    expect(await warn()).toBe(true)
  })

  test('forgetting failures closes the breaker and ends a pause', async () => {
    const rig = await openRig()
    await attemptLanes(rig, 20, 'bad')
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
