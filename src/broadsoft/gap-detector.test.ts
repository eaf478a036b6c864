import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { GapDetector } from './gap-detector.ts'

const options = { graceMs: 250, missingMax: 64, subscriptionsMax: 1000 }

test('a missing number is a gap only after the grace time, and is told once', () => {
  const detector = new GapDetector(options)
  detector.observe('s', 5, 0)
  detector.observe('s', 7, 100)
  expect(detector.nextDeadline()).toBe(350)
  expect(detector.takeLost(349)).toEqual([])
  expect(detector.takeLost(350)).toEqual(['s'])
  expect(detector.takeLost(10_000)).toEqual([])
  expect(detector.nextDeadline()).toBeUndefined()
})

test('a number that arrives late closes its gap', () => {
  const detector = new GapDetector(options)
  detector.observe('s', 1, 0)
  detector.observe('s', 4, 0)
  detector.observe('s', 3, 10)
  detector.observe('s', 2, 20)
  expect(detector.takeLost(1000)).toEqual([])
})

test('1 follows 2147483647 without a gap', () => {
  const detector = new GapDetector(options)
  detector.observe('s', 2_147_483_646, 0)
  detector.observe('s', 2_147_483_647, 0)
  detector.observe('s', 1, 0)
  expect(detector.takeLost(1000)).toEqual([])
  detector.observe('s', 3, 0)
  expect(detector.takeLost(1000)).toEqual(['s'])
})

test('a jump larger than can be followed is a gap at once', () => {
  const detector = new GapDetector(options)
  detector.observe('s', 1, 0)
  detector.observe('s', 1000, 7)
  expect(detector.takeLost(7)).toEqual(['s'])
})

test('events in any order within the grace time show a gap exactly when one is missing', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 2_147_483_647 }),
      fc.integer({ min: 2, max: 40 }),
      fc.option(fc.nat(), { nil: undefined }),
      fc.infiniteStream(fc.nat()),
      (first, count, lose, keys) => {
        const sequences = Array.from({ length: count }, (_, index) => ((first - 1 + index) % 2_147_483_647) + 1)
        const [base, ...rest] = sequences
        const last = rest.at(-1)
        const order = rest
          .map((sequence) => ({ sequence, key: keys.next().value }))
          .toSorted((a, b) => a.key - b.key)
          .map(({ sequence }) => sequence)
        // The last number cannot be missed: nothing after it tells of it.
        const lost = lose === undefined || rest.length < 2 ? undefined : rest[lose % (rest.length - 1)]
        const detector = new GapDetector(options)
        detector.observe('s', base ?? 1, 0)
        for (const sequence of order) if (sequence !== lost) detector.observe('s', sequence, 1)
        expect(last).not.toBe(lost)
        expect(detector.takeLost(1000)).toEqual(lost === undefined ? [] : ['s'])
      },
    ),
  )
})

test('the subscription heard of first is forgotten when too many are followed', () => {
  const detector = new GapDetector({ ...options, subscriptionsMax: 2 })
  for (const id of ['a', 'b', 'c']) detector.observe(id, 1, 0)
  for (const id of ['c', 'b']) detector.observe(id, 3, 0)
  detector.observe('a', 3, 0)
  expect(detector.takeLost(1000).toSorted()).toEqual(['c'])
})
