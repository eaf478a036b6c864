import { expect, test } from 'vitest'
import { BacklogError } from './errors.ts'
import { Updates } from './updates.ts'

test('every iterator gets what comes after it was opened, in order', async () => {
  const updates = new Updates<number>()
  updates.push(0)
  const [first, second] = [updates.open(), updates.open()]
  updates.push(1)
  const waiting = [first.next(), first.next()]
  updates.push(2)
  expect(await Promise.all(waiting)).toEqual([{ value: 1 }, { value: 2 }])
  updates.push(3)
  updates.close({})
  const taken: number[] = []
  for await (const update of second) taken.push(update)
  expect(taken).toEqual([1, 2, 3])
  expect(await updates.open().next()).toEqual({ value: undefined, done: true })
})

test('an iterator that is left gets nothing more', async () => {
  const updates = new Updates<number>()
  const reader = updates.open()
  updates.push(1)
  updates.push(2)
  for await (const first of reader) {
    expect(first).toBe(1)
    break
  }
  updates.push(3)
  expect(await reader.next()).toEqual({ value: undefined, done: true })
})

test('the reason of the end is thrown after what was waiting', async () => {
  const updates = new Updates<number>()
  const reader = updates.open()
  updates.push(1)
  updates.close({ error: new Error('gone') })
  expect(await reader.next()).toEqual({ value: 1 })
  await expect(reader.next()).rejects.toThrow('gone')
})

test('an iterator that is too slow is told so, and the others are not disturbed', async () => {
  const updates = new Updates<number>()
  const [slow, quick] = [updates.open(), updates.open()]
  let taken = 0
  for (let count = 0; count < 10_001; count += 1) {
    updates.push(count)
    taken += (await quick.next()).done === true ? 0 : 1
  }
  expect(taken).toBe(10_001)
  for (let count = 0; count < 10_000; count += 1) expect(await slow.next()).toEqual({ value: count })
  await expect(slow.next()).rejects.toThrow(BacklogError)
})
