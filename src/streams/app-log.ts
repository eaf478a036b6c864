import { SUBSCRIBER_UNASSIGNED } from '../core/call-event.ts'
import type { Clock } from '../core/clock.ts'
import type { Directory } from '../core/directory.ts'
import { GatewayError } from '../core/errors.ts'
import type { EventLog, LogEntry, LogGap } from '../core/event-log.ts'
import type { AppRef, SubscriberId } from '../core/ids.ts'
import type { Position } from '../core/position.ts'
import { formatPosition } from '../core/position.ts'
import { AssignedSubscribers } from './assigned-subscribers.ts'
import type { Batch } from './batch.ts'
import { toBatches } from './batch.ts'
import type { Frame } from './frame.ts'
import { toEventFrame } from './protocol.ts'
import { SharedReads } from './shared-reads.ts'

const REFRESH_TIMEOUT_MS = 3_000
const SHARED_MS = 1_000
/** Within which calls are put back, without an event, after the store was lost and a new epoch has begun. */
const PUT_BACK_MS = 5_000

/** A directory that can be asked to follow every change that was committed before the question. */
export type RefreshableDirectory = Directory & { refresh(): Promise<void> }

/** `entryCount` includes entries that are not in any batch's frames; `isFull` when there may be more. */
export type AppSlice =
  | {
      readonly kind: 'batches'
      readonly batches: readonly Batch[]
      readonly entryCount: number
      readonly isFull: boolean
      readonly top: Position
    }
  | { readonly kind: 'gap'; readonly reason: LogGap; readonly top: Position }

export type AppLogOptions = {
  readonly app: AppRef
  readonly log: EventLog
  readonly directory: RefreshableDirectory
  readonly clock: Clock
}

/**
 * An app's log as its streams may show it: without what is about subscribers that the app has lost. Who
 * is assigned counts now, when it is sent, not when it was written.
 */
export class AppLog {
  readonly app: AppRef
  readonly subscribers: AssignedSubscribers
  readonly #options: AppLogOptions
  readonly #shared: SharedReads<AppSlice>
  #putBackAt = Number.NEGATIVE_INFINITY

  constructor(options: AppLogOptions) {
    this.#options = options
    this.app = options.app
    this.#shared = new SharedReads({ keepMs: SHARED_MS, isLasting, clock: options.clock })
    this.subscribers = new AssignedSubscribers(options.directory, options.app.appId)
  }

  /** A new epoch was met. */
  noteNewEpoch(): void {
    this.#putBackAt = this.#options.clock.monotonic() + PUT_BACK_MS
  }

  /** When calls that were missing in snapshots of a new epoch are there; undefined when no epoch has begun lately. */
  get putBackAt(): number | undefined {
    return this.#options.clock.monotonic() < this.#putBackAt ? this.#putBackAt : undefined
  }

  top(): Promise<Position> {
    return this.#options.log.top(this.app)
  }

  /** See {@link EventLog.watch}. */
  watch(onWake: () => void): () => void {
    return this.#options.log.watch(this.app, onWake)
  }

  /** Whether the app may see the frame now, whenever it was made. */
  readonly isVisible = ({ about }: Frame): boolean =>
    about === undefined || this.#mayTell(about.event, about.subscriberId)

  /**
   * Like {@link read}, for those who catch up: what it answers may be a moment old, and is shared by those
   * who lack the same.
   */
  readShared(after: Position, limit: number): Promise<AppSlice> {
    return this.#shared.get(`${formatPosition(after)} ${limit}`, () => this.read(after, limit))
  }

  /** Forgets what it would share: other entries of it are to be sent by now. */
  forgetShared(): void {
    this.#shared.clear()
  }

  /** Forgets of it what is too old. */
  pruneShared(): void {
    this.#shared.prune()
  }

  /**
   * Up to `limit` entries after `after`, or why they cannot be proven complete. Rejects with `store_unavailable`, also
   * when nobody can say whether an entry is about a subscriber of the app: leaving it out would be a gap that is not told.
   */
  async read(after: Position, limit: number): Promise<AppSlice> {
    const slice = await this.#options.log.read(this.app, after, limit)
    if (slice.kind === 'gap') return slice
    const { entries, top } = slice
    const canSee = ({ type, subscriberId }: LogEntry) => this.#mayTell(type, subscriberId)
    // Older than the loss of its subscriber, or newer than our knowledge of its gain.
    if (!entries.every(canSee)) await this.#refreshDirectory()
    const batches = toBatches(after, entries, (entry) => (canSee(entry) ? toEventFrame(entry) : undefined))
    return { kind: 'batches', batches, entryCount: entries.length, isFull: entries.length === limit, top }
  }

  /** That it has lost a subscriber is the one thing about it that an app is still told. */
  #mayTell(type: string, subscriberId: SubscriberId | undefined): boolean {
    return type === SUBSCRIBER_UNASSIGNED || this.subscribers.canSee(subscriberId)
  }

  async #refreshDirectory(): Promise<void> {
    const { directory, clock } = this.#options
    const refreshed = new AbortController()
    const expired = clock.wait(REFRESH_TIMEOUT_MS, refreshed.signal).then(() => {
      throw new GatewayError('store_unavailable', { cause: new Error('the directory does not answer') })
    })
    try {
      await Promise.race([directory.refresh(), expired])
    } finally {
      refreshed.abort()
      expired.catch(() => undefined)
    }
  }
}

/** In the middle of the log a slice stays what it is, but for the subscribers that the app gets or loses. */
const isLasting = (slice: AppSlice): boolean => slice.kind === 'batches' && slice.isFull
