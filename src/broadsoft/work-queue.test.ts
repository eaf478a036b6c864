import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { systemClock } from '../core/clock.ts'
import { WorkQueue } from './work-queue.ts'

const fast = { clock: systemClock, concurrency: 4, perSecond: 100_000 }

test('keys are worked on in order of their due time, whatever the order they were put in', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(fc.integer({ min: 0, max: 500 }), { minLength: 1, maxLength: 40 }),
      async (delays) => {
        let now = 0
        const clock = {
          now: () => now,
          monotonic: () => now,
          wait: async (ms: number, signal: AbortSignal) => {
            signal.throwIfAborted()
            now += ms
            await Promise.resolve()
          },
        }
        const queue = new WorkQueue({ clock, concurrency: 1, perSecond: 1e9 })
        const done: number[] = []
        const stop = new AbortController()
        for (const delay of delays) queue.put(String(delay), delay)
        await queue.run(async (key) => {
          done.push(Number(key))
          if (done.length === delays.length) stop.abort()
        }, stop.signal)
        expect(done).toEqual(delays.toSorted((a, b) => a - b))
      },
    ),
    { numRuns: 50 },
  )
})

test('a key put again while it is being worked on runs again afterwards and never twice at once', async () => {
  const queue = new WorkQueue(fast)
  const stop = new AbortController()
  let runs = 0
  let atOnce = 0
  let atOnceMax = 0
  queue.put('a', 0)
  await queue.run(async () => {
    runs += 1
    atOnce += 1
    atOnceMax = Math.max(atOnceMax, atOnce)
    if (runs < 5) {
      queue.put('a', 0)
      queue.put('a', 0)
    } else stop.abort()
    await new Promise(setImmediate)
    atOnce -= 1
  }, stop.signal)
  expect({ runs, atOnceMax }).toEqual({ runs: 5, atOnceMax: 1 })
})

test('a later put replaces the time, putEarlier keeps the earlier one, a removed key never runs', async () => {
  const queue = new WorkQueue(fast)
  const stop = new AbortController()
  const done: string[] = []
  queue.put('moved', 0)
  queue.put('moved', 3_600_000)
  queue.put('kept', 20)
  queue.putEarlier('kept', 3_600_000)
  queue.put('removed', 0)
  queue.remove('removed')
  await queue.run(async (key) => {
    done.push(key)
    stop.abort()
  }, stop.signal)
  expect(done).toEqual(['kept'])
  expect(queue.size).toBe(1)
})

test('no more keys run at once than allowed', async () => {
  const queue = new WorkQueue({ ...fast, concurrency: 3 })
  const stop = new AbortController()
  let atOnce = 0
  let atOnceMax = 0
  let runs = 0
  for (let index = 0; index < 20; index += 1) queue.put(String(index), 0)
  await queue.run(async () => {
    atOnce += 1
    atOnceMax = Math.max(atOnceMax, atOnce)
    await new Promise(setImmediate)
    atOnce -= 1
    runs += 1
    if (runs === 20) stop.abort()
  }, stop.signal)
  expect({ runs, atOnceMax }).toEqual({ runs: 20, atOnceMax: 3 })
})

test('starts are spaced to the rate', async () => {
  let now = 0
  const starts: number[] = []
  const clock = {
    now: () => now,
    monotonic: () => now,
    wait: async (ms: number) => {
      now += ms
      await Promise.resolve()
    },
  }
  const queue = new WorkQueue({ clock, concurrency: 10, perSecond: 50 })
  const stop = new AbortController()
  for (let index = 0; index < 5; index += 1) queue.put(String(index), 0)
  await queue.run(async () => {
    starts.push(now)
    if (starts.length === 5) stop.abort()
  }, stop.signal)
  expect(starts).toEqual([0, 20, 40, 60, 80])
})
