import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { DEFAULT_POLICIES } from '../core/delivery-policy.ts'
import { nextAttemptAt } from './retry.ts'

const NOW = 1_700_000_000_000
const { act_now: actNow, record } = DEFAULT_POLICIES
const fresh = { now: NOW, expiresAt: NOW + 30_000 }
const lowest = () => 0
const highest = () => 0.999_999_999

test('the first retry of an event that somebody must act on comes within a quarter of a second', () => {
  expect(nextAttemptAt(actNow, { ...fresh, failed: 1, random: lowest })).toBe(NOW + 125)
  expect(nextAttemptAt(actNow, { ...fresh, failed: 1, random: highest })).toBe(NOW + 250)
})

test('each wait follows the schedule, and the last one repeats', () => {
  const waits = [1, 2, 3, 4, 5, 6, 7, 20].map((failed) => {
    const at = nextAttemptAt(actNow, { ...fresh, failed, random: highest })
    return at === undefined ? undefined : at - NOW
  })
  expect(waits).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000])
})

test('a policy without waits retries after a second', () => {
  expect(nextAttemptAt({ delaysMs: [] }, { ...fresh, failed: 1, random: highest })).toBe(NOW + 1_000)
})

test('a retry that jitter puts behind the last moment is brought forward to it', () => {
  const expiresAt = NOW + 7_000
  expect(nextAttemptAt(actNow, { now: NOW, expiresAt, failed: 6, random: highest })).toBe(NOW + 6_500)
  expect(nextAttemptAt(actNow, { now: NOW, expiresAt: NOW + 4_500, failed: 6, random: highest })).toBe(NOW + 4_000)
})

test('half the wait is the least: an event that does not live that long is not tried again', () => {
  expect(nextAttemptAt(actNow, { now: NOW, expiresAt: NOW + 4_499, failed: 6, random: lowest })).toBeUndefined()
  expect(nextAttemptAt(actNow, { now: NOW, expiresAt: NOW, failed: 1, random: lowest })).toBeUndefined()
})

test('what the receiver asks for is honoured to the last moment, and beyond it there is no retry', () => {
  const options = { ...fresh, failed: 1, random: highest }
  expect(nextAttemptAt(actNow, { ...options, notBefore: NOW + 12_345 })).toBe(NOW + 12_345)
  expect(nextAttemptAt(actNow, { ...options, notBefore: NOW + 29_500 })).toBe(NOW + 29_500)
  expect(nextAttemptAt(actNow, { ...options, notBefore: NOW + 29_501 })).toBeUndefined()
  // Shorter than the schedule: it changes nothing.
  expect(nextAttemptAt(actNow, { ...options, notBefore: NOW + 10 })).toBe(NOW + 250)
})

test('each retry is between half and full wait, honours the receiver, and leaves the event half a second', () => {
  const options = fc.record({
    failed: fc.integer({ min: 1, max: 30 }),
    lifeMs: fc.integer({ min: 0, max: 72 * 3_600_000 }),
    random: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    notBefore: fc.option(fc.integer({ min: NOW - 1_000, max: NOW + 80 * 3_600_000 }), { nil: undefined }),
  })
  const policies = fc.constantFrom(actNow, DEFAULT_POLICIES.state, record, { delaysMs: [101] })
  fc.assert(
    fc.property(policies, options, (policy, { failed, lifeMs, random, notBefore }) => {
      const expiresAt = NOW + lifeMs
      const full = policy.delaysMs[Math.min(failed, policy.delaysMs.length) - 1] ?? 0
      const at = nextAttemptAt(policy, {
        failed,
        expiresAt,
        now: NOW,
        random: () => random,
        ...(notBefore !== undefined && { notBefore }),
      })
      const earliest = Math.max(NOW + full / 2, notBefore ?? 0)
      const latest = Math.min(Math.max(NOW + full, notBefore ?? 0), expiresAt - 500)
      // There is none only if the earliest would be too late.
      expect(at === undefined).toBe(Math.ceil(earliest) > expiresAt - 500)
      expect(Number.isInteger(at ?? 0)).toBe(true)
      expect(at ?? latest).toBeLessThanOrEqual(latest)
      expect(at ?? earliest).toBeGreaterThanOrEqual(earliest)
    }),
    { numRuns: 1_000 },
  )
})

test('a thousand events that fail at once come back spread over almost half of the wait, evenly', () => {
  // Numerical Recipes' generator, so that the test is the same every time.
  let state = 1
  const random = () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32
    return state / 2 ** 32
  }
  const options = { now: NOW, expiresAt: NOW + 72 * 3_600_000, random }
  for (const [failed, fullMs] of [
    [1, 1_000],
    [3, 30_000],
    [7, 3_600_000],
  ] as const) {
    const times = Array.from({ length: 1_000 }, () => nextAttemptAt(record, { ...options, failed }) ?? 0)
    expect(Math.max(...times) - Math.min(...times)).toBeGreaterThanOrEqual(0.45 * fullMs)
    const early = times.filter((at) => at < NOW + 0.75 * fullMs).length
    expect(early).toBeGreaterThan(430)
    expect(early).toBeLessThan(570)
  }
})
