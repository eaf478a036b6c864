import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { systemClock } from './clock.ts'
import { Waker } from './waker.ts'

const never = new AbortController().signal
const timed = async (work: Promise<void>): Promise<number> => {
  const startedAt = performance.now()
  await work
  return performance.now() - startedAt
}

test('without a wake-up the wait takes its time', async () => {
  expect(await timed(new Waker(systemClock).wait(50, never))).toBeGreaterThanOrEqual(49)
})

test('a wake-up ends the wait', async () => {
  const waker = new Waker(systemClock)
  const waiting = timed(waker.wait(10_000, never))
  waker.wake()
  expect(await waiting).toBeLessThan(1_000)
})

test('a wake-up before the wait ends that wait, and only that one', async () => {
  const waker = new Waker(systemClock)
  waker.wake()
  waker.wake()
  expect(await timed(waker.wait(10_000, never))).toBeLessThan(1_000)
  expect(await timed(waker.wait(50, never))).toBeGreaterThanOrEqual(49)
})

test('an abort before or during the wait ends it', async () => {
  const waker = new Waker(systemClock)
  const aborting = new AbortController()
  const waiting = timed(waker.wait(10_000, aborting.signal))
  aborting.abort()
  expect(await waiting).toBeLessThan(1_000)
  expect(await timed(waker.wait(10_000, aborting.signal))).toBeLessThan(1_000)
})

test('waits leave no listener behind, however they end', async () => {
  const { signal } = new AbortController()
  const waker = new Waker(systemClock)
  await waker.wait(1, signal)
  const waiting = waker.wait(10_000, signal)
  waker.wake()
  await waiting
  expect(getEventListeners(signal, 'abort')).toEqual([])
})
