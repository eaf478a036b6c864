import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { nextAttemptAt, RETRY_SCHEDULE } from './retry-schedule.ts'

const HOUR = 3_600_000
const at = (failed: number, random: number, extra: { now?: number; notBefore?: number } = {}) =>
  nextAttemptAt(RETRY_SCHEDULE, { failed, acceptedAt: 0, now: 0, random: () => random, ...extra })

test('the first retry comes after a quarter to half a second', () => {
  expect(at(1, 0)).toBe(250)
  expect(at(1, 0.999_999)).toBe(500)
})

test('waits grow to hours and stay there', () => {
  expect(at(7, 0.999_999)).toBe(60_000)
  expect(at(16, 0)).toBe(6 * HOUR)
  expect(at(100, 0)).toBe(6 * HOUR)
})

test('a Retry-After later than the schedule is waited for, an earlier one changes nothing', () => {
  expect(at(1, 0, { notBefore: 90_000 })).toBe(90_000)
  expect(at(1, 0, { notBefore: 100 })).toBe(250)
})

test('the last attempt is at 72 hours, after which the event is given up', () => {
  expect(at(18, 0.5, { now: 71 * HOUR })).toBe(72 * HOUR)
  expect(at(18, 0.5, { now: 1, notBefore: 100 * HOUR })).toBe(72 * HOUR)
  expect(at(19, 0.5, { now: 72 * HOUR })).toBeUndefined()
})

test('every wait is within half and full, unless the horizon cuts it', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 40 }),
      fc.double({ min: 0, max: 0.999_999_999, noNaN: true }),
      fc.integer({ min: 0, max: 72 * HOUR - 1 }),
      (failed, random, now) => {
        const full = RETRY_SCHEDULE.delaysMs[Math.min(failed, RETRY_SCHEDULE.delaysMs.length) - 1] ?? 0
        const due = at(failed, random, { now }) ?? 0
        expect(due).toBeLessThanOrEqual(Math.min(now + full, 72 * HOUR))
        expect(due).toBeGreaterThanOrEqual(Math.min(now + full / 2, 72 * HOUR))
      },
    ),
  )
})
