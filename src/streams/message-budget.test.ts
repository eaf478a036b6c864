import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { MessageBudget } from './message-budget.ts'

const RATE = { perSecond: 20, burst: 40 }

test('a burst passes, one more does not, and a moment later one does', () => {
  const budget = new MessageBudget(RATE, 0)
  expect(Array.from({ length: 41 }, () => budget.take(0)).filter(Boolean)).toHaveLength(40)
  expect(budget.take(49)).toBe(false)
  expect(budget.take(99)).toBe(true)
})

test('whenever messages come, no more pass than the burst and the rate allow, and the rate always does', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 300, size: 'max' }), (gaps) => {
      const budget = new MessageBudget(RATE, 0)
      let [now, passed] = [0, 0]
      for (const gap of gaps) {
        now += gap
        const isTaken = budget.take(now)
        if (isTaken) passed += 1
        expect(isTaken || gap < 50).toBe(true)
        expect(passed).toBeLessThanOrEqual(40 + (now / 1000) * 20 + 1e-6)
      }
    }),
  )
})
