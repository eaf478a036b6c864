import { describe, expect, test } from 'vitest'
import {
  RULES,
  START_MS,
  attemptLanes,
  endpointRef,
  keysOf,
  lane,
  manyLanes,
  released,
  ringing,
} from '../../test/support/delivery-rig.ts'
import { useDeliveryRigs } from '../../test/support/use-delivery-rigs.ts'

const { openRig } = useDeliveryRigs()

describe('rate limit', () => {
  test('a second’s worth may begin at once, then one per interval; those that wait are told when', async () => {
    const rig = await openRig()
    rig.rules = { ...RULES, ratePerSecond: 4 }
    const { wakes, reopens } = await rig.take(manyLanes(6))
    expect(keysOf(wakes)).toEqual(['lane-1', 'lane-2', 'lane-3', 'lane-4'])
    expect(reopens).toEqual([{ endpoint: endpointRef('endpoint'), at: START_MS + 250 }])
    const turns = []
    for (const key of keysOf(wakes)) turns.push(await rig.due(key, `owner-${key}`))
    expect(await rig.settle('lane-1', turns[0]!)).toMatchObject({
      kind: 'idle',
      wakes: [],
      begun: [],
      reopenAt: START_MS + 250,
    })
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
    await attemptLanes(rig, 20, 'bad')
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
