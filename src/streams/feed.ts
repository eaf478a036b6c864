import type { CallReader } from '../core/call-reader.ts'
import type { Clock } from '../core/clock.ts'
import type { EventLog } from '../core/event-log.ts'
import type { AppRef, SubscriberId } from '../core/ids.ts'
import { readLiveCalls } from '../core/live-calls.ts'
import type { Logger } from '../core/logger.ts'
import type { RefreshableDirectory } from './app-log.ts'
import { AppLog } from './app-log.ts'
import type { Closing } from './close-codes.ts'
import type { CommandRunner } from './commands.ts'
import { Filters } from './filters.ts'
import { Follower } from './follower.ts'
import type { HubLimits } from './limits.ts'
import type { PollRequest } from './long-poll.ts'
import { LongPoll } from './long-poll.ts'
import type { StreamMetrics } from './metrics.ts'
import type { Pace } from './pace.ts'
import { Pings } from './pings.ts'
import type { PollAnswer } from './protocol.ts'
import type { SessionClient, SessionContext } from './session.ts'
import { Session } from './session.ts'
import { SnapshotReader } from './snapshot.ts'

/** How long an app's log is followed on after its last client has gone: one that polls is back soon. */
const LINGER_MS = 10_000

export type FeedOptions = {
  readonly log: EventLog
  readonly calls: CallReader
  readonly directory: RefreshableDirectory
  /** Absent where streams take no commands. */
  readonly commands?: CommandRunner | undefined
  readonly metrics: StreamMetrics
  readonly logger: Logger
  readonly clock: Clock
  /** Uniform in [0, 1), for jitter. */
  readonly random: () => number
}

/** What all feeds of an instance share. */
export type FeedContext = FeedOptions & { readonly limits: HubLimits; readonly pace: Pace }

/** One long poll and whose it is; `gone` aborts when the client has left. */
export type PollClient = {
  readonly request: PollRequest
  readonly keyId: string | undefined
  readonly gone: AbortSignal
}

/** The streams of one app, and what they share: one follower and one reader of snapshots. */
export class Feed {
  readonly app: AppRef
  readonly #options: FeedContext
  readonly #context: SessionContext
  readonly #sessions = new Set<Session>()
  readonly #polls = new Set<LongPoll>()
  /** As of the last change of the directory. */
  #subscribers: ReadonlySet<SubscriberId>
  /** Whether the directory has known the app since: until it does, absence does not mean removal. */
  #isListed: boolean
  #isRefreshDue = false
  #leftAt: number

  constructor(app: AppRef, options: FeedContext) {
    const { calls, clock, commands, directory, limits, logger, metrics, pace, random } = options
    this.app = app
    this.#options = options
    const log = new AppLog({ app, log: options.log, directory, clock })
    this.#context = {
      log,
      follower: new Follower({ log, clock, logger }),
      snapshots: new SnapshotReader({ log, calls, directory, pace }),
      pings: new Pings(),
      filters: new Filters(),
      pace,
      commands,
      limits,
      clock,
      random,
      metrics,
      logger,
      onEnd: (session) => this.#forget(session),
    }
    this.#subscribers = log.subscribers.ids
    this.#isListed = directory.app(app.appId) !== undefined
    this.#leftAt = clock.monotonic()
  }

  /** How many clients there are. */
  get size(): number {
    return this.#sessions.size + this.#polls.size
  }

  /** Follows the log until the signal aborts; never rejects. */
  run(signal: AbortSignal): Promise<void> {
    return this.#context.follower.run(signal)
  }

  /** A session of a client, whose key may have been removed since it was looked at. */
  open(client: SessionClient): Session {
    const session = new Session(this.#context, client)
    this.#sessions.add(session)
    this.#options.metrics.opened(client.transport.kind)
    if (this.#hasLostKey(session)) session.close({ name: 'unauthorized' })
    return session
  }

  /** Answers one long poll. */
  async poll({ gone, ...client }: PollClient): Promise<PollAnswer> {
    const poll = new LongPoll(this.#context, client)
    const onGone = () => poll.close({ name: 'draining' })
    this.#polls.add(poll)
    this.#options.metrics.opened('long_poll')
    gone.addEventListener('abort', onGone, { once: true })
    if (this.#hasLostKey(poll)) poll.close({ name: 'unauthorized' })
    if (gone.aborted) onGone()
    try {
      return await poll.answer()
    } finally {
      gone.removeEventListener('abort', onGone)
      this.#polls.delete(poll)
      this.#options.metrics.ended('long_poll')
      this.#leftAt = this.#options.clock.monotonic()
    }
  }

  /** Looks after the sessions; called every second. False when nobody has been there for a while. */
  beat(now: number): boolean {
    const { follower, limits, log } = this.#context
    if (this.size === 0) return now - this.#leftAt < LINGER_MS
    if (follower.silentMs >= limits.storeTimeoutMs) {
      for (const client of this.#clients()) client.closeUnavailable()
      return true
    }
    log.pruneShared()
    const isRefreshed = this.#isRefreshDue
    this.#isRefreshDue = false
    for (const session of this.#sessions) {
      session.beat(now)
      if (isRefreshed) session.refresh()
    }
    return true
  }

  /** The directory has changed: closes whatever has lost its right, and hides what is not the app's any more. */
  onDirectoryChange(): void {
    const isListed = this.#options.directory.app(this.app.appId) !== undefined
    const isRemoved = this.#isListed && !isListed
    this.#isListed = isListed
    for (const client of this.#clients()) {
      if (isRemoved || this.#hasLostKey(client)) client.close({ name: 'unauthorized' })
    }
    this.#compareSubscribers()
  }

  /** Ends all of them; `closing` is made for each. */
  closeAll(closing: () => Closing): void {
    for (const client of this.#clients()) client.close(closing())
  }

  /**
   * What a client knows of a lost subscriber's calls would stay as it is for good, since their end is not
   * told any more; and nothing is told of the calls that a gained subscriber has already. Both are put
   * right by sending the calls anew, once a second at most.
   */
  #compareSubscribers(): void {
    const before = this.#subscribers
    const now = this.#context.log.subscribers.ids
    if (now === before) return
    this.#subscribers = now
    const gained = new Set([...now].filter((id) => !before.has(id)))
    const hasLost = now.size - gained.size < before.size
    if (!hasLost && gained.size === 0) return
    // It holds what may not be sent any more, and lacks what may be sent by now.
    this.#context.follower.forgetRecent()
    this.#context.log.forgetShared()
    this.#isRefreshDue ||= hasLost
    if (hasLost) for (const session of this.#sessions) session.dropInvisible()
    // Not awaited: never rejects.
    if (gained.size > 0 && !this.#isRefreshDue && this.#sessions.size > 0) void this.#refreshIfLive(gained)
  }

  /** Never rejects. */
  async #refreshIfLive(gained: ReadonlySet<SubscriberId>): Promise<void> {
    const { calls, directory, logger } = this.#options
    const assignments = directory
      .assignmentsOfApp(this.app.appId)
      .filter(({ subscriberId }) => gained.has(subscriberId))
    try {
      this.#isRefreshDue ||= (await readLiveCalls(calls, assignments)).length > 0
    } catch (error) {
      logger.warn({ err: error, app_id: this.app.appId }, 'calls of new subscribers not readable')
      this.#isRefreshDue = true
    }
  }

  #forget(session: Session): void {
    this.#sessions.delete(session)
    this.#options.metrics.ended(session.transport.kind)
    this.#leftAt = this.#options.clock.monotonic()
  }

  /** The directory knows a key at the latest when it has been accepted, so that absence means removal. */
  #hasLostKey({ keyId }: Pick<Session | LongPoll, 'keyId'>): boolean {
    return keyId !== undefined && this.#options.directory.key(keyId) === undefined
  }

  #clients(): readonly (Session | LongPoll)[] {
    return [...this.#sessions, ...this.#polls]
  }
}
