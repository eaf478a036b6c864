import type { Position } from '../core/position.ts'
import { joinApart } from './own-memory.ts'
import type { Filter } from './filter.ts'
import type { Frame, Sendable } from './frame.ts'

/** About how much a client is sent at once, in bytes. */
export const BUNDLE_BYTES = 64 * 1024

/** Frames that go to a client at once. Whoever is sent the same bundle is sent the same memory, in one write. */
export class Bundle implements Sendable {
  readonly frames: readonly Frame[]
  readonly bytes: number
  #websocket: Buffer | undefined
  #sse: Buffer | undefined

  constructor(frames: readonly Frame[]) {
    this.frames = frames
    this.bytes = frames.reduce((sum, frame) => sum + frame.bytes, 0)
  }

  get count(): number {
    return this.frames.length
  }

  get websocket(): Buffer {
    this.#websocket ??= joinApart(this.frames.map(({ websocket }) => websocket))
    return this.#websocket
  }

  get sse(): Buffer {
    this.#sse ??= joinApart(this.frames.map(({ sse }) => sse))
    return this.#sse
  }
}

/**
 * The frames of a stretch of a log: of the entries after `after` up to `last`, those that are to be sent.
 * Entries in between that are not sent leave no trace but the position.
 */
export class Batch extends Bundle {
  readonly after: Position
  readonly last: Position
  #parts: Map<Filter, Batch> | undefined

  constructor({ after, last, frames }: { after: Position; last: Position; frames: readonly Frame[] }) {
    super(frames)
    this.after = after
    this.last = last
  }

  /** Whether whoever is at this position has all of it. */
  isKnownAt(position: Position): boolean {
    return position.epoch === this.last.epoch && position.offset >= this.last.offset
  }

  /** What of it follows on `position`; undefined when something is missing in between. */
  startingAfter(position: Position): Batch | undefined {
    const { after, last, frames } = this
    if (position.epoch !== last.epoch || position.epoch !== after.epoch || position.offset < after.offset) {
      return undefined
    }
    if (position.offset === after.offset) return this
    return new Batch({
      after: position,
      last: position.offset < last.offset ? last : position,
      frames: frames.filter((frame) => (frame.position?.offset ?? 0) > position.offset),
    })
  }

  /**
   * The same stretch with what the filter wants. While `share` sends it to many, that is looked for, and put
   * together, once for all who have the filter.
   */
  partFor(filter: Filter): Batch {
    const known = this.#parts?.get(filter)
    if (known !== undefined) return known
    const part = this.where(({ about }) => about === undefined || filter.wants(about))
    this.#parts?.set(filter, part)
    return part
  }

  /** Keeps its parts for as long as `send` takes, and no longer: they may be many. */
  async share(send: () => Promise<void>): Promise<void> {
    this.#parts = new Map()
    try {
      await send()
    } finally {
      this.#parts = undefined
    }
  }

  /** The same stretch with those frames only. */
  where(isWanted: (frame: Frame) => boolean): Batch {
    if (this.frames.every(isWanted)) return this
    return new Batch({ after: this.after, last: this.last, frames: this.frames.filter(isWanted) })
  }
}

/**
 * Batches of a bounded size out of consecutive entries after `after`; `toFrame` is undefined for an entry
 * that is not to be sent.
 */
export function toBatches<Entry extends { readonly position: Position }>(
  after: Position,
  entries: readonly Entry[],
  toFrame: (entry: Entry) => Frame | undefined,
): readonly Batch[] {
  const batches: Batch[] = []
  let start = after
  let frames: Frame[] = []
  let bytes = 0
  for (const [index, entry] of entries.entries()) {
    const frame = toFrame(entry)
    if (frame !== undefined) {
      frames.push(frame)
      bytes += frame.bytes
    }
    if (bytes < BUNDLE_BYTES && index < entries.length - 1) continue
    batches.push(new Batch({ after: start, last: entry.position, frames }))
    start = entry.position
    frames = []
    bytes = 0
  }
  return batches
}
