import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { attempted, ended, sentTo, taken } from '../../test/support/delivery-facts.ts'
import type { DeliveryFact } from '../core/delivery-record.ts'
import { RecordHold } from './record-hold.ts'

const ALL = { all: true }
const SOME = { all: false }

/** A hold at a time that the test sets, and a log whose n-th entry is called `n`. */
class Scene {
  now = 0
  readonly hold = new RecordHold({ monotonic: () => this.now })
  readonly log: (readonly DeliveryFact[])[] = []

  append(...facts: readonly DeliveryFact[]): void {
    this.log.push(facts)
  }

  /** Reads up to so many entries. */
  read(limit = Infinity): void {
    const first = Number(this.hold.after ?? this.start)
    const entries = this.log.slice(first, first + limit)
    this.hold.add({
      facts: entries.flat(),
      entryIds: entries.flatMap((facts, i) => facts.map(() => String(first + i + 1))),
      last: entries.length === 0 ? undefined : String(first + entries.length),
    })
  }

  /** Entries that were taken off the log. */
  start = 0

  /** Ids of facts that are written now. */
  write(limit: number, how: { readonly all: boolean }): readonly string[] {
    const { facts, last } = this.hold.next(limit, how)
    this.hold.done()
    if (last !== undefined) this.start = Math.max(this.start, Number(last))
    return facts.map(({ factId }) => factId)
  }
}

test('a delivery is written when it has ended, whatever lies between', () => {
  const scene = new Scene()
  scene.append(taken('a'))
  scene.append(taken('b'))
  scene.append(attempted('b'), ended('b'))
  scene.read()
  expect(scene.write(100, SOME)).toEqual(['taken-b', 'attempt-b-1', 'end-b'])
  // Nothing can be taken off: the oldest entry tells what was not written.
  expect(scene.start).toBe(0)
  scene.append(attempted('a'), ended('a'))
  scene.read()
  expect(scene.write(100, SOME)).toEqual(['taken-a', 'attempt-a-1', 'end-a'])
  expect(scene.start).toBe(4)
})

test('an end that does not come within a second is not waited for, and what follows is written as it comes', () => {
  const scene = new Scene()
  scene.append(taken('a'))
  scene.append(attempted('a', { outcome: 'timeout' }))
  scene.read()
  scene.now = 999
  expect(scene.write(100, SOME)).toEqual([])
  scene.now = 1_000
  expect(scene.write(100, SOME)).toEqual(['taken-a', 'attempt-a-1'])
  scene.append(attempted('a', { number: 2, outcome: 'timeout' }))
  scene.read()
  expect(scene.write(100, SOME)).toEqual(['attempt-a-2'])
})

test('an event waits for all of its deliveries, and together with them', () => {
  const scene = new Scene()
  scene.append({ ...taken('a'), endpoints: [...taken('a').endpoints, sentTo('b')] })
  scene.append(attempted('a'), ended('a'))
  scene.read()
  expect(scene.write(100, SOME)).toEqual([])
  scene.append(attempted('b'), ended('b'))
  scene.read()
  expect(scene.write(100, SOME)).toEqual(['taken-a', 'attempt-a-1', 'end-a', 'attempt-b-1', 'end-b'])
})

test('what is at hand is written at once when all is asked for, and when very much is', () => {
  const scene = new Scene()
  scene.append(taken('a'))
  scene.read()
  expect(scene.write(100, ALL)).toEqual(['taken-a'])
  for (let i = 0; i <= 20_000; i += 1) scene.append(taken(`many-${i}`))
  scene.read()
  expect(scene.write(1_000, SOME)).toHaveLength(1_000)
})

test('nothing is taken off once more that was taken off already', () => {
  const scene = new Scene()
  scene.append(taken('a'))
  scene.append(ended('a'))
  scene.read()
  expect(scene.hold.next(100, SOME).last).toBe('2')
  scene.write(100, SOME)
  scene.read()
  expect(scene.hold.next(100, SOME)).toEqual({ facts: [], isAll: true, last: undefined })
})

test('what was cleared is read again from the oldest entry that was not taken off', () => {
  const scene = new Scene()
  scene.append(taken('a'))
  scene.append(taken('b'))
  scene.append(ended('a'))
  scene.read()
  expect(scene.write(100, SOME)).toEqual(['taken-a', 'end-a'])
  scene.hold.clear()
  scene.read()
  expect(scene.write(100, ALL)).toEqual(['taken-b', 'end-a'])
})

test('whatever is read and written when, every delivery has its facts in order and once, and nothing unwritten is taken off', () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('begin'), ms: fc.nat(1_200) }),
    fc.record({ do: fc.constant('attempt'), which: fc.nat(20) }),
    fc.record({ do: fc.constant('end'), which: fc.nat(20) }),
    fc.record({ do: fc.constant('read'), limit: fc.integer({ min: 1, max: 6 }) }),
    fc.record({ do: fc.constant('write'), limit: fc.integer({ min: 1, max: 9 }) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const scene = new Scene()
      const open: string[] = []
      const attempts = new Map<string, number>()
      const told = new Map<string, string[]>()
      const written: string[] = []
      const tell = (id: string, ...facts: readonly DeliveryFact[]) => {
        scene.append(...facts)
        told.set(id, [...(told.get(id) ?? []), ...facts.map(({ factId }) => factId)])
      }
      const attempt = (id: string) => {
        const number = (attempts.get(id) ?? 0) + 1
        attempts.set(id, number)
        return attempted(id, { number })
      }
      const write = (limit: number, how: { readonly all: boolean }) => {
        const facts = scene.write(limit, how)
        written.push(...facts)
        const off = scene.log.slice(0, scene.start).flat()
        expect(off.filter(({ factId }) => !written.includes(factId))).toEqual([])
        return facts
      }
      for (const [i, each] of steps.entries()) {
        if (each.do === 'begin') {
          scene.now += each.ms
          open.push(`d${i}`)
          tell(`d${i}`, taken(`d${i}`))
        } else if (each.do === 'read') scene.read(each.limit)
        else if (each.do === 'write') write(each.limit, SOME)
        else {
          const id = open[each.which % open.length]
          if (id === undefined) continue
          if (each.do === 'attempt') tell(id, attempt(id))
          else {
            open.splice(open.indexOf(id), 1)
            tell(id, attempt(id), ended(id))
          }
        }
      }
      scene.read()
      while (write(5, ALL).length > 0);
      expect(scene.start).toBe(scene.log.length)
      for (const facts of told.values()) expect(written.filter((id) => facts.includes(id))).toEqual(facts)
      expect(written).toHaveLength([...told.values()].flat().length)
    }),
    { numRuns: 500 },
  )
})
