import { setImmediate as yieldToEventLoop } from 'node:timers/promises'
import type { Clock } from '../core/clock.ts'
import type { LogGap } from '../core/event-log.ts'
import type { Logger } from '../core/logger.ts'
import type { Position } from '../core/position.ts'
import type { AppLog } from './app-log.ts'
import type { Batch } from './batch.ts'

/** Wake-ups are hints; the log is read at least this often. */
const POLL_MS = 1_000
const READ_LIMIT = 100
/** Sends in a row before other work of the process gets its turn: two milliseconds or so. */
const SENDS_PER_TURN = 250
const RECENT_FRAMES = 256
const RECENT_BYTES_MAX = 256 * 1024

/** What a follower calls on those that joined it. */
export interface LiveReader {
  /** Up to here it has everything, verified to be in the log; undefined before its first frame. */
  readonly position: Position | undefined
  /** Takes what comes next in the log. */
  offer(batch: Batch): void
  /** Learns that entries were lost, and that it has left the follower. */
  onGap(reason: LogGap): void
}

export type FollowerOptions = { readonly log: AppLog; readonly clock: Clock; readonly logger: Logger }

/**
 * Reads one app's log once for all of the app's live readers on this instance.
 *
 * ```
 *   log     … 40 41 42 43 44 45 46 47          47 = top
 *   recent        [42 43|44 45]                shared batches, contiguous, up to the cursor
 *   cursor                   ^ 45
 *   reader A               ^ 44    join: is offered 45 from `recent`, then lives on broadcasts
 *   reader B      ^ 41             join: is offered 42..45, then the same
 *   reader C   ^ 40                cannot join: reads the log itself and asks again
 *   reader D                    ^ 46  (its own read was later than ours) joins; skips 46 when it comes
 * ```
 *
 * Cursor and `recent` change together, without a wait in between, and so does a join. So a reader is
 * either not joined and responsible for itself, or joined with everything up to the cursor offered and
 * everything after it to come: no gap and no duplicate at the handover (P11: what was recovered and
 * what came live make up exactly the log's suffix). Each reader compares positions once more.
 *
 * When the log says that entries after the cursor cannot be proven complete, every live reader is told
 * and starts anew from a snapshot; the follower goes on from the log's top.
 */
export class Follower {
  readonly #log: AppLog
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #live = new Set<LiveReader>()
  #recent: Batch[] = []
  #cursor: Position | undefined
  /** Since the last time that others had their turn. */
  #sends = 0
  #wake = Promise.withResolvers<void>()
  #turn = Promise.withResolvers<void>()
  #lastReadAt: number

  constructor({ log, clock, logger }: FollowerOptions) {
    this.#log = log
    this.#clock = clock
    this.#logger = logger
    this.#lastReadAt = clock.monotonic()
  }

  /** How long ago the log was last read with success, in milliseconds. */
  get silentMs(): number {
    return this.#clock.monotonic() - this.#lastReadAt
  }

  /** Whether a client at this position, which nobody has verified, can go on from memory alone. */
  retains({ epoch, offset }: Position): boolean {
    const cursor = this.#cursor
    if (cursor === undefined || cursor.epoch !== epoch || offset > cursor.offset) return false
    return offset >= (this.#recent[0]?.after ?? cursor).offset
  }

  /** Makes the reader live, after offering it what it lacks; false when it has to read that itself. */
  join(reader: LiveReader): boolean {
    const from = reader.position
    if (from === undefined) return false
    const isAhead = this.#cursor?.epoch === from.epoch && from.offset > this.#cursor.offset
    if (!isAhead && !this.retains(from)) return false
    this.#live.add(reader)
    for (const batch of this.#recent) {
      if (!batch.isKnownAt(reader.position ?? from)) reader.offer(batch.where(this.#log.isVisible))
    }
    return this.#live.has(reader)
  }

  leave(reader: LiveReader): void {
    this.#live.delete(reader)
  }

  /** Forgets what it remembers for those who join: other entries of it are to be sent by now. */
  forgetRecent(): void {
    this.#recent = []
  }

  /** Resolves after the next read of the log, which is made now. */
  async nextTurn(): Promise<void> {
    this.#wake.resolve()
    await this.#turn.promise
  }

  /** Follows the log until the signal aborts; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const unwatch = this.#log.watch(() => this.#wake.resolve())
    signal.addEventListener('abort', () => this.#wake.resolve(), { once: true })
    // Not awaited: never rejects, and ends with the signal.
    void this.#wakeNowAndThen(signal)
    while (!signal.aborted) {
      const outcome = await this.#readOnce(signal)
      // Wake-ups do not shorten the pause after a failure: they come as fast as clients connect.
      if (outcome === 'failed') await this.#clock.wait(POLL_MS, signal).catch(() => undefined)
      this.#turn.resolve()
      this.#turn = Promise.withResolvers()
      if (outcome === 'at_top') await this.#waitForWake()
    }
    unwatch()
    this.#turn.resolve()
  }

  async #readOnce(signal: AbortSignal): Promise<'at_top' | 'more' | 'failed'> {
    try {
      this.#cursor ??= await this.#log.top()
      const slice = await this.#log.read(this.#cursor, READ_LIMIT)
      this.#lastReadAt = this.#clock.monotonic()
      if (signal.aborted) return 'at_top'
      if (slice.kind === 'gap') {
        this.#startAnew(slice.reason, slice.top)
        return 'at_top'
      }
      for (const batch of slice.batches) await batch.share(() => this.#broadcast(batch, signal))
      return slice.isFull ? 'more' : 'at_top'
    } catch (error) {
      if (!signal.aborted) this.#logger.warn({ err: error, app_id: this.#log.app.appId }, 'event log not readable')
      return 'failed'
    }
  }

  /** Whoever joins while this waits is at its end already, and is not offered it twice. */
  async #broadcast(batch: Batch, signal: AbortSignal): Promise<void> {
    this.#advance(batch)
    for (const reader of this.#live) {
      if (signal.aborted) return
      reader.offer(batch)
      this.#sends += 1
      if (this.#sends < SENDS_PER_TURN) continue
      this.#sends = 0
      await yieldToEventLoop()
    }
  }

  #advance(batch: Batch): void {
    this.#cursor = batch.last
    this.#recent.push(batch)
    let [frames, bytes] = [0, 0]
    const kept = this.#recent.findLastIndex(({ count, bytes: more }) => {
      const isEnough = frames >= RECENT_FRAMES || bytes + more > RECENT_BYTES_MAX
      // One that sends nothing is kept for its positions.
      frames += Math.max(1, count)
      bytes += more
      return isEnough
    })
    if (kept !== -1) this.#recent.splice(0, kept + 1)
  }

  #startAnew(reason: LogGap, top: Position): void {
    this.#logger.warn({ app_id: this.#log.app.appId, reason, readers: this.#live.size }, 'events lost for live streams')
    this.#cursor = top
    this.#recent = []
    const readers = [...this.#live]
    this.#live.clear()
    for (const reader of readers) reader.onGap(reason)
  }

  async #waitForWake(): Promise<void> {
    await this.#wake.promise
    this.#wake = Promise.withResolvers()
  }

  /** Apart from the wake-ups, so that those need no timer each. */
  async #wakeNowAndThen(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#clock.wait(POLL_MS, signal).catch(() => undefined)
      this.#wake.resolve()
    }
  }
}
