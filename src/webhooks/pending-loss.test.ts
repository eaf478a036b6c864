import { afterEach, expect, test } from 'vitest'
import { until } from '../../test/support/until.ts'
import type { Clock } from '../core/clock.ts'
import { GatewayError } from '../core/errors.ts'
import { silentLogger } from '../core/logger.ts'
import type { NewOperatorEvent } from '../core/operator-event.ts'
import { PendingLoss } from './pending-loss.ts'

const NOW = 1_800_000_000_000

/** Time goes on by what is waited for, but for the wait of somebody who has nothing to do. */
class HurriedClock implements Clock {
  #now = NOW

  now = () => this.#now
  monotonic = () => this.#now

  wait(ms: number, signal: AbortSignal): Promise<void> {
    if (ms < 3_600_000) {
      this.#now += ms
      return Promise.resolve()
    }
    return new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    })
  }
}

const stops: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})

/** Records in which so many are found by each call; an error is what the call ends with after that. */
function setUp(results: readonly { readonly parts: readonly number[]; readonly error?: Error }[]) {
  const calls: { readonly before: number; readonly at: number }[] = []
  const told: NewOperatorEvent[] = []
  const clock = new HurriedClock()
  const loss = new PendingLoss({
    records: {
      abandon: (before, onDropped) => {
        const { parts, error } = results[calls.length] ?? { parts: [] }
        calls.push({ before, at: clock.now() })
        for (const part of parts) onDropped(part)
        return error === undefined ? Promise.resolve() : Promise.reject(error)
      },
    },
    events: {
      append: (event) => {
        told.push(event)
        return Promise.resolve()
      },
    },
    clock,
    log: silentLogger,
  })
  stops.push(() => loss.stop())
  return { loss, calls, told }
}

const lost = (deliveries: number) => ({ type: 'webhook.pending_lost', details: { deliveries } })

test('what was pending 5 s before the loss was noticed is dropped 5 s after it, and the operator is told', async () => {
  const { loss, calls, told } = setUp([{ parts: [5_000, 12] }])
  await loss.start()
  loss.notice()
  await until('the operator to be told', () => told.length > 0)
  expect(calls).toEqual([{ before: NOW - 5_000, at: NOW + 5_000 }])
  expect(told).toEqual([lost(5_012)])
})

test('a loss noticed before the start is seen to after it; one without pending deliveries is not worth telling', async () => {
  const { loss, calls, told } = setUp([{ parts: [] }, { parts: [1] }])
  loss.notice()
  await loss.start()
  await until('the first', () => calls.length === 1)
  expect(told).toEqual([])
  loss.notice()
  await until('the second', () => told.length === 1)
  expect(calls.map(({ before }) => before)).toEqual([NOW - 5_000, NOW])
})

test('while the records are away it is tried again, of the same deliveries', async () => {
  const error = new GatewayError('store_unavailable')
  const { loss, calls, told } = setUp([{ parts: [], error }, { parts: [7], error }, { parts: [3] }])
  loss.notice()
  await loss.start()
  await until('all of them', () => told.length === 2)
  expect(calls).toEqual([
    { before: NOW - 5_000, at: NOW + 5_000 },
    { before: NOW - 5_000, at: NOW + 10_000 },
    { before: NOW - 5_000, at: NOW + 15_000 },
  ])
  expect(told).toEqual([lost(7), lost(3)])
})

test('nothing is dropped when nothing was lost, and a stop ends the waiting', async () => {
  const { loss, calls } = setUp([])
  await loss.start()
  await loss.stop()
  loss.notice()
  expect(calls).toEqual([])
})
