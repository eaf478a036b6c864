import type { Clock } from '../core/clock.ts'
import { GatewayError } from '../core/errors.ts'
import type { LogGap } from '../core/event-log.ts'
import type { Position } from '../core/position.ts'
import type { AppLog, AppSlice } from './app-log.ts'
import type { Batch } from './batch.ts'
import type { Closing } from './close-codes.ts'
import type { Filter, StreamFilter } from './filter.ts'
import type { Filters } from './filters.ts'
import type { Follower, LiveReader } from './follower.ts'
import type { Frame } from './frame.ts'
import type { StreamMetrics } from './metrics.ts'
import type { Pace } from './pace.ts'
import type { PollAnswer } from './protocol.ts'
import type { SnapshotReader } from './snapshot.ts'

const READ_LIMIT = 100
/** About how much one answer holds. */
const ANSWER_BYTES_MAX = 1024 * 1024

/** What a client asks for with one request. */
export type PollRequest = {
  readonly after: Position | null
  readonly filter?: StreamFilter
  /** How long to wait for an event when there is none. */
  readonly waitMs: number
  /** How many events to answer at most. */
  readonly limit: number
}

export type LongPollContext = {
  readonly log: AppLog
  readonly follower: Follower
  readonly snapshots: SnapshotReader
  readonly pace: Pick<Pace, 'turn'>
  readonly filters: Filters
  readonly clock: Clock
  readonly metrics: StreamMetrics
}

/**
 * One request for what comes after a position. It answers as soon as there is an event that the client
 * wants, and otherwise when its time is over. Like a session it reads the log itself where it must, and
 * waits with the follower, so that any number of them cost one read.
 */
export class LongPoll implements LiveReader {
  readonly keyId: string | undefined
  readonly #context: LongPollContext
  readonly #request: PollRequest
  readonly #filter: Filter | undefined
  readonly #events: Frame[] = []
  #bytes = 0
  #position: Position | undefined
  #gap: LogGap | undefined
  #failure: GatewayError | undefined
  #isTimeOver = false
  #wake = Promise.withResolvers<void>()

  constructor(
    context: LongPollContext,
    { request, keyId }: { readonly request: PollRequest; readonly keyId: string | undefined },
  ) {
    this.keyId = keyId
    this.#context = context
    this.#request = request
    this.#filter = request.filter && context.filters.get(request.filter)
  }

  get position(): Position | undefined {
    return this.#position
  }

  /**
   * Answers once. Rejects with `store_unavailable`, and with `unauthorized` when the right to ask was lost
   * meanwhile.
   */
  async answer(): Promise<PollAnswer> {
    const { after, waitMs } = this.#request
    const { clock, follower, metrics } = this.#context
    if (after === null) return this.#startFresh(undefined)
    const answered = new AbortController()
    void clock.wait(waitMs, answered.signal).then(
      () => this.#endWait(),
      () => undefined,
    )
    try {
      await this.#collect(after)
    } finally {
      answered.abort()
      follower.leave(this)
    }
    if (this.#failure !== undefined) throw this.#failure
    if (this.#gap !== undefined) return this.#startFresh(this.#gap)
    metrics.subscribed('recovered')
    metrics.sent(this.#events.length)
    return { recovered: true, position: this.#position ?? after, events: this.#events }
  }

  offer(batch: Batch): void {
    const last = this.#position
    if (last === undefined || this.#isFull || batch.isKnownAt(last)) return
    const rest = batch.startingAfter(last)
    if (rest === undefined) this.#context.follower.leave(this)
    else this.#take(rest)
    this.#wake.resolve()
  }

  onGap(reason: LogGap): void {
    // What came before is answered; the next request finds the gap.
    if (this.#events.length === 0) this.#gap = reason
    this.#wake.resolve()
  }

  /** Ends the wait: with an error when the client has lost its right or the store is gone, else with an answer. */
  close({ name }: Pick<Closing, 'name'>): void {
    if (name === 'unauthorized' || name === 'store_unavailable') this.#failure = new GatewayError(name)
    this.#endWait()
  }

  closeUnavailable(): void {
    this.close({ name: 'store_unavailable' })
  }

  #endWait(): void {
    this.#isTimeOver = true
    this.#wake.resolve()
  }

  async #collect(after: Position): Promise<void> {
    const { follower, pace } = this.#context
    if (!follower.retains(after)) {
      const slice = await this.#read(after)
      // The rest of an ended epoch may still be there, but nobody can say whether it is all of it.
      if (slice.kind === 'gap' || slice.top.epoch !== after.epoch) {
        this.#gap = slice.kind === 'gap' ? slice.reason : 'epoch_changed'
        return
      }
      this.#position = after
      this.#takeAll(slice.batches)
    }
    this.#position ??= after
    while (!this.#hasOutcome) {
      this.#wake = Promise.withResolvers()
      const isLive = follower.join(this)
      if (this.#hasOutcome) return
      const isBehind = !isLive && (await this.#readOn(this.#position))
      if (this.#isTimeOver) return
      if (isBehind) {
        await pace.turn()
        continue
      }
      await (isLive ? this.#wake.promise : Promise.race([this.#wake.promise, follower.nextTurn()]))
    }
  }

  /** Reads the log by itself; false when there was nothing. */
  async #readOn(position: Position): Promise<boolean> {
    const slice = await this.#read(position)
    if (slice.kind === 'gap') this.onGap(slice.reason)
    else this.#takeAll(slice.batches)
    return slice.kind === 'gap' || slice.entryCount > 0
  }

  #takeAll(batches: readonly Batch[]): void {
    for (const batch of batches) if (!this.#isFull) this.#take(batch)
  }

  #take(batch: Batch): void {
    for (const frame of batch.frames) {
      if (!this.#isWanted(frame)) continue
      this.#events.push(frame)
      this.#bytes += frame.bytes
      if (!this.#isFull) continue
      this.#position = frame.position
      return
    }
    this.#position = batch.last
  }

  /** Whether it is the app's is looked at again, since it may have been read a moment ago. */
  #isWanted(frame: Frame): boolean {
    if (!this.#context.log.isVisible(frame)) return false
    return this.#filter === undefined || frame.about === undefined || this.#filter.wants(frame.about)
  }

  get #isFull(): boolean {
    return this.#events.length >= this.#request.limit || this.#bytes >= ANSWER_BYTES_MAX
  }

  get #hasOutcome(): boolean {
    return this.#events.length > 0 || this.#gap !== undefined || this.#failure !== undefined
  }

  #read(after: Position): Promise<AppSlice> {
    return this.#context.log.readShared(after, Math.max(READ_LIMIT, this.#request.limit))
  }

  async #startFresh(reason: LogGap | undefined): Promise<PollAnswer> {
    const snapshot = await this.#context.snapshots.readInTurn(() => this.#failure === undefined)
    if (this.#failure !== undefined) throw this.#failure
    this.#context.metrics.subscribed(reason ?? 'fresh')
    return {
      recovered: false,
      position: snapshot.position,
      calls: snapshot.callsFor(this.#filter),
      ...(reason !== undefined && { reason }),
    }
  }
}
