import { expect, test } from 'vitest'
import { silentLogger } from '../core/logger.ts'
import { IntakeBrake } from './intake-brake.ts'

const START_MS = 1_700_000_000_000

/** A brake whose time passes only when it waits; the records are behind for the first `behind` looks. */
function createBrake(behind: number) {
  const seen = { now: START_MS, looks: 0 }
  const brake = new IntakeBrake({
    store: {
      recordsAreBehind: () => {
        seen.looks += 1
        return seen.looks > behind ? Promise.resolve(false) : Promise.resolve(true)
      },
    },
    clock: {
      now: () => seen.now,
      wait: (ms) => {
        seen.now += ms
        return Promise.resolve()
      },
    },
    log: silentLogger,
  })
  return { brake, seen }
}

const never = new AbortController().signal

test('nothing waits before records were behind', async () => {
  const { brake, seen } = createBrake(1_000)
  brake.note(false)
  await brake.release(START_MS, never)
  expect(seen).toEqual({ now: START_MS, looks: 0 })
})

test('it waits until the records have caught up, and then no more', async () => {
  const { brake, seen } = createBrake(3)
  brake.note(true)
  await brake.release(START_MS, never)
  expect(seen).toEqual({ now: START_MS + 400, looks: 4 })
  await brake.release(START_MS, never)
  expect(seen.looks).toBe(4)
})

test('no event becomes later than five seconds by it', async () => {
  const { brake, seen } = createBrake(1_000)
  brake.note(true)
  await brake.release(START_MS - 3_000, never)
  expect(seen.now).toBe(START_MS + 2_000)
  await brake.release(START_MS - 3_000, never)
  expect(seen.now).toBe(START_MS + 2_000)
})

test('followers of several apps ask once for all', async () => {
  const { brake, seen } = createBrake(3)
  brake.note(true)
  await Promise.all([1, 2, 3, 4, 5].map(() => brake.release(START_MS, never)))
  expect(seen.looks).toBe(4)
})

test('a store that cannot be asked holds up nothing', async () => {
  const brake = new IntakeBrake({
    store: { recordsAreBehind: () => Promise.reject(new Error('away')) },
    clock: { now: () => START_MS, wait: () => Promise.resolve() },
    log: silentLogger,
  })
  brake.note(true)
  await expect(brake.release(START_MS, never)).resolves.toBeUndefined()
})

test('who stops does not wait', async () => {
  const { brake, seen } = createBrake(1_000)
  brake.note(true)
  await brake.release(START_MS, AbortSignal.abort())
  expect(seen.looks).toBe(0)
})
