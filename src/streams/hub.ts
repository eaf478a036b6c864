import type { CallReader } from '../core/call-reader.ts'
import type { Clock } from '../core/clock.ts'
import type { Directory } from '../core/directory.ts'
import { GatewayError } from '../core/errors.ts'
import type { EventLog } from '../core/event-log.ts'
import type { AppId, AppRef } from '../core/ids.ts'
import type { Logger } from '../core/logger.ts'
import type { Service } from '../core/service.ts'
import { Follower } from './follower.ts'
import type { StreamMetrics } from './metrics.ts'
import type { SessionLimits } from './session.ts'
import { Session } from './session.ts'
import { SnapshotReader } from './snapshot.ts'
import type { Transport } from './transport.ts'

const BEAT_MS = 1_000
/** Within which the clients of a draining instance are asked to come back. */
const DRAIN_SPREAD_MS = 10_000

const DEFAULT_SESSION_LIMITS: SessionLimits = {
  subscribeTimeoutMs: 10_000,
  pingIntervalMs: 25_000,
  outboxBytesMax: 1024 * 1024,
  drainTimeoutMs: 30_000,
  storeTimeoutMs: 15_000,
}

export type HubOptions = {
  readonly log: EventLog
  readonly calls: CallReader
  readonly directory: Directory
  readonly metrics: StreamMetrics
  readonly logger: Logger
  readonly clock: Clock
  /** Uniform in [0, 1), for jitter. */
  readonly random: () => number
  readonly limits?: Partial<SessionLimits>
}

/** Whose stream may be opened, and the key that proved it; without `keyId` the admin key did. */
export type Admission = { readonly app: AppRef; readonly keyId?: string | undefined }

/** The open sessions of an app and the follower they share. */
type Feed = {
  readonly follower: Follower
  readonly sessions: Set<Session>
  readonly stop: AbortController
  /** Whether the directory has known the app since: until it does, absence does not mean removal. */
  isListed: boolean
}

/**
 * All streams of this instance. While an app has a session, one {@link Follower} reads the app's log for
 * all its sessions; an app without sessions costs nothing. What a client gets, for every kind of start:
 *
 * 1. `subscribed` with a position P: the asked one (`recovered: true`) or that of the enclosed snapshot.
 * 2. Every entry of the log after P, each once, in order; first read by the session, then handed over
 *    by the follower (see there for how nothing is lost or doubled in between).
 * 3. If the log cannot prove that something is complete any more: `gap`, then a snapshot with a new
 *    position, and on from there. There is no other way to miss an event.
 *
 * A feed belongs to one app and a session to one feed, so no frame can reach another app's client.
 */
export class Hub implements Service {
  readonly name = 'streams'
  readonly #options: HubOptions
  readonly #limits: SessionLimits
  readonly #snapshots: SnapshotReader
  readonly #feeds = new Map<AppId, Feed>()
  readonly #running = new Set<Promise<void>>()
  readonly #stopped = new AbortController()
  #unlisten: (() => void) | undefined
  #isDraining = false

  constructor(options: HubOptions) {
    this.#options = options
    this.#limits = { ...DEFAULT_SESSION_LIMITS, ...options.limits }
    this.#snapshots = new SnapshotReader(options)
  }

  async start(): Promise<void> {
    this.#unlisten = this.#options.directory.onChange(() => this.#closeRevoked())
    this.#track(this.#beat())
  }

  /** Drains. The connections themselves are closed by whoever opened them. */
  async stop(deadline: AbortSignal): Promise<void> {
    this.#unlisten?.()
    this.drain()
    this.#stopped.abort()
    const expired = new Promise<void>((resolve) => {
      if (deadline.aborted) return resolve()
      deadline.addEventListener('abort', () => resolve(), { once: true })
    })
    await Promise.race([Promise.all(this.#running), expired])
  }

  /** Whether new sessions are refused because the instance shuts down. */
  get isDraining(): boolean {
    return this.#isDraining
  }

  /**
   * Adopts a client's connection, already authenticated. Throws `draining` while the instance shuts down.
   * The caller passes on messages, and calls `end` when the connection is gone. The session ends by itself
   * when the app or the key that opened it is removed.
   */
  open({ app, keyId }: Admission, transport: Transport): Session {
    if (this.#isDraining) throw new GatewayError('draining', { retryAfterSeconds: 1 })
    const { log, clock, random, metrics, logger } = this.#options
    const feed = this.#feedOf(app)
    const session = new Session({
      app,
      keyId,
      transport,
      follower: feed.follower,
      log,
      snapshots: this.#snapshots,
      limits: this.#limits,
      clock,
      random,
      metrics,
      logger,
      onEnd: (ended) => this.#forget(feed, ended),
    })
    feed.sessions.add(session)
    metrics.opened(transport.kind)
    // Removed between its authentication and now, when there was no session yet to close.
    if (this.#hasLostKey(session)) session.close({ name: 'unauthorized' })
    return session
  }

  /** Takes no more sessions and asks all clients to come back, spread over some seconds. */
  drain(): void {
    this.#isDraining = true
    for (const session of this.#sessions()) {
      session.close({ name: 'draining', retryAfterMs: this.#options.random() * DRAIN_SPREAD_MS })
    }
  }

  #feedOf(app: AppRef): Feed {
    const existing = this.#feeds.get(app.appId)
    if (existing !== undefined) return existing
    const { log, clock, logger } = this.#options
    const feed: Feed = {
      follower: new Follower({ app, log, clock, logger }),
      sessions: new Set(),
      stop: new AbortController(),
      isListed: this.#options.directory.app(app.appId) !== undefined,
    }
    this.#feeds.set(app.appId, feed)
    this.#track(feed.follower.run(feed.stop.signal))
    return feed
  }

  #forget(feed: Feed, session: Session): void {
    feed.sessions.delete(session)
    this.#options.metrics.ended(session.transport.kind)
    if (feed.sessions.size > 0) return
    feed.stop.abort()
    if (this.#feeds.get(session.app.appId) === feed) this.#feeds.delete(session.app.appId)
  }

  async #beat(): Promise<void> {
    const { clock } = this.#options
    const signal = this.#stopped.signal
    while (!signal.aborted) {
      for (const { follower, sessions } of this.#feeds.values()) {
        const isStoreLost = follower.silentMs >= this.#limits.storeTimeoutMs
        for (const session of sessions) {
          if (isStoreLost) session.closeUnavailable()
          else session.beat(clock.monotonic())
        }
      }
      await clock.wait(BEAT_MS, signal).catch(() => undefined)
    }
  }

  #closeRevoked(): void {
    for (const [appId, feed] of this.#feeds) {
      const isListed = this.#options.directory.app(appId) !== undefined
      const isRemoved = feed.isListed && !isListed
      feed.isListed = isListed
      for (const session of feed.sessions) {
        if (isRemoved || this.#hasLostKey(session)) session.close({ name: 'unauthorized' })
      }
    }
  }

  /** The directory knows a key at the latest when it has been accepted, so that absence means removal. */
  #hasLostKey({ keyId }: Session): boolean {
    return keyId !== undefined && this.#options.directory.key(keyId) === undefined
  }

  #sessions(): readonly Session[] {
    return [...this.#feeds.values()].flatMap(({ sessions }) => [...sessions])
  }

  #track(task: Promise<void>): void {
    this.#running.add(task)
    void task.finally(() => this.#running.delete(task))
  }
}
