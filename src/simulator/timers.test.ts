import { expect, test } from 'vitest'
import { silentLogger } from '../core/logger.ts'
import { Timers } from './timers.ts'

type Waiting = { readonly ms: number; readonly fire: () => void; isCancelled: boolean }

/** A clock whose timers go off when the test says so. */
function setUp() {
  const waiting: Waiting[] = []
  const errors: object[] = []
  const clock = {
    now: () => 0,
    monotonic: () => 0,
    wait: () => new Promise<void>(() => undefined),
    after: (ms: number, fire: () => void) => {
      const timer = { ms, fire, isCancelled: false }
      waiting.push(timer)
      return () => {
        timer.isCancelled = true
      }
    },
  }
  const log = { ...silentLogger, error: (fields: object) => void errors.push(fields) }
  return { timers: new Timers(clock, log), waiting, errors }
}

test('an action runs once, and a failing one is logged', () => {
  const { timers, waiting, errors } = setUp()
  let runs = 0
  timers.after(50, () => {
    runs += 1
    throw new Error('expected')
  })
  waiting[0]?.fire()
  expect({ runs, ms: waiting.map(({ ms }) => ms), errors: errors.length }).toEqual({ runs: 1, ms: [50], errors: 1 })
})

test('a cancelled timer is taken from the clock, and cancelling one that has fired does nothing', () => {
  const { timers, waiting } = setUp()
  timers.after(50, () => undefined)()
  const cancel = timers.after(50, () => undefined)
  waiting[1]?.fire()
  cancel()
  expect(waiting.map(({ isCancelled }) => isCancelled)).toEqual([true, false])
})

test('stopping takes all that are left from the clock', () => {
  const { timers, waiting } = setUp()
  timers.after(50, () => undefined)
  timers.after(60, () => undefined)
  waiting[0]?.fire()
  timers.stop()
  expect(waiting.map(({ isCancelled }) => isCancelled)).toEqual([false, true])
})

test('what no timer can hold is waited for in pieces, and can be cancelled in each', () => {
  const { timers, waiting } = setUp()
  let runs = 0
  const cancel = timers.after(2_147_483_647 * 2 + 5, () => {
    runs += 1
  })
  waiting[0]?.fire()
  waiting[1]?.fire()
  expect({ runs, ms: waiting.map(({ ms }) => ms) }).toEqual({ runs: 0, ms: [2_147_483_647, 2_147_483_647, 5] })
  cancel()
  expect(waiting[2]?.isCancelled).toBe(true)
})
