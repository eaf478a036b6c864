import { setImmediate as yieldToEventLoop } from 'node:timers/promises'
import type { Clock } from '../core/clock.ts'
import type { EventLog, LogEntry, LogGap } from '../core/event-log.ts'
import type { AppRef } from '../core/ids.ts'
import type { Logger } from '../core/logger.ts'
import type { Position } from '../core/position.ts'
import type { Frame } from './frame.ts'
import { toEventFrame } from './protocol.ts'

/** Wake-ups are hints; the log is read at least this often. */
const POLL_MS = 1_000
const READ_LIMIT = 100
/** Sends in a row before other work of the process gets its turn. */
const SENDS_PER_TURN = 2_000
const RECENT_FRAMES_MAX = 256
const RECENT_BYTES_MAX = 256 * 1024

/** What a follower calls on the sessions that joined it. */
export interface LiveSession {
  /** Of the last event that the client was sent, verified to be in the log; undefined before the first frame. */
  readonly position: Position | undefined
  /** Takes the next entry. */
  offer(frame: Frame, position: Position): void
  /** Learns that entries were lost, and that it has left the follower. */
  onGap(reason: LogGap): void
}

export type FollowerOptions = {
  readonly app: AppRef
  readonly log: EventLog
  readonly clock: Clock
  readonly logger: Logger
}

/**
 * Reads one app's log once for all of the app's live sessions on this instance.
 *
 * ```
 *   log     … 40 41 42 43 44 45 46 47          47 = top
 *   recent        [42 43 44 45]                shared frames, contiguous, up to the cursor
 *   cursor                   ^ 45
 *   session A              ^ 44    join: is sent 45 from `recent`, then lives on broadcasts
 *   session B     ^ 41             join: is sent 42..45, then the same
 *   session C  ^ 40                cannot join: reads the log itself and asks again
 *   session D                   ^ 46  (its own read was later than ours) joins; skips 46 when it comes
 * ```
 *
 * Cursor and broadcast change together, without a wait in between, and so does a join. So a session is
 * either not joined and responsible for itself, or joined with everything up to the cursor sent and
 * everything after it to come: no gap and no duplicate at the handover (P11: what was recovered and
 * what came live make up exactly the log's suffix). The session checks each offset once more.
 *
 * When the log says that entries after the cursor cannot be proven complete, every live session is told
 * and starts anew from a snapshot; the follower goes on from the log's top.
 */
export class Follower {
  readonly #app: AppRef
  readonly #log: EventLog
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #live = new Set<LiveSession>()
  readonly #recent: { readonly frame: Frame; readonly position: Position }[] = []
  #recentBytes = 0
  #cursor: Position | undefined
  #wake = Promise.withResolvers<void>()
  #turn = Promise.withResolvers<void>()
  #lastReadAt: number

  constructor({ app, log, clock, logger }: FollowerOptions) {
    this.#app = app
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
    return offset >= (this.#recent[0]?.position.offset ?? cursor.offset + 1) - 1
  }

  /** Makes the session live, after handing it what it lacks; false when it has to read that itself. */
  join(session: LiveSession): boolean {
    const from = session.position
    if (from === undefined) return false
    const isAhead = this.#cursor?.epoch === from.epoch && from.offset > this.#cursor.offset
    if (!isAhead && !this.retains(from)) return false
    this.#live.add(session)
    for (const { frame, position } of this.#recent) {
      if (position.offset > from.offset) session.offer(frame, position)
    }
    return this.#live.has(session)
  }

  leave(session: LiveSession): void {
    this.#live.delete(session)
  }

  /** Resolves after the next read of the log, which is made now. */
  async nextTurn(): Promise<void> {
    this.#wake.resolve()
    await this.#turn.promise
  }

  /** Follows the log until the signal aborts; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const unwatch = this.#log.watch(this.#app, () => this.#wake.resolve())
    signal.addEventListener('abort', () => this.#wake.resolve(), { once: true })
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
      this.#cursor ??= await this.#log.top(this.#app)
      const slice = await this.#log.read(this.#app, this.#cursor, READ_LIMIT)
      this.#lastReadAt = this.#clock.monotonic()
      if (signal.aborted) return 'at_top'
      if (slice.kind === 'gap') {
        this.#startAnew(slice.reason, slice.top)
        return 'at_top'
      }
      await this.#broadcast(slice.entries, signal)
      return slice.entries.length === READ_LIMIT ? 'more' : 'at_top'
    } catch (error) {
      if (!signal.aborted) this.#logger.warn({ err: error, app_id: this.#app.appId }, 'event log not readable')
      return 'failed'
    }
  }

  async #broadcast(entries: readonly LogEntry[], signal: AbortSignal): Promise<void> {
    let sends = 0
    for (const entry of entries) {
      if (signal.aborted) return
      const frame = toEventFrame(entry)
      this.#advance(frame, entry.position)
      for (const session of this.#live) session.offer(frame, entry.position)
      sends += this.#live.size
      if (sends >= SENDS_PER_TURN) {
        sends = 0
        await yieldToEventLoop()
      }
    }
  }

  #advance(frame: Frame, position: Position): void {
    this.#cursor = position
    this.#recent.push({ frame, position })
    this.#recentBytes += frame.bytes
    while (this.#recent.length > RECENT_FRAMES_MAX || this.#recentBytes > RECENT_BYTES_MAX) {
      this.#recentBytes -= this.#recent.shift()?.frame.bytes ?? 0
    }
  }

  #startAnew(reason: LogGap, top: Position): void {
    this.#logger.warn({ app_id: this.#app.appId, reason, sessions: this.#live.size }, 'events lost for live streams')
    this.#cursor = top
    this.#recent.length = 0
    this.#recentBytes = 0
    const sessions = [...this.#live]
    this.#live.clear()
    for (const session of sessions) session.onGap(reason)
  }

  async #waitForWake(): Promise<void> {
    const poll = new AbortController()
    const waiting = this.#clock.wait(POLL_MS, poll.signal).catch(() => undefined)
    await Promise.race([waiting, this.#wake.promise])
    poll.abort()
    this.#wake = Promise.withResolvers()
  }
}
