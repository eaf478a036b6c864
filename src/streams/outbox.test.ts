import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Bundle } from './batch.ts'
import { Frame } from './frame.ts'
import type { Sendable } from './frame.ts'
import { Outbox } from './outbox.ts'
import type { Transport } from './transport.ts'

const KIB = 1024
/** A whole frame of this size that is about no call. */
const frameOf = (bytes: number): Frame => new Frame('event', 'x'.repeat(bytes - (bytes > 65_545 ? 10 : 4)))

/** A change of a call, of about 1 KiB. */
const changeOf = (call: string, state: string, n: number): Frame =>
  new Frame('event', JSON.stringify({ call, state, n, padding: 'x'.repeat(KIB) }), {
    position: { epoch: '1', offset: n },
    about: { event: `call.${state}`, orderKey: call },
  })

/** A client that takes what it is sent only when it is told to, over a connection like Node's. */
class Pipe implements Transport {
  readonly kind = 'websocket'
  readonly taken: Buffer[] = []
  heldBytes = 0
  isCongested = false
  readonly #held: Sendable[] = []
  #onReady: (() => void) | undefined

  send(part: Sendable): void {
    this.#held.push(part)
    this.heldBytes += part.websocket.length
    this.isCongested ||= this.heldBytes >= 64 * KIB
  }

  onceReady(listener: () => void): void {
    if (!this.isCongested || this.#onReady !== undefined) throw new Error('nobody may listen now')
    this.#onReady = listener
  }

  takeOne(): boolean {
    const next = this.#held.shift()
    if (next === undefined) return false
    this.taken.push(next.websocket)
    this.heldBytes -= next.websocket.length
    if (this.heldBytes === 0 && this.isCongested) {
      this.isCongested = false
      const listener = this.#onReady
      this.#onReady = undefined
      listener?.()
    }
    return true
  }

  takeAll(): Buffer {
    while (this.takeOne());
    return Buffer.concat(this.taken)
  }

  probe = (): boolean => true
  close = (): void => undefined
  terminate = (): void => undefined
}

function openOutbox(limits: { readonly soft: number; readonly hard: number }) {
  const pipe = new Pipe()
  const counted = { dropped: 0 }
  const outbox = new Outbox(pipe, {
    limits: { outboxSoftBytesMax: limits.soft, outboxBytesMax: limits.hard },
    metrics: { coalesced: (frames) => (counted.dropped += frames) },
  })
  return { pipe, outbox, counted }
}

/** The JSON texts in what a client received. */
function readTexts(received: Buffer): readonly string[] {
  const texts: string[] = []
  for (let at = 0; at < received.length;) {
    const short = received.readUInt8(at + 1)
    const header = short < 126 ? 2 : short === 126 ? 4 : 10
    const length = short < 126 ? short : short === 126 ? received.readUInt16BE(at + 2) : received.readUInt32BE(at + 6)
    texts.push(received.subarray(at + header, at + header + length).toString())
    at += header + length
  }
  return texts
}

describe('the hard limit', () => {
  test('refuses what exceeds it, and what waits stays', () => {
    const { pipe, outbox } = openOutbox({ soft: 50 * KIB, hard: 100 * KIB })
    // 64 KiB go to the connection, 100 KiB wait.
    for (let i = 0; i < 164; i += 1) expect(outbox.push(frameOf(KIB))).toBe(true)
    expect(outbox.push(frameOf(KIB))).toBe(false)
    expect(outbox.queuedBytes).toBe(100 * KIB)
    expect(pipe.heldBytes).toBe(64 * KIB)
    expect(pipe.takeAll().length).toBe(164 * KIB)
  })

  test('lets anything pass when nothing waits', () => {
    const { outbox } = openOutbox({ soft: 50 * KIB, hard: 100 * KIB })
    expect(outbox.push(frameOf(500 * KIB))).toBe(true)
    expect(outbox.queuedBytes).toBe(0)
    expect(outbox.push(frameOf(101 * KIB))).toBe(false)
  })

  test('lets frames in again as the client reads', () => {
    const { pipe, outbox } = openOutbox({ soft: 5 * KIB, hard: 10 * KIB })
    for (let i = 0; i < 74; i += 1) outbox.push(frameOf(KIB))
    expect(outbox.push(frameOf(KIB))).toBe(false)
    while (pipe.isCongested) pipe.takeOne()
    expect(outbox.push(frameOf(KIB))).toBe(true)
  })
})

test('there is room without dropping up to the soft limit', () => {
  const { outbox } = openOutbox({ soft: 10 * KIB, hard: 20 * KIB })
  for (let i = 0; i < 74; i += 1) {
    expect(outbox.hasRoomFor(KIB)).toBe(true)
    outbox.push(frameOf(KIB))
  }
  expect(outbox.hasRoomFor(KIB)).toBe(false)
})

test('drained resolves when the connection takes more and nothing waits', async () => {
  const { pipe, outbox } = openOutbox({ soft: 100 * KIB, hard: 200 * KIB })
  for (let i = 0; i < 100; i += 1) outbox.push(frameOf(KIB))
  expect(outbox.isDrained).toBe(false)
  const drained = outbox.drained()
  while (!outbox.isDrained) pipe.takeOne()
  await drained
  expect(outbox.queuedBytes).toBe(0)
})

test('closing drops what waits, resolves the waiter and takes nothing more', async () => {
  const { pipe, outbox } = openOutbox({ soft: 100 * KIB, hard: 200 * KIB })
  for (let i = 0; i < 100; i += 1) outbox.push(frameOf(KIB))
  const drained = outbox.drained()
  outbox.close()
  await drained
  outbox.push(frameOf(KIB))
  expect(pipe.takeAll().length).toBe(64 * KIB)
})

test('what waits can be dropped by what it is about', () => {
  const { pipe, outbox } = openOutbox({ soft: 100 * KIB, hard: 200 * KIB })
  outbox.push(frameOf(64 * KIB))
  for (const [n, call] of ['a', 'b', 'a', 'c'].entries()) outbox.push(changeOf(call, 'active', n))
  outbox.dropWhere(({ about }) => about?.orderKey === 'a')
  const [, ...texts] = readTexts(pipe.takeAll())
  expect(texts.map((text) => JSON.parse(text).call)).toEqual(['b', 'c'])
})

describe('above the soft limit', () => {
  test('the newest change of each call is kept, every end and everything else; the client is told how many are not', () => {
    const { pipe, outbox, counted } = openOutbox({ soft: 8 * KIB, hard: 100 * KIB })
    outbox.push(frameOf(64 * KIB))
    const told = [
      'a ringing',
      'b ringing',
      'a active',
      'a released',
      'a ringing',
      'x',
      'b active',
      'a active',
      'b held',
    ]
    for (const [n, each] of told.entries()) {
      const [call = '', state = ''] = each.split(' ')
      outbox.push(state === '' ? new Frame('reply', `{"call":"${call}"}`) : changeOf(call, state, n))
    }
    const [, ...texts] = readTexts(pipe.takeAll())
    const got = texts.map((text) => JSON.parse(text))
    // The last one came after the walk that the limit caused.
    expect(got.map(({ type, call, state, dropped }) => `${type ?? call} ${state ?? dropped ?? ''}`.trim())).toEqual([
      'coalesced 4',
      'a released',
      'x',
      'b active',
      'a active',
      'b held',
    ])
    expect(counted.dropped).toBe(4)
  })

  test('a call that changes all the time costs a bounded amount of memory and never the connection', () => {
    const { pipe, outbox } = openOutbox({ soft: 64 * KIB, hard: 256 * KIB })
    for (let n = 1; n <= 5_000; n += 1) {
      expect(outbox.push(changeOf('a', 'active', n))).toBe(true)
      expect(outbox.queuedBytes).toBeLessThan(100 * KIB)
    }
    expect(JSON.parse(readTexts(pipe.takeAll()).at(-1) ?? '')).toMatchObject({ call: 'a', n: 5_000 })
  })
})

const CALLS = ['a', 'b', 'c', 'd', 'e']
const change = fc.record({
  call: fc.constantFrom(...CALLS),
  state: fc.constantFrom('ringing', 'active', 'held', 'updated', 'released'),
})
const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ push: fc.array(change, { minLength: 1, maxLength: 20, size: 'max' }) }) },
  { weight: 1, arbitrary: fc.constant('other' as const) },
  { weight: 2, arbitrary: fc.constant('take' as const) },
)
type Applied = { readonly call?: string; readonly state?: string; readonly n: number }

/** What a client knows after applying these changes: the newest state of each call that has not ended. */
function mirrorOf(changes: readonly Applied[]): ReadonlyMap<string, string> {
  const mirror = new Map<string, string>()
  for (const { call, state, n } of changes) {
    if (call === undefined) continue
    if (state === 'released') mirror.delete(call)
    else mirror.set(call, `${state} ${n}`)
  }
  return mirror
}

test('whatever is pushed and however the client reads, coalescing changes nothing that a client can know', () => {
  let [droppedInAll, mostQueued] = [0, 0]
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
      const { pipe, outbox, counted } = openOutbox({ soft: 16 * KIB, hard: 256 * KIB })
      const accepted: Applied[] = []
      let n = 0
      for (const each of steps) {
        if (each === 'take') pipe.takeOne()
        else if (each === 'other') {
          n += 1
          if (outbox.push(new Frame('event', JSON.stringify({ n })))) accepted.push({ n })
        } else {
          const frames = each.push.map(({ call, state }) => ({ call, state, n: (n += 1) }))
          const isTaken = outbox.push(new Bundle(frames.map(({ call, state, n: at }) => changeOf(call, state, at))))
          mostQueued = Math.max(mostQueued, outbox.queuedBytes)
          // The session ends then, and with it what the client can know.
          if (!isTaken) return
          accepted.push(...frames)
        }
      }
      const received = readTexts(pipe.takeAll()).map((text) => JSON.parse(text))
      const told = received.filter(({ type }) => type === 'coalesced')
      const known = received.filter((frame): frame is Applied => frame.type === undefined)
      expect(mirrorOf(known)).toEqual(mirrorOf(accepted))
      expect(known.map(({ n: at }) => at)).toEqual(known.map(({ n: at }) => at).toSorted((a, b) => a - b))
      const isKept = ({ call, state }: Applied) => call === undefined || state === 'released'
      expect(known.filter(isKept)).toHaveLength(accepted.filter(isKept).length)
      const dropped = told.reduce((sum, frame) => sum + Number(frame.dropped), 0)
      expect(dropped).toBe(counted.dropped)
      expect(known.length + dropped).toBe(accepted.length)
      droppedInAll += dropped
    }),
    { numRuns: 100 },
  )
  expect(droppedInAll).toBeGreaterThan(1_000)
  expect(mostQueued).toBeLessThanOrEqual(256 * KIB)
})
