import { GatewayError } from '../core/errors.ts'
import type { AppId, AppRef } from '../core/ids.ts'
import type { Service } from '../core/service.ts'
import type { FeedContext, FeedOptions, PollClient } from './feed.ts'
import { Feed } from './feed.ts'
import type { HubLimits } from './limits.ts'
import { DEFAULT_LIMITS } from './limits.ts'
import { Pace } from './pace.ts'
import type { PollAnswer } from './protocol.ts'
import type { Session } from './session.ts'
import type { Transport } from './transport.ts'

const BEAT_MS = 1_000
/** Within which the clients of a draining instance are asked to come back. */
const DRAIN_SPREAD_MS = 10_000
/** When an app that has too many streams may try again. */
const TOO_MANY_RETRY_SECONDS = 5

/** The latest at which those may try again for whom there is no room in the queue. */
const OVERLOADED_RETRY_SECONDS_MAX = 5

export type HubOptions = FeedOptions & { readonly limits?: Partial<HubLimits> }

/** Whose stream may be opened, and the key that proved it; without `keyId` the admin key did. */
export type Admission = { readonly app: AppRef; readonly keyId?: string | undefined }

/**
 * All streams of this instance. While an app has a client, one follower reads the app's log for all its
 * clients; an app without clients costs nothing. What a client gets, for every kind of start:
 *
 * 1. `subscribed` with a position P: the asked one (`recovered: true`) or that of the enclosed snapshot.
 * 2. Of every entry of the log after P, in order and once, what the client's filter wants and is about no
 *    subscriber that the app has lost; first read by the session, then handed over by the follower (see
 *    there for how nothing is lost or doubled in between).
 * 3. If the log cannot prove that something is complete any more: `gap`, then a snapshot with a new
 *    position, and on from there. There is no other way to miss an event.
 *
 * A feed belongs to one app and a session to one feed, so no frame can reach another app's client.
 */
export class Hub implements Service {
  readonly name = 'streams'
  /** For what clients that come at once cost. */
  readonly #pace: Pace
  readonly #options: FeedContext
  readonly #feeds = new Map<AppId, { readonly feed: Feed; readonly stop: AbortController }>()
  readonly #running = new Set<Promise<void>>()
  readonly #stopped = new AbortController()
  #unlisten: (() => void) | undefined
  #isDraining = false

  constructor(options: HubOptions) {
    this.#pace = new Pace(options.clock)
    this.#options = { ...options, limits: { ...DEFAULT_LIMITS, ...options.limits }, pace: this.#pace }
  }

  async start(): Promise<void> {
    this.#unlisten = this.#options.directory.onChange(() => {
      for (const { feed } of this.#feeds.values()) feed.onDirectoryChange()
    })
    this.#track(this.#beat())
  }

  /** Drains. The connections themselves are closed by whoever opened them. */
  async stop(deadline: AbortSignal): Promise<void> {
    this.#unlisten?.()
    this.drain()
    this.#stopped.abort()
    for (const { stop } of this.#feeds.values()) stop.abort()
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
   * Waits until a request for a stream may be looked at: thousands come at once when another instance has gone.
   * Rejects with `draining`, and with `overloaded` when too much waits already; those who are sent away are asked
   * to come back at different times.
   */
  async admit(): Promise<void> {
    const { limits, metrics, random } = this.#options
    if (!this.#isDraining && this.#pace.waiting >= limits.openingsWaitingMax) {
      metrics.refused('overloaded')
      const retryAfterSeconds = 1 + Math.floor(random() * OVERLOADED_RETRY_SECONDS_MAX)
      throw new GatewayError('overloaded', { retryAfterSeconds })
    }
    await this.#pace.turn()
    if (this.#isDraining) throw new GatewayError('draining', { retryAfterSeconds: 1 })
  }

  /** Throws what `open` would throw: `draining` while the instance shuts down, `too_many_streams`. */
  checkRoom({ appId }: AppRef): void {
    if (this.#isDraining) throw new GatewayError('draining', { retryAfterSeconds: 1 })
    const { limits, metrics } = this.#options
    const open = this.#feeds.get(appId)?.feed.size ?? 0
    if (open < limits.streamsPerAppMax) return
    metrics.refused('too_many_streams')
    throw new GatewayError('too_many_streams', {
      detail: `Up to ${limits.streamsPerAppMax} streams of an app may be open on one instance.`,
      retryAfterSeconds: TOO_MANY_RETRY_SECONDS,
    })
  }

  /**
   * Adopts a client's connection, already authenticated. Throws `draining` and `too_many_streams`.
   * The caller passes on messages, and calls `end` when the connection is gone. The session ends by itself
   * when the app or the key that opened it is removed.
   */
  open({ app, keyId }: Admission, transport: Transport): Session {
    this.checkRoom(app)
    return this.#feedOf(app).open({ transport, keyId })
  }

  /**
   * Answers a request for what comes after a position. Rejects with `draining`, `too_many_streams`,
   * `unauthorized` and `store_unavailable`.
   */
  async poll({ app, keyId }: Admission, asked: Omit<PollClient, 'keyId'>): Promise<PollAnswer> {
    this.checkRoom(app)
    return this.#feedOf(app).poll({ ...asked, keyId })
  }

  /** Takes no more sessions and asks all clients to come back, spread over some seconds. */
  drain(): void {
    this.#isDraining = true
    const { random } = this.#options
    for (const { feed } of this.#feeds.values()) {
      feed.closeAll(() => ({ name: 'draining', retryAfterMs: random() * DRAIN_SPREAD_MS }))
    }
  }

  #feedOf(app: AppRef): Feed {
    const existing = this.#feeds.get(app.appId)
    if (existing !== undefined) return existing.feed
    const feed = new Feed(app, this.#options)
    const stop = new AbortController()
    this.#feeds.set(app.appId, { feed, stop })
    this.#track(feed.run(stop.signal))
    return feed
  }

  async #beat(): Promise<void> {
    const { clock } = this.#options
    const signal = this.#stopped.signal
    while (!signal.aborted) {
      for (const [appId, { feed, stop }] of this.#feeds) {
        if (feed.beat(clock.monotonic())) continue
        stop.abort()
        this.#feeds.delete(appId)
      }
      await clock.wait(BEAT_MS, signal).catch(() => undefined)
    }
  }

  #track(task: Promise<void>): void {
    this.#running.add(task)
    void task.finally(() => this.#running.delete(task))
  }
}
