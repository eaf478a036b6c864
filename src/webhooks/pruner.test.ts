import { afterEach, expect, test } from 'vitest'
import { until } from '../../test/support/until.ts'
import type { Clock } from '../core/clock.ts'
import { GatewayError } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import { silentLogger } from '../core/logger.ts'
import { Pruner } from './pruner.ts'
import type { PrunerOptions } from './pruner.ts'

const NOW = 1_800_000_000_000
const DAY = 86_400_000

/** Waits end when the test says so; what is waited for is kept. */
class ManualClock implements Clock {
  readonly waits: number[] = []
  #end: (() => void) | undefined

  now = () => NOW
  monotonic = () => 0

  wait(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waits.push(ms)
      this.#end = resolve
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    })
  }

  /** Ends the wait under way and resolves with how long the next one is. */
  async next(): Promise<number | undefined> {
    const { length } = this.waits
    this.#end?.()
    await until('the next wait', () => this.waits.length > length)
    return this.waits.at(-1)
  }
}

const stops: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})

async function startPruner(options: Partial<PrunerOptions>) {
  const clock = new ManualClock()
  const lines: { readonly level: string; readonly fields: object; readonly message: string }[] = []
  const at = (level: string) => (fields: object, message: string) => void lines.push({ level, fields, message })
  const log: Logger = { ...silentLogger, info: at('info'), warn: at('warn'), error: at('error') }
  const pruner = new Pruner({
    records: { prune: () => Promise.resolve(0) },
    events: { prune: () => Promise.resolve(0) },
    retentionMs: 3 * DAY,
    clock,
    log,
    random: () => 0.5,
    ...options,
  })
  await pruner.start()
  stops.push(() => pruner.stop())
  return { pruner, clock, lines }
}

test('nothing old enough is left, and one line says what was removed', async () => {
  const asked: unknown[] = []
  const answers = [5_000, 5_000, 123]
  const { clock, lines } = await startPruner({
    records: {
      prune: (before, limit) => {
        asked.push([before, limit])
        return Promise.resolve(answers.shift() ?? 0)
      },
    },
    events: { prune: (before) => Promise.resolve(before === NOW - 90 * DAY ? 7 : 0) },
  })
  expect(clock.waits).toEqual([60_000])
  expect(await clock.next()).toBe(100)
  expect(await clock.next()).toBe(100)
  expect(await clock.next()).toBe(60_000)
  expect(asked).toEqual([
    [NOW - 3 * DAY, 5_000],
    [NOW - 3 * DAY, 5_000],
    [NOW - 3 * DAY, 5_000],
  ])
  const fields = { deliveries: 10_123, operator_events: 7, duration_ms: 0 }
  expect(lines).toEqual([{ level: 'info', fields, message: 'old deliveries removed' }])
})

test('a round that removes nothing says nothing', async () => {
  const { clock, lines } = await startPruner({})
  expect(await clock.next()).toBe(60_000)
  expect(lines).toEqual([])
})

test('a round ends although there is always more', async () => {
  let batches = 0
  const { clock, lines } = await startPruner({
    records: {
      prune: () => {
        batches += 1
        return Promise.resolve(5_000)
      },
    },
  })
  let waits = 0
  for (let wait = await clock.next(); wait === 100; wait = await clock.next()) waits += 1
  expect(batches).toBe(40)
  expect(waits).toBe(40)
  expect(lines).toMatchObject([{ fields: { deliveries: 200_000 } }])
})

test('after a failure the next round goes on, and what was removed before it is told', async () => {
  const answers = [() => Promise.resolve(5_000), () => Promise.reject(new GatewayError('store_unavailable'))]
  const { clock, lines } = await startPruner({
    records: { prune: () => answers.shift()?.() ?? Promise.resolve(11) },
  })
  expect(await clock.next()).toBe(100)
  expect(await clock.next()).toBe(60_000)
  expect(await clock.next()).toBe(60_000)
  expect(lines).toMatchObject([
    { level: 'warn', message: 'old deliveries could not be removed' },
    { level: 'info', fields: { deliveries: 5_000 } },
    { level: 'info', fields: { deliveries: 11 } },
  ])
})

test('stopped in the middle of a round, it begins no further batch', async () => {
  let batches = 0
  const { pruner, clock } = await startPruner({
    records: {
      prune: () => {
        batches += 1
        return Promise.resolve(5_000)
      },
    },
  })
  expect(await clock.next()).toBe(100)
  await pruner.stop()
  expect(batches).toBe(1)
})
