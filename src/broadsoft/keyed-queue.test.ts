import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { KeyedQueue } from './keyed-queue.ts'

test('tasks of a key run in order, keys interleave, the bound holds and all tasks finish', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ key: fc.constantFrom('a', 'b', 'c'), turns: fc.nat(3) }), { maxLength: 60 }),
      fc.integer({ min: 1, max: 5 }),
      async (tasks, pendingMax) => {
        const queue = new KeyedQueue(pendingMax)
        const done: { key: string; index: number }[] = []
        let running = 0
        let runningMax = 0
        for (const [index, { key, turns }] of tasks.entries()) {
          await queue.push(key, async () => {
            running += 1
            runningMax = Math.max(runningMax, running)
            for (let turn = 0; turn < turns; turn += 1) await Promise.resolve()
            running -= 1
            done.push({ key, index })
          })
          expect(queue.pending).toBeLessThanOrEqual(pendingMax)
        }
        await queue.whenIdle()
        expect(done.length).toBe(tasks.length)
        expect(queue.pending).toBe(0)
        expect(runningMax).toBeLessThanOrEqual(Math.min(pendingMax, 3))
        for (const key of ['a', 'b', 'c']) {
          const indexes = done.filter((entry) => entry.key === key).map((entry) => entry.index)
          expect(indexes).toEqual(indexes.toSorted((x, y) => x - y))
        }
      },
    ),
    { numRuns: 100 },
  )
})

test('a full queue lets push wait until a task ends', async () => {
  const queue = new KeyedQueue(1)
  const { promise, resolve: finish } = Promise.withResolvers<void>()
  await queue.push('a', () => promise)
  let accepted = false
  const second = queue.push('b', async () => undefined).then(() => (accepted = true))
  await new Promise(setImmediate)
  expect(accepted).toBe(false)
  finish()
  await second
  expect(accepted).toBe(true)
})

test('a task that rejects does not stop the tasks after it', async () => {
  const queue = new KeyedQueue(4)
  const done: string[] = []
  await queue.push('a', () => Promise.reject(new Error('boom')))
  await queue.push('a', async () => void done.push('second'))
  await queue.whenIdle()
  expect(done).toEqual(['second'])
})
