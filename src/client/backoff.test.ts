import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { Backoff } from './backoff.ts'

const TIMES = { minMs: 500, maxMs: 30_000, stableMs: 10_000 }
const always = (value: number) => new Backoff({ ...TIMES, random: () => value })

test('the bound doubles with each failure in a row, up to the longest wait', () => {
  const backoff = always(0.5)
  const waits = Array.from({ length: 9 }, () => backoff.next({ livedMs: 0 }))
  expect(waits).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000])
})

test('a connection that lived is a success, one that ended at once is none', () => {
  const backoff = always(0.5)
  backoff.next({ livedMs: 0 })
  expect(backoff.next({ livedMs: 9_999 })).toBe(500)
  expect(backoff.next({ livedMs: 10_000 })).toBe(250)
})

test('what the gateway asks for is waited for', () => {
  expect(always(0.5).next({ livedMs: 60_000, retryAfterMs: 7_000 })).toBe(7_000)
  expect(always(0.9).next({ livedMs: 60_000, retryAfterMs: 100 })).toBe(450)
})

test('no wait is negative, or longer than the longest, or than what was asked for', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(20_000), fc.nat(60_000)), { maxLength: 2_000 }),
      fc.double({ min: 0, max: 0.999_999, noNaN: true }),
      (endings, value) => {
        const backoff = always(value)
        for (const [livedMs, retryAfterMs] of endings) {
          const waitMs = backoff.next({ livedMs, retryAfterMs })
          expect(waitMs).toBeGreaterThanOrEqual(retryAfterMs)
          expect(waitMs).toBeLessThanOrEqual(Math.max(retryAfterMs, 30_000))
        }
      },
    ),
    { numRuns: 50 },
  )
})
