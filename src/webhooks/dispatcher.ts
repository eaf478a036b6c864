import type { Redis } from 'ioredis'
import type { Clock } from '../core/clock.ts'
import type { Directory } from '../core/directory.ts'
import type { EndpointRepository } from '../core/endpoint.ts'
import type { EventLog } from '../core/event-log.ts'
import type { AppId, AppRef } from '../core/ids.ts'
import type { Logger } from '../core/logger.ts'
import type { Service } from '../core/service.ts'
import { Waker } from '../core/waker.ts'
import type { Deliverer } from './deliverer.ts'
import { DeliveryStore, STORE_LIMITS } from './delivery-store.ts'
import type { StoreLimits } from './delivery-store.ts'
import { Drainer } from './drainer.ts'
import { Follower } from './follower.ts'
import type { WebhookMetrics } from './metrics.ts'
import { WakeUpQueue } from './queue.ts'
import { RETRY_SCHEDULE } from './retry-schedule.ts'
import type { RetrySchedule } from './retry-schedule.ts'
import { SecretCache } from './secret-cache.ts'
import { Sweeper } from './sweeper.ts'

export type DispatcherOptions = {
  /** Makes a Redis connection with `maxRetriesPerRequest: null`; the dispatcher closes what it made. */
  readonly connect: () => Redis
  readonly eventLog: EventLog
  readonly directory: Directory
  readonly endpoints: EndpointRepository
  readonly deliverer: Deliverer
  readonly metrics: WebhookMetrics
  readonly log: Logger
  readonly clock: Clock
  /** Uniform in [0, 1), for jitter. */
  readonly random: () => number
  readonly schedule?: RetrySchedule
  readonly limits?: Partial<StoreLimits>
  /** Deliveries under way at a time in this process. */
  readonly concurrency?: number
}

const SWEEP_MS = 5_000

type Running = { readonly follower: Follower; readonly stop: AbortController; readonly ended: Promise<void> }

/**
 * The delivery engine:
 *
 *   app log ─► Follower ─(one script: lanes, events, cursors)─► DeliveryStore
 *                  └────────────── wake-ups ─► WakeUpQueue ─► Drainer ─► Deliverer ─► endpoint
 *                                     ▲ Sweeper (what was lost)  │
 *                                     └──────────────────────────┘ slots handed over
 *
 * The log is the outbox. From there on an event is in its lanes until it is delivered, given up with an
 * error and a count, or its endpoint is removed. A lane (one endpoint, one order key) has one owner at a
 * time and only its first event is ever sent, so order needs no waiting for anybody else. Any number of
 * dispatchers may run; each part is safe against a crash at any point, at the price of a repetition.
 */
export class Dispatcher implements Service {
  readonly name = 'webhook-dispatcher'
  readonly #options: DispatcherOptions
  readonly #followers = new Map<AppId, Running>()
  readonly #waker: Waker
  #stopping = new AbortController()
  #redis: Redis | undefined
  #queue: WakeUpQueue | undefined
  #drainer: Drainer | undefined
  #unwatch: (() => void) | undefined
  #sweeping: Promise<void> = Promise.resolve()

  constructor(options: DispatcherOptions) {
    this.#options = options
    this.#waker = new Waker(options.clock)
  }

  /**
   * Starts to follow and to deliver. Resolves when every endpoint has its place in its app's log: to be
   * awaited before anything can append, so that even a lost store makes no event be missed.
   */
  async start(): Promise<void> {
    const { connect, log, clock, deliverer, schedule = RETRY_SCHEDULE, limits, concurrency } = this.#options
    this.#stopping = new AbortController()
    const redis = connect()
    this.#redis = redis
    redis.on('error', (error) => log.warn({ err: error }, 'delivery store connection failed'))
    const store = new DeliveryStore(redis, { ...STORE_LIMITS, ...limits })
    const queue = new WakeUpQueue({ connect, log, ...(concurrency !== undefined && { concurrency }) })
    const wake = (lanes: Parameters<WakeUpQueue['add']>[0]) => queue.add(lanes)
    const secrets = new SecretCache(this.#options.endpoints, clock)
    const drainer = new Drainer({ ...this.#options, store, schedule, secrets, wake })
    this.#queue = queue
    this.#drainer = drainer
    try {
      deliverer.start()
      await queue.start((lane) => drainer.drain(lane))
    } catch (error) {
      await this.stop(AbortSignal.abort())
      throw error
    }
    this.#unwatch = this.#options.directory.onChange(() => this.#refresh(store))
    this.#refresh(store)
    const sweeper = new Sweeper({ ...this.#options, store, wake })
    this.#sweeping = this.#sweep(sweeper, this.#stopping.signal)
    await Promise.all([...this.#followers.values()].map(({ follower }) => follower.placed))
  }

  /**
   * Takes nothing more from the logs, lets attempts under way end until `deadline`, then breaks them off
   * and hands their lanes back for another instance to take at once.
   */
  async stop(deadline: AbortSignal): Promise<void> {
    this.#unwatch?.()
    this.#unwatch = undefined
    this.#stopping.abort()
    this.#drainer?.stop(deadline)
    const followers = [...this.#followers.values()]
    this.#followers.clear()
    for (const { stop } of followers) stop.abort()
    await this.#queue?.stop(deadline)
    this.#queue = undefined
    await this.#options.deliverer.stop()
    // Ends the commands of loops that wait for a store which does not answer.
    this.#redis?.disconnect()
    this.#redis = undefined
    await Promise.all([this.#sweeping, ...followers.map(({ ended }) => ended)])
  }

  /** Follows the apps that have endpoints, and no others. */
  #refresh(store: DeliveryStore): void {
    const { directory, eventLog } = this.#options
    const apps = directory.apps().filter(({ appId }) => directory.endpointsOf(appId).length > 0)
    const wanted = new Set(apps.map(({ appId }) => appId))
    for (const [appId, { stop }] of this.#followers) {
      if (wanted.has(appId)) continue
      stop.abort()
      this.#followers.delete(appId)
    }
    for (const app of apps) {
      const running = this.#followers.get(app.appId) ?? this.#follow(app, { store, eventLog })
      running.follower.refresh()
    }
    // Endpoints may have been removed.
    this.#waker.wake()
  }

  #follow(app: AppRef, { store, eventLog }: { readonly store: DeliveryStore; readonly eventLog: EventLog }): Running {
    const follower = new Follower({
      ...this.#options,
      app,
      store,
      eventLog,
      wake: (lanes) => this.#queue?.add(lanes) ?? Promise.resolve(),
    })
    const stop = new AbortController()
    const running = { follower, stop, ended: follower.run(stop.signal) }
    this.#followers.set(app.appId, running)
    return running
  }

  async #sweep(sweeper: Sweeper, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options
    while (!signal.aborted) {
      const startedAt = clock.monotonic()
      await sweeper.run().catch((error: unknown) => {
        if (!signal.aborted) log.warn({ err: error }, 'sweep of the delivery store failed')
      })
      await this.#waker.wait(SWEEP_MS, signal)
      // Changes come in bursts; one round a second is enough for them.
      const rest = startedAt + 1_000 - clock.monotonic()
      if (rest > 0) await clock.wait(rest, signal).catch(() => undefined)
    }
  }
}
