import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { retryDelayMs } from './retry-delay.ts'

test.each([
  [1, 0.5, 500],
  [2, 0.5, 1_000],
  [5, 0.5, 8_000],
  [20, 0.5, 300_000],
  [1, 0, 250],
])('after %i failures and a random of %f it is %i ms', (failures, random, expected) => {
  expect(retryDelayMs(failures, random)).toBe(expected)
})

test('a provider is never asked sooner than it wants, but within an hour', () => {
  expect(retryDelayMs(1, 0.5, 7_000)).toBe(7_000)
  expect(retryDelayMs(1, 0.5, 86_400_000)).toBe(3_600_000)
})

test('it is always bounded', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 1_000_000 }),
      fc.double({ min: 0, max: 0.999_999, noNaN: true }),
      (n, random) => {
        const delay = retryDelayMs(n, random)
        expect(delay).toBeGreaterThanOrEqual(250)
        expect(delay).toBeLessThanOrEqual(600_000)
      },
    ),
  )
})
