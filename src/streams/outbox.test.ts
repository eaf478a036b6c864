import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { Frame } from './frame.ts'
import { Outbox } from './outbox.ts'
import type { Transport } from './transport.ts'

const KIB = 1024
const frameOf = (bytes: number, fill = 'x'): Frame => new Frame('event', fill.repeat(bytes))

/** A client that takes what it is sent only when it is told to. */
class Pipe implements Transport {
  readonly kind = 'websocket'
  readonly taken: Frame[] = []
  readonly #held: { readonly frame: Frame; readonly onFlushed: () => void }[] = []

  get bufferedBytes(): number {
    return this.#held.reduce((sum, { frame }) => sum + frame.bytes, 0)
  }

  send(frame: Frame, onFlushed: () => void): void {
    this.#held.push({ frame, onFlushed })
  }

  takeOne(): boolean {
    const next = this.#held.shift()
    if (next === undefined) return false
    this.taken.push(next.frame)
    next.onFlushed()
    return true
  }

  probe = (): boolean => true
  close = (): void => undefined
  terminate = (): void => undefined
}

test('a frame beyond the bound is refused and what waits stays', () => {
  const pipe = new Pipe()
  const outbox = new Outbox(pipe, 100 * KIB)
  // 64 KiB go to the window, 100 KiB wait.
  for (let i = 0; i < 164; i += 1) expect(outbox.push(frameOf(KIB))).toBe(true)
  expect(outbox.push(frameOf(KIB))).toBe(false)
  expect(outbox.queuedBytes).toBe(100 * KIB)
  expect(pipe.bufferedBytes).toBe(64 * KIB)
})

test('a frame larger than the bound passes when nothing waits', () => {
  const pipe = new Pipe()
  const outbox = new Outbox(pipe, 100 * KIB)
  expect(outbox.push(frameOf(500 * KIB))).toBe(true)
  expect(outbox.queuedBytes).toBe(0)
  expect(outbox.push(frameOf(101 * KIB))).toBe(false)
})

test('room comes back as the client reads', () => {
  const pipe = new Pipe()
  const outbox = new Outbox(pipe, 10 * KIB)
  for (let i = 0; i < 74; i += 1) outbox.push(frameOf(KIB))
  expect(outbox.hasRoomFor(KIB)).toBe(false)
  pipe.takeOne()
  expect(outbox.hasRoomFor(KIB)).toBe(true)
  expect(outbox.push(frameOf(KIB))).toBe(true)
})

test('drained resolves when the window is open and nothing waits', async () => {
  const pipe = new Pipe()
  const outbox = new Outbox(pipe, 200 * KIB)
  for (let i = 0; i < 100; i += 1) outbox.push(frameOf(KIB))
  expect(outbox.isDrained).toBe(false)
  const drained = outbox.drained()
  while (!outbox.isDrained) pipe.takeOne()
  await drained
  expect(outbox.queuedBytes).toBe(0)
})

test('closing drops what waits, resolves the waiter and takes nothing more', async () => {
  const pipe = new Pipe()
  const outbox = new Outbox(pipe, 200 * KIB)
  for (let i = 0; i < 100; i += 1) outbox.push(frameOf(KIB))
  const drained = outbox.drained()
  outbox.close()
  await drained
  outbox.push(frameOf(KIB))
  while (pipe.takeOne());
  expect(pipe.taken).toHaveLength(64)
})

test('whatever the sizes and the client’s pace, frames arrive complete, in order and within the bound', () => {
  const step = fc.oneof(fc.record({ push: fc.integer({ min: 1, max: 40 * KIB }) }), fc.constant('take' as const))
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const pipe = new Pipe()
      const outbox = new Outbox(pipe, 128 * KIB)
      const accepted: Frame[] = []
      for (const each of steps) {
        if (each === 'take') pipe.takeOne()
        else {
          const frame = frameOf(each.push)
          if (outbox.push(frame)) accepted.push(frame)
        }
        expect(outbox.queuedBytes).toBeLessThanOrEqual(128 * KIB)
        expect(pipe.bufferedBytes).toBeLessThan(64 * KIB + 40 * KIB)
      }
      while (pipe.takeOne());
      expect(pipe.taken.length).toBe(accepted.length)
      expect(pipe.taken.every((frame, index) => frame === accepted[index])).toBe(true)
    }),
    { numRuns: 200 },
  )
})
