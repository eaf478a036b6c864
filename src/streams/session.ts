import type { Clock } from '../core/clock.ts'
import type { LogGap } from '../core/event-log.ts'
import type { Logger } from '../core/logger.ts'
import type { Position } from '../core/position.ts'
import type { AppLog, AppSlice } from './app-log.ts'
import type { Batch, Bundle } from './batch.ts'
import type { CloseName, Closing } from './close-codes.ts'
import type { CommandRunner } from './commands.ts'
import type { Filter, StreamFilter } from './filter.ts'
import type { Filters } from './filters.ts'
import type { Follower, LiveReader } from './follower.ts'
import type { Frame } from './frame.ts'
import { Inbox } from './inbox.ts'
import type { InboxSession } from './inbox.ts'
import type { SessionLimits } from './limits.ts'
import type { StreamMetrics } from './metrics.ts'
import { Outbox } from './outbox.ts'
import type { Pace } from './pace.ts'
import type { Pings } from './pings.ts'
import { toFilteredFrame, toGapFrame, toRecoveredFrame } from './protocol.ts'
import type { SnapshotReader } from './snapshot.ts'
import type { Transport } from './transport.ts'

const READ_LIMIT = 100
/** Changes of the filter that may wait for their turn. */
const TASKS_MAX = 16
const NO_TASKS: readonly Task[] = []

/** What all sessions of an app share. */
export type SessionContext = {
  readonly log: AppLog
  readonly follower: Follower
  readonly snapshots: SnapshotReader
  readonly pings: Pings
  readonly filters: Filters
  readonly pace: Pace
  /** Absent where streams take no commands. */
  readonly commands: CommandRunner | undefined
  readonly limits: SessionLimits
  readonly clock: Clock
  /** Uniform in [0, 1): spreads the reconnects, and the pings. */
  readonly random: () => number
  readonly metrics: StreamMetrics
  readonly logger: Logger
  /** Called once, when the session has ended for whatever reason. */
  readonly onEnd: (session: Session) => void
}

/** Whose session it is. */
export type SessionClient = {
  readonly transport: Transport
  /** The key that opened it, directly or by a token; absent for the admin key. */
  readonly keyId: string | undefined
}

type Mode = InboxSession['mode']

/** What makes a session start anew from a snapshot in the middle of its life. */
type Task =
  | { readonly kind: 'filter'; readonly filter: Filter | undefined; readonly requestId: string | undefined }
  | { readonly kind: 'refresh' }

/**
 * One client. It subscribes once; then the session is in one of two modes:
 *
 * - catching up: it reads the log itself, no faster than the client reads it, and asks the follower to
 *   take it over once nothing is missing;
 * - live: the follower offers it each new stretch of the log.
 *
 * Its position is how far it is complete: everything up to there was put on its way to the client, or is
 * not for this client (another filter, somebody else's subscriber). It moves on by stretches that follow
 * on each other in one epoch; the only other step is a `subscribed` or `snapshot` frame with a snapshot,
 * which says that events were lost. A stretch that does not follow is skipped as far as it is known, and
 * sends the session back to catching up when something is missing in between.
 */
export class Session implements LiveReader, InboxSession {
  readonly keyId: string | undefined
  readonly transport: Transport
  readonly #context: SessionContext
  readonly #outbox: Outbox
  readonly #openedAt: number
  #mode: Mode = 'opened'
  #position: Position | undefined
  #filter: Filter | undefined
  #tasks: readonly Task[] = NO_TASKS
  #inbox: Inbox | undefined
  #frames = 0
  #pingedAt: number
  #stalledSince: number | undefined
  /** When the client's calls are sent anew, though nobody asks for it. */
  #refreshAt: number | undefined

  constructor(context: SessionContext, { transport, keyId }: SessionClient) {
    const { clock, limits, metrics, random } = context
    this.keyId = keyId
    this.transport = transport
    this.#context = context
    this.#outbox = new Outbox(transport, { limits, metrics })
    this.#openedAt = clock.monotonic()
    // Clients that came together are not pinged together.
    this.#pingedAt = this.#openedAt - random() * limits.pingIntervalMs
  }

  get position(): Position | undefined {
    return this.#position
  }

  get mode(): Mode {
    return this.#mode
  }

  /** Where the client's messages go. */
  get inbox(): Inbox {
    const { clock, commands, limits, log } = this.#context
    const { appId } = log.app
    this.#inbox ??= new Inbox({
      session: this,
      caller: this.keyId === undefined ? { appId } : { appId, keyId: this.keyId },
      commands,
      limits,
      now: () => clock.monotonic(),
    })
    return this.#inbox
  }

  /** Starts the stream after a position, or with a snapshot. */
  subscribe(after: Position | null, filter?: StreamFilter | null): void {
    if (this.#mode !== 'opened') return
    this.#filter = filter ? this.#context.filters.get(filter) : undefined
    this.#catchUp(() => (after === null ? this.#startFresh(undefined) : this.#resume(after)))
  }

  changeFilter(filter: StreamFilter | null, requestId: string | undefined): void {
    if (this.#tasks.length >= TASKS_MAX) return this.close({ name: 'too_many_messages' })
    this.#add({ kind: 'filter', filter: filter === null ? undefined : this.#context.filters.get(filter), requestId })
  }

  tell(frame: Frame): void {
    this.#push(frame)
  }

  offer(batch: Batch): void {
    const last = this.#position
    if (last === undefined || this.#mode === 'ended') return
    // The same object for all that are at the follower's cursor.
    if (batch.after === last) return this.#send(batch)
    if (batch.isKnownAt(last)) return
    const rest = batch.startingAfter(last)
    if (rest !== undefined) return this.#send(rest)
    this.#context.follower.leave(this)
    if (this.#mode === 'live') this.#catchUp()
  }

  onGap(reason: LogGap): void {
    if (this.#mode === 'live') this.#catchUp(() => this.#tellGap(reason))
  }

  /** Sends the client's calls anew, because no event tells of what has become of them. */
  refresh(): void {
    if (!this.#tasks.some(({ kind }) => kind === 'refresh')) this.#add({ kind: 'refresh' })
  }

  /** Drops what waits for the client and is about subscribers that the app has lost. */
  dropInvisible(): void {
    const { isVisible } = this.#context.log
    this.#outbox.dropWhere((frame) => !isVisible(frame))
  }

  /** Pings when it is time and ends a session whose client does not keep its side; called every second. */
  beat(now: number): void {
    const { limits } = this.#context
    if (this.#mode === 'opened' && now - this.#openedAt >= limits.subscribeTimeoutMs) {
      return this.close({ name: 'subscribe_timeout' })
    }
    if (this.#stalledSince !== undefined && now - this.#stalledSince >= limits.drainTimeoutMs) {
      return this.#closeSlow()
    }
    if (this.#refreshAt !== undefined && now >= this.#refreshAt) {
      this.#refreshAt = undefined
      this.refresh()
    }
    // Idle clients should cost little.
    if (this.#inbox?.isIdle(now) === true) this.#inbox = undefined
    if (now - this.#pingedAt < limits.pingIntervalMs) return
    this.#pingedAt = now
    const ping = this.#mode === 'live' ? this.#context.pings.at(this.#position) : undefined
    const goesAtOnce = this.#outbox.isDrained
    if (!this.transport.probe(goesAtOnce ? ping : undefined)) {
      this.transport.terminate()
      return this.end()
    }
    if (ping === undefined) return
    if (goesAtOnce) this.#count(1)
    else this.#push(ping)
  }

  /** Ends the session and tells the client why. */
  close(closing: Closing): void {
    if (this.#mode === 'ended') return
    this.#context.metrics.closed(closing.name)
    this.#finish(closing.name)
    this.transport.close(closing)
  }

  /** The connection is gone, or about to be: forgets everything. */
  end(): void {
    if (this.#mode !== 'ended') this.#finish('client')
  }

  /** Closes because the store does not answer; the client is to come back a little later, elsewhere. */
  closeUnavailable(): void {
    this.close({ name: 'store_unavailable', retryAfterMs: this.#comeBackMs() })
  }

  #finish(reason: CloseName | 'client'): void {
    this.#mode = 'ended'
    this.#outbox.close()
    this.#tasks = NO_TASKS
    const { clock, follower, log, logger, onEnd } = this.#context
    follower.leave(this)
    const durationMs = Math.round(clock.monotonic() - this.#openedAt)
    logger.info(
      {
        app_id: log.app.appId,
        transport: this.transport.kind,
        reason,
        duration_ms: durationMs,
        frames: this.#frames,
      },
      'stream ended',
    )
    onEnd(this)
  }

  #add(task: Task): void {
    if (this.#mode === 'opened' || this.#mode === 'ended') return
    this.#tasks = [...this.#tasks, task]
    if (this.#mode !== 'live') return
    this.#context.follower.leave(this)
    this.#catchUp()
  }

  #catchUp(begin?: () => Promise<void>): void {
    this.#mode = 'catching_up'
    // Not awaited: it ends with the session, and reports failure by ending the session.
    void this.#runCatchUp(begin).catch((error: unknown) => {
      if (this.#mode === 'ended') return
      this.#context.logger.warn({ err: error, app_id: this.#context.log.app.appId }, 'stream cannot read the store')
      this.closeUnavailable()
    })
  }

  /** Whatever it waits for, many may wait for: so it has its turn before each piece that it sends. */
  async #runCatchUp(begin: (() => Promise<void>) | undefined): Promise<void> {
    await begin?.()
    while (this.#isCatchingUp()) {
      const [task, ...later] = this.#tasks
      if (task !== undefined) {
        this.#tasks = later
        await this.#perform(task)
        continue
      }
      await this.#untilDrained()
      await this.#context.pace.turn()
      if (this.#position === undefined || !this.#isCatchingUp()) return
      if (this.#tasks.length > 0) continue
      if (this.#context.follower.join(this)) {
        if (this.#isCatchingUp()) this.#mode = 'live'
        return
      }
      await this.#readOn(this.#position)
    }
  }

  async #readOn(position: Position): Promise<void> {
    const slice = await this.#read(position)
    if (!this.#isCatchingUp()) return
    if (slice.kind === 'gap') await this.#tellGap(slice.reason)
    else if (slice.batches.length > 0) await this.#sendAll(slice.batches)
    else await this.#context.follower.nextTurn()
  }

  async #resume(after: Position): Promise<void> {
    const slice = this.#context.follower.retains(after) ? undefined : await this.#read(after)
    if (slice?.kind === 'gap') return this.#startFresh(slice.reason)
    // The rest of an ended epoch may still be there, but nobody can say whether it is all of it.
    if (slice !== undefined && slice.top.epoch !== after.epoch) return this.#startFresh('epoch_changed')
    await this.#context.pace.turn()
    if (!this.#isCatchingUp()) return
    this.#context.metrics.subscribed('recovered')
    this.#noteStart(undefined)
    this.#position = after
    this.#push(toRecoveredFrame(after))
    if (slice !== undefined) await this.#sendAll(slice.batches)
  }

  async #startFresh(reason: LogGap | undefined): Promise<void> {
    const snapshot = await this.#context.snapshots.readInTurn(() => this.#isCatchingUp())
    if (!this.#isCatchingUp()) return
    this.#context.metrics.subscribed(reason ?? 'fresh')
    this.#noteStart(reason)
    if (this.#push(snapshot.subscribedFrame(reason, this.#filter))) this.#position = snapshot.position
  }

  async #tellGap(reason: LogGap): Promise<void> {
    this.#context.metrics.gap(reason)
    this.#noteStart(reason)
    this.#push(toGapFrame(reason))
    // First, so that it is not old when it is sent.
    await this.#untilDrained()
    if (!this.#isCatchingUp()) return
    const snapshot = await this.#context.snapshots.readInTurn(() => this.#isCatchingUp())
    if (!this.#isCatchingUp()) return
    const { position } = snapshot
    if (this.#push(snapshot.snapshotFrame(position, this.#filter))) this.#position = position
  }

  /**
   * Sends the calls anew. The session goes on from where it was, although the snapshot is newer: so no
   * event that is not about a call is missed.
   */
  async #perform(task: Task): Promise<void> {
    await this.#untilDrained()
    const position = this.#position
    if (position === undefined || !this.#isCatchingUp()) return
    const snapshot = await this.#context.snapshots.readInTurn(() => this.#isCatchingUp(), position)
    if (!this.#isCatchingUp()) return
    if (snapshot.position.epoch !== position.epoch) {
      this.#tasks = [task, ...this.#tasks]
      return this.#tellGap('epoch_changed')
    }
    if (task.kind === 'filter') this.#filter = task.filter
    this.#push(
      task.kind === 'filter'
        ? toFilteredFrame({ position, calls: snapshot.callsFor(this.#filter) }, task.requestId)
        : snapshot.snapshotFrame(position, this.#filter),
    )
  }

  /** It starts, now or again, from what may lack calls that are put back later. */
  #noteStart(reason: LogGap | undefined): void {
    if (reason === 'epoch_changed') this.#context.log.noteNewEpoch()
    this.#refreshAt = this.#context.log.putBackAt
  }

  async #sendAll(batches: readonly Batch[]): Promise<void> {
    for (const batch of batches) {
      if (!this.#outbox.hasRoomFor(batch.bytes)) await this.#untilDrained()
      await this.#context.pace.turn()
      if (!this.#isCatchingUp()) return
      // Looked at again, since it may have waited for the client.
      this.#send(batch.where(this.#context.log.isVisible))
    }
  }

  #send(batch: Batch): void {
    const filter = this.#filter
    const wanted = filter === undefined ? batch : batch.partFor(filter)
    if (wanted.count === 0 || this.#push(wanted)) this.#position = batch.last
  }

  /** Waits for the client to have read what it was sent; `beat` ends the session when that takes too long. */
  async #untilDrained(): Promise<void> {
    if (this.#outbox.isDrained) return
    this.#stalledSince = this.#context.clock.monotonic()
    await this.#outbox.drained()
    this.#stalledSince = undefined
  }

  async #read(after: Position): Promise<AppSlice> {
    return this.#context.log.readShared(after, READ_LIMIT)
  }

  #push(part: Frame | Bundle): boolean {
    if (this.#mode === 'ended') return false
    if (!this.#outbox.push(part)) {
      this.#closeSlow()
      return false
    }
    this.#count(part.count)
    return true
  }

  #count(frames: number): void {
    this.#frames += frames
    this.#context.metrics.sent(frames)
  }

  #closeSlow(): void {
    this.close({ name: 'slow_consumer', retryAfterMs: this.#comeBackMs() })
  }

  #comeBackMs(): number {
    return 1_000 + this.#context.random() * 4_000
  }

  #isCatchingUp(): boolean {
    return this.#mode === 'catching_up'
  }
}
