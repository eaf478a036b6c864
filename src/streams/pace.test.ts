import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Pace } from './pace.ts'

/** A pace whose time goes on only by the work that is done. */
function open() {
  const time = { now: 0 }
  return { time, pace: new Pace({ monotonic: () => time.now }) }
}

test('a little work does not wait for a turn of the event loop', async () => {
  const { pace } = open()
  let hasTurned = false
  setImmediate(() => (hasTurned = true))
  for (let piece = 0; piece < 5; piece += 1) await pace.turn()
  expect(hasTurned).toBe(false)
})

// All that a piece does before it waits for something counts, however many promises are in between.
test.for([0, 20])(
  'much work, each of %i promises, is done in order, a little in each turn of the event loop',
  async (promises) => {
    const { time, pace } = open()
    const done: number[] = []
    const work = async (piece: number): Promise<void> => {
      await pace.turn()
      for (let left = promises; left > 0; left -= 1) await Promise.resolve()
      time.now += 1
      done.push(piece)
    }
    const all = Promise.all(Array.from({ length: 100 }, (_, piece) => work(piece)))
    const perTurn: number[] = []
    while (done.length < 100) {
      const before = done.length
      await nextTurn()
      perTurn.push(done.length - before)
    }
    await all
    expect(done).toEqual(Array.from({ length: 100 }, (_, piece) => piece))
    expect(Math.max(...perTurn)).toBeLessThanOrEqual(12)
  },
)

test('work that asks again waits behind the others, so that none has to wait for all of another’s', async () => {
  const { time, pace } = open()
  const done: string[] = []
  const work = async (name: string): Promise<void> => {
    for (let piece = 1; piece <= 10; piece += 1) {
      await pace.turn()
      time.now += 2
      done.push(name)
    }
  }
  await Promise.all(['a', 'b', 'c'].map(work))
  const leads = done.map((_, index) => {
    const counts = ['a', 'b', 'c'].map((name) => done.slice(0, index + 1).filter((each) => each === name).length)
    return Math.max(...counts) - Math.min(...counts)
  })
  expect(Math.max(...leads)).toBeLessThanOrEqual(2)
})

test('after a rest it is as at the beginning', async () => {
  const { time, pace } = open()
  await pace.turn()
  time.now += 100
  await pace.turn()
  await nextTurn()
  await nextTurn()
  let hasTurned = false
  setImmediate(() => (hasTurned = true))
  await pace.turn()
  expect(hasTurned).toBe(false)
})

test('it says how much waits', async () => {
  const { time, pace } = open()
  const all = Array.from({ length: 50 }, async () => {
    await pace.turn()
    time.now += 1
  })
  expect(pace.waiting).toBeGreaterThan(30)
  await Promise.all(all)
  expect(pace.waiting).toBe(0)
})

test('a turn that is over when it begins still lets one in', async () => {
  let now = 0
  const pace = new Pace({ monotonic: () => (now += 10) })
  const done: number[] = []
  const work = async (piece: number): Promise<void> => {
    await pace.turn()
    done.push(piece)
  }
  await Promise.all(Array.from({ length: 50 }, (_, piece) => work(piece)))
  expect(done).toEqual(Array.from({ length: 50 }, (_, piece) => piece))
})
