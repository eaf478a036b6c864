import type { Clock } from '../core/clock.ts'
import type { EventLog, LogGap, LogSlice } from '../core/event-log.ts'
import type { AppRef } from '../core/ids.ts'
import type { Logger } from '../core/logger.ts'
import type { Position } from '../core/position.ts'
import type { CloseName, Closing } from './close-codes.ts'
import type { Follower, LiveSession } from './follower.ts'
import type { Frame } from './frame.ts'
import type { StreamMetrics } from './metrics.ts'
import { Outbox } from './outbox.ts'
import { parseClientFrame, toEventFrame, toGapFrame, toPingFrame, toRecoveredFrame } from './protocol.ts'
import type { Snapshot, SnapshotReader } from './snapshot.ts'
import type { Transport } from './transport.ts'

const READ_LIMIT = 100

/** What bounds one session. */
export type SessionLimits = {
  /** How long a client may take to subscribe. */
  readonly subscribeTimeoutMs: number
  /** Between two pings. */
  readonly pingIntervalMs: number
  /** Bytes that may wait for a slow client. */
  readonly outboxBytesMax: number
  /** How long a client may take to read one outbox full of missed events, or the snapshot. */
  readonly drainTimeoutMs: number
  /** How long the store may fail before clients are sent elsewhere. */
  readonly storeTimeoutMs: number
}

export type SessionOptions = {
  readonly app: AppRef
  /** The key that opened it, directly or by a token; absent for the admin key. */
  readonly keyId?: string | undefined
  readonly transport: Transport
  readonly follower: Follower
  readonly log: EventLog
  readonly snapshots: SnapshotReader
  readonly limits: SessionLimits
  readonly clock: Clock
  /** Uniform in [0, 1): spreads the reconnects. */
  readonly random: () => number
  readonly metrics: StreamMetrics
  readonly logger: Logger
  /** Called once, when the session has ended for whatever reason. */
  readonly onEnd: (session: Session) => void
}

/**
 * One client. It subscribes once; then the session is in one of two modes:
 *
 * - catching up: it reads the log itself, no faster than the client reads it, and asks the follower to
 *   take it over once nothing is missing;
 * - live: the follower offers it each new entry.
 *
 * Every event goes out with the offset one above the one before, in the same epoch; the only other step
 * is a `subscribed` or `snapshot` frame with a snapshot, which says that events were lost. An entry that
 * is not the next one is skipped when it was sent before, and sends the session back to catching up when
 * something is missing in between.
 */
export class Session implements LiveSession {
  readonly #options: SessionOptions
  readonly #outbox: Outbox
  readonly #openedAt: number
  #mode: 'opened' | 'catching_up' | 'live' | 'ended' = 'opened'
  #position: Position | undefined
  #frames = 0
  #pingedAt: number
  #stalledSince: number | undefined

  constructor(options: SessionOptions) {
    this.#options = options
    this.#outbox = new Outbox(options.transport, options.limits.outboxBytesMax)
    this.#openedAt = options.clock.monotonic()
    this.#pingedAt = this.#openedAt
  }

  get app(): AppRef {
    return this.#options.app
  }

  get keyId(): string | undefined {
    return this.#options.keyId
  }

  get transport(): Transport {
    return this.#options.transport
  }

  get position(): Position | undefined {
    return this.#position
  }

  /** Takes a text message of the client; anything but one valid `subscribe` ends the session. */
  receive(text: string): void {
    if (this.#mode === 'ended') return
    const parsed = parseClientFrame(text)
    if ('problem' in parsed) return this.refuse(parsed.problem)
    if (this.#mode !== 'opened') return this.refuse('this stream is subscribed already')
    this.subscribe(parsed.frame.after)
  }

  /** Starts the stream after a position, or with a snapshot. */
  subscribe(after: Position | null): void {
    if (this.#mode !== 'opened') return
    this.#catchUp(() => (after === null ? this.#startFresh(undefined) : this.#resume(after)))
  }

  /** Ends the session because of what the client sent. `problem` is one sentence for its developer. */
  refuse(problem: string): void {
    this.close({ name: 'invalid_frame', detail: problem })
  }

  offer(frame: Frame, position: Position): void {
    const last = this.#position
    if (last === undefined || this.#mode === 'ended') return
    if (position.epoch === last.epoch && position.offset <= last.offset) return
    if (position.epoch !== last.epoch || position.offset !== last.offset + 1) {
      this.#options.follower.leave(this)
      if (this.#mode === 'live') this.#catchUp(() => Promise.resolve())
      return
    }
    if (this.#push(frame)) this.#position = position
  }

  onGap(reason: LogGap): void {
    if (this.#mode === 'live') this.#catchUp(() => this.#tellGap(reason))
  }

  /** Pings when it is time and ends a session whose client does not keep its side; called every second. */
  beat(now: number): void {
    const { limits, transport } = this.#options
    if (this.#mode === 'opened' && now - this.#openedAt >= limits.subscribeTimeoutMs) {
      return this.close({ name: 'subscribe_timeout' })
    }
    if (this.#stalledSince !== undefined && now - this.#stalledSince >= limits.drainTimeoutMs) {
      return this.#closeSlow()
    }
    if (now - this.#pingedAt < limits.pingIntervalMs) return
    this.#pingedAt = now
    if (!transport.probe()) {
      transport.terminate()
      return this.end()
    }
    if (this.#mode === 'live') this.#push(toPingFrame(this.#position))
  }

  /** Ends the session and tells the client why. */
  close(closing: Closing): void {
    if (this.#mode === 'ended') return
    this.#options.metrics.closed(closing.name)
    this.#finish(closing.name)
    this.transport.close(closing)
  }

  /** The connection is gone, or about to be: forgets everything. */
  end(): void {
    if (this.#mode !== 'ended') this.#finish('client')
  }

  /** Closes because the store does not answer; the client is to come back a little later, elsewhere. */
  closeUnavailable(): void {
    this.close({ name: 'store_unavailable', retryAfterMs: 1_000 + this.#options.random() * 4_000 })
  }

  #finish(reason: CloseName | 'client'): void {
    this.#mode = 'ended'
    this.#outbox.close()
    this.#options.follower.leave(this)
    const { clock, logger, onEnd } = this.#options
    const durationMs = Math.round(clock.monotonic() - this.#openedAt)
    logger.info(
      { app_id: this.app.appId, transport: this.transport.kind, reason, duration_ms: durationMs, frames: this.#frames },
      'stream ended',
    )
    onEnd(this)
  }

  #catchUp(begin: () => Promise<void>): void {
    this.#mode = 'catching_up'
    // Not awaited: it ends with the session, and reports failure by ending the session.
    void this.#runCatchUp(begin).catch((error: unknown) => {
      if (this.#mode === 'ended') return
      this.#options.logger.warn({ err: error, app_id: this.app.appId }, 'stream cannot read the store')
      this.closeUnavailable()
    })
  }

  async #runCatchUp(begin: () => Promise<void>): Promise<void> {
    await begin()
    while (this.#isCatchingUp()) {
      await this.#untilDrained()
      if (this.#position === undefined || !this.#isCatchingUp()) return
      if (this.#options.follower.join(this)) {
        if (this.#isCatchingUp()) this.#mode = 'live'
        return
      }
      const slice = await this.#read(this.#position)
      if (!this.#isCatchingUp()) return
      if (slice.kind === 'gap') await this.#tellGap(slice.reason)
      else if (slice.entries.length > 0) await this.#sendEntries(slice)
      else await this.#options.follower.nextTurn()
    }
  }

  async #resume(after: Position): Promise<void> {
    const slice = this.#options.follower.retains(after) ? undefined : await this.#read(after)
    if (slice?.kind === 'gap') return this.#startFresh(slice.reason)
    // The rest of an ended epoch may still be there, but nobody can say whether it is all of it.
    if (slice !== undefined && slice.top.epoch !== after.epoch) return this.#startFresh('epoch_changed')
    if (!this.#isCatchingUp()) return
    this.#options.metrics.subscribed('recovered')
    this.#position = after
    this.#push(toRecoveredFrame(after))
    if (slice !== undefined) await this.#sendEntries(slice)
  }

  async #startFresh(reason: LogGap | undefined): Promise<void> {
    const snapshot = await this.#options.snapshots.read(this.app)
    this.#options.metrics.subscribed(reason ?? 'fresh')
    await this.#sendSnapshot(snapshot, snapshot.subscribedFrame(reason))
  }

  async #tellGap(reason: LogGap): Promise<void> {
    this.#options.metrics.gap(reason)
    this.#push(toGapFrame(reason))
    const snapshot = await this.#options.snapshots.read(this.app)
    await this.#sendSnapshot(snapshot, snapshot.snapshotFrame())
  }

  async #sendSnapshot(snapshot: Snapshot, frame: Frame): Promise<void> {
    await this.#untilDrained()
    if (!this.#isCatchingUp()) return
    if (this.#push(frame)) this.#position = snapshot.position
  }

  async #sendEntries(slice: Extract<LogSlice, { kind: 'entries' }>): Promise<void> {
    for (const entry of slice.entries) {
      const frame = toEventFrame(entry)
      if (!this.#outbox.hasRoomFor(frame.bytes)) await this.#untilDrained()
      if (!this.#isCatchingUp() || !this.#push(frame)) return
      this.#position = entry.position
    }
  }

  /** Waits for the client to have read what it was sent; `beat` ends the session when that takes too long. */
  async #untilDrained(): Promise<void> {
    if (this.#outbox.isDrained) return
    this.#stalledSince = this.#options.clock.monotonic()
    await this.#outbox.drained()
    this.#stalledSince = undefined
  }

  async #read(after: Position): Promise<LogSlice> {
    return this.#options.log.read(this.app, after, READ_LIMIT)
  }

  #push(frame: Frame): boolean {
    if (this.#mode === 'ended') return false
    if (!this.#outbox.push(frame)) {
      this.#closeSlow()
      return false
    }
    this.#frames += 1
    this.#options.metrics.sent()
    return true
  }

  #closeSlow(): void {
    this.close({ name: 'slow_consumer', retryAfterMs: 1_000 + this.#options.random() * 4_000 })
  }

  #isCatchingUp(): boolean {
    return this.#mode === 'catching_up'
  }
}
