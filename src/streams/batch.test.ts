import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { Batch, toBatches } from './batch.ts'
import { Filter } from './filter.ts'
import { Frame } from './frame.ts'

const at = (offset: number) => ({ epoch: '1', offset })
const frameOf = (offset: number, bytes = 10): Frame =>
  new Frame('event', 'x'.repeat(bytes), { position: at(offset), about: { event: 'call.active', orderKey: 'a' } })
const offsetsOf = (batches: readonly Batch[]) =>
  batches.flatMap(({ frames }) => frames.map(({ position }) => position?.offset))

test('entries that are not sent leave no frame, and move the position on', () => {
  const entries = [4, 5, 6].map((offset) => ({ position: at(offset) }))
  const batches = toBatches(at(3), entries, ({ position }) => (position.offset === 5 ? frameOf(5) : undefined))
  expect(batches.map(({ after, last, count }) => [after.offset, last.offset, count])).toEqual([[3, 6, 1]])
})

test('batches end after about 64 KiB', () => {
  const entries = [1, 2, 3, 4, 5].map((offset) => ({ position: at(offset) }))
  const batches = toBatches(at(0), entries, ({ position: { offset } }) => frameOf(offset, 30_000))
  expect(batches.map(({ count }) => count)).toEqual([3, 2])
})

test('of a batch the rest after a position inside is taken, and nothing when something is missing before it', () => {
  const [batch] = toBatches(
    at(2),
    [3, 4, 5].map((offset) => ({ position: at(offset) })),
    ({ position }) => frameOf(position.offset),
  )
  expect(batch?.startingAfter(at(4))?.frames.map(({ position }) => position?.offset)).toEqual([5])
  expect(batch?.startingAfter(at(2))).toBe(batch)
  expect(batch?.startingAfter(at(1))).toBeUndefined()
  expect(batch?.startingAfter({ epoch: '2', offset: 4 })).toBeUndefined()
  expect(batch?.isKnownAt(at(5))).toBe(true)
  expect(batch?.isKnownAt(at(4))).toBe(false)
})

test('whatever the sizes and whichever are sent, batches follow on each other and hold exactly those', () => {
  const entry = fc.record({ bytes: fc.integer({ min: 1, max: 50_000 }), isSent: fc.boolean() })
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 40 }), (given) => {
      const entries = given.map((each, index) => ({ ...each, position: at(index + 1) }))
      const batches = toBatches(at(0), entries, ({ position, bytes, isSent }) =>
        isSent ? frameOf(position.offset, bytes) : undefined,
      )
      expect(offsetsOf(batches)).toEqual(entries.filter(({ isSent }) => isSent).map(({ position }) => position.offset))
      expect([at(0), ...batches.map(({ last }) => last)]).toEqual([
        ...batches.map(({ after }) => after),
        at(entries.length),
      ])
      for (const { bytes } of batches) expect(bytes).toBeLessThan(64 * 1024 + 50_010)
    }),
  )
})

test('while it is shared, those who have one filter get one part, made once', async () => {
  const batch = new Batch({ after: at(0), last: at(3), frames: [frameOf(1), frameOf(2), frameOf(3)] })
  const [none, all] = [new Filter({ event_types: ['call.held'] }), new Filter({ event_types: ['call.*'] })]
  expect(batch.partFor(none)).not.toBe(batch.partFor(none))
  await batch.share(async () => {
    const part = batch.partFor(none)
    expect([part.count, part.after, part.last]).toEqual([0, at(0), at(3)])
    expect(batch.partFor(none)).toBe(part)
    expect(batch.partFor(all)).toBe(batch)
  })
  expect(batch.partFor(none)).not.toBe(batch.partFor(none))
})
