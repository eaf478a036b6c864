import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { Turns } from './turns.ts'

test('work of one key runs in order, one at a time; of several keys, no more at once than allowed', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.array(fc.nat({ max: 4 }), { minLength: 1, maxLength: 25 }),
      fc.integer({ min: 1, max: 3 }),
      async (scheduler, keys, runningMax) => {
        const turns = new Turns({ runningMax, waitingMax: 100 })
        const started: string[] = []
        const running = new Set<number>()
        const all = keys.map((key, index) =>
          turns.take(String(key), async () => {
            expect(running.has(key)).toBe(false)
            running.add(key)
            expect(running.size).toBeLessThanOrEqual(runningMax)
            started.push(`${key}:${index}`)
            await scheduler.schedule(Promise.resolve(), `${key}`)
            running.delete(key)
            return index
          }),
        )
        expect(await scheduler.waitFor(Promise.all(all))).toEqual(keys.map((_, index) => index))
        for (const key of new Set(keys)) {
          const asked = keys.flatMap((each, index) => (each === key ? [`${key}:${index}`] : []))
          expect(started.filter((item) => item.startsWith(`${key}:`))).toEqual(asked)
        }
        expect(turns.size).toBe(0)
      },
    ),
    { numRuns: 200 },
  )
})

test('work that fails lets the next of its key run', async () => {
  const turns = new Turns({ runningMax: 1, waitingMax: 10 })
  const failing = turns.take('a', () => Promise.reject(new Error('no')))
  const next = turns.take('a', () => Promise.resolve('yes'))
  await expect(failing).rejects.toThrow('no')
  expect(await next).toBe('yes')
})

test('what would wait beyond the bound is refused at once', async () => {
  const turns = new Turns({ runningMax: 1, waitingMax: 1 })
  const first = Promise.withResolvers<void>()
  const taken = [turns.take('a', () => first.promise), turns.take('b', () => Promise.resolve())]
  await expect(turns.take('c', () => Promise.resolve())).rejects.toMatchObject({ code: 'store_unavailable' })
  first.resolve()
  await Promise.all(taken)
  await turns.take('c', () => Promise.resolve())
})
