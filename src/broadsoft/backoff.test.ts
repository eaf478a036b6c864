import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { backoffMs, CHANNEL_BACKOFF } from './backoff.ts'

test('the ceiling doubles from its base to its cap', () => {
  const ceilings = [0, 1, 2, 3, 4, 5, 6, 50].map((failures) => backoffMs(failures, 0.999999, CHANNEL_BACKOFF))
  expect(ceilings).toEqual([499, 999, 1999, 3999, 4999, 4999, 4999, 4999])
})

test('the wait is never shorter than the floor nor longer than the cap', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 10_000 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (failures, random) => {
        const delay = backoffMs(failures, random, CHANNEL_BACKOFF)
        expect(delay).toBeGreaterThanOrEqual(250)
        expect(delay).toBeLessThanOrEqual(5_000)
      },
    ),
  )
})
