import { expect, test } from 'vitest'
import { SharedReads } from './shared-reads.ts'

function open() {
  const time = { now: 0 }
  const counted = { reads: 0 }
  const reads = new SharedReads<string>({
    keepMs: 1_000,
    isLasting: (result) => result.startsWith('full'),
    clock: { monotonic: () => time.now },
  })
  const get = (key: string, result: Promise<string> | string) =>
    reads.get(key, async () => {
      counted.reads += 1
      return result
    })
  return { reads, time, counted, get }
}

test('those who ask for the same at the same time share one read, those who ask for something else do not', async () => {
  const { counted, get } = open()
  const answers = await Promise.all([get('a', 'one'), get('a', 'two'), get('b', 'three')])
  expect(answers).toEqual(['one', 'one', 'three'])
  expect(counted.reads).toBe(2)
})

test('what stays true is given out for a second, anything else only while it is being read', async () => {
  const { time, get } = open()
  await Promise.all([get('a', 'full 1'), get('b', 'part 1')])
  await new Promise((resolve) => setImmediate(resolve))
  time.now = 1_000
  expect(await get('a', 'full 2')).toBe('full 1')
  expect(await get('b', 'part 2')).toBe('part 2')
  time.now = 1_001
  expect(await get('a', 'full 3')).toBe('full 3')
})

test('a failure is told to those who share it and kept for nobody', async () => {
  const { get } = open()
  const failing = Promise.reject(new Error('down'))
  const both = await Promise.allSettled([get('a', failing), get('a', 'full')])
  expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  expect(await get('a', 'full')).toBe('full')
})

test('clearing forgets also what is being read', async () => {
  const { reads, get } = open()
  const before = get('a', 'full 1')
  reads.clear()
  expect(await get('a', 'full 2')).toBe('full 2')
  expect(await before).toBe('full 1')
  await new Promise((resolve) => setImmediate(resolve))
  expect(await get('a', 'full 3')).toBe('full 2')
})

test('only so many results are kept', async () => {
  const { counted, get } = open()
  for (let n = 0; n < 100; n += 1) await get(String(n), 'full')
  await new Promise((resolve) => setImmediate(resolve))
  for (let n = 99; n >= 0; n -= 1) await get(String(n), 'full')
  expect(counted.reads).toBeGreaterThan(180)
})
