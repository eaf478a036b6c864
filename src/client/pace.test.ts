import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { MessageBudget } from '../streams/message-budget.ts'
import { Pace } from './pace.ts'

test('a burst goes at once, the next one when it is time', () => {
  const pace = new Pace({ burst: 2, perSecond: 10 })
  expect([pace.take(0), pace.take(0), pace.take(0), pace.take(99), pace.take(100)]).toEqual([0, 0, 100, 1, 0])
})

test('whoever waits as it says stays within the rate of the gateway', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(500), { maxLength: 500 }), (pauses) => {
      const pace = new Pace({ burst: 30, perSecond: 15 })
      const budget = new MessageBudget({ burst: 40, perSecond: 20 }, 0)
      let now = 0
      for (const pause of pauses) {
        now += pause > 250 ? 0 : pause
        const waitMs = pace.take(now)
        now += waitMs
        // The bucket has it by then, and counts it only when asked again.
        const left = waitMs > 0 ? pace.take(now) : 0
        expect([left, budget.take(now)]).toEqual([0, true])
      }
    }),
  )
})
