import type { Redis } from 'ioredis'
import type { Clock } from '../core/clock.ts'
import type { Directory } from '../core/directory.ts'
import type { EndpointRepository } from '../core/endpoint.ts'
import type { EventLog } from '../core/event-log.ts'
import type { AppId, AppRef } from '../core/ids.ts'
import type { Logger } from '../core/logger.ts'
import type { OperatorEventRepository } from '../core/operator-event.ts'
import type { Service } from '../core/service.ts'
import { Waker } from '../core/waker.ts'
import type { CredentialCache } from './credential-cache.ts'
import type { Deliverer } from './deliverer.ts'
import type { EndpointRef, WakeUp } from './delivery.ts'
import { DeliveryStore, STORE_LIMITS } from './delivery-store.ts'
import type { StoreLimits } from './delivery-store.ts'
import { Drainer } from './drainer.ts'
import { Drains } from './drains.ts'
import { endsBefore } from './ends-before.ts'
import { FailureWatch } from './failure-watch.ts'
import { Follower } from './follower.ts'
import { IntakeBrake } from './intake-brake.ts'
import type { WebhookMetrics } from './metrics.ts'
import { WakeUpQueue } from './queue.ts'
import { StoreClock } from './store-clock.ts'
import { Sweeper } from './sweeper.ts'

export type DispatcherOptions = {
  /** Makes a Redis connection with `maxRetriesPerRequest: null`; the dispatcher closes what it made. */
  readonly connect: () => Redis
  readonly eventLog: EventLog
  readonly directory: Directory
  readonly endpoints: EndpointRepository
  readonly events: Pick<OperatorEventRepository, 'append'>
  readonly credentials: CredentialCache
  readonly deliverer: Deliverer
  readonly metrics: WebhookMetrics
  readonly log: Logger
  readonly clock: Clock
  /** Uniform in [0, 1), for jitter. */
  readonly random: () => number
  readonly limits?: Partial<StoreLimits>
  /** Lanes worked on at a time in this process for jobs of the queue. */
  readonly concurrency?: number
  /** And without a job, as soon as they are found to have something to send. */
  readonly directCapacity?: number
}

const SWEEP_MS = 2_000

type Running = { readonly follower: Follower; readonly stop: AbortController; readonly ended: Promise<void> }

/** What a start makes and a stop takes apart. */
type Engine = {
  readonly redis: Redis
  readonly store: DeliveryStore
  readonly queue: WakeUpQueue
  readonly drainer: Drainer
  readonly drains: Drains
  readonly brake: IntakeBrake
}

/**
 * The delivery engine:
 *
 *   app log ─► Follower ─(one script: lanes, events, cursors)─► DeliveryStore
 *                  │ wake-ups, lanes begun
 *                  ▼
 *               Drains ─ room for it? ─► Drainer ─► Deliverer ─► endpoint
 *                  │ ▲                      │
 *        no room,  │ │ jobs                 │ lanes to come back to, slots handed over
 *        or later  ▼ │                      │
 *              WakeUpQueue ◄────────────────┘
 *                  ▲
 *               Sweeper (what was lost)
 *
 * The log is the outbox. From there on an event is in its lanes until it is delivered, has come to another
 * end that is recorded, or its endpoint is removed. A lane (one endpoint, one order key) has one owner at a
 * time and only its first event is ever sent, so order needs no waiting for anybody else. Any number of
 * dispatchers may run; each part is safe against a crash at any point, at the price of a repetition.
 */
export class Dispatcher implements Service {
  readonly name = 'webhook-dispatcher'
  readonly #options: DispatcherOptions
  readonly #clock: StoreClock
  readonly #followers = new Map<AppId, Running>()
  readonly #waker: Waker
  #stopping = new AbortController()
  #engine: Engine | undefined
  #unwatch: (() => void) | undefined
  #sweeping: Promise<void> = Promise.resolve()

  constructor(options: DispatcherOptions) {
    this.#clock = new StoreClock(options.clock)
    this.#options = { ...options, clock: this.#clock }
    this.#waker = new Waker(this.#clock)
  }

  /**
   * Starts to follow and to deliver. Resolves when every endpoint has its place in its app's log: to be
   * awaited before anything can append, so that even a lost store makes no event be missed.
   */
  async start(): Promise<void> {
    this.#stopping = new AbortController()
    const engine = this.#assemble()
    this.#engine = engine
    const { store, queue, drains, drainer, redis } = engine
    try {
      this.#options.deliverer.start()
      await this.#measureClock(redis)
      await queue.start({ drain: (lane) => drains.drain(lane), reopen: (endpoint) => drainer.reopen(endpoint) })
    } catch (error) {
      await this.stop(AbortSignal.abort())
      throw error
    }
    this.#unwatch = this.#options.directory.onChange(() => this.#refresh(engine))
    this.#refresh(engine)
    const sweeper = new Sweeper({ ...this.#options, store, wake: this.wake, reopen: this.#reopenLater })
    this.#sweeping = this.#sweep({ sweeper, queue, redis }, this.#stopping.signal)
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
    const engine = this.#engine
    engine?.drainer.stop(deadline)
    const followers = [...this.#followers.values()]
    this.#followers.clear()
    for (const { stop } of followers) stop.abort()
    const loops = Promise.all([this.#sweeping, ...followers.map(({ ended }) => ended)])
    // The drains go after the followers, who begin lanes in them, and the queue last: until then the others hand
    // over to it what they leave.
    const followed = endsBefore(loops, deadline)
    await Promise.all([engine?.queue.pause(deadline), followed.then(() => engine?.drains.stop(deadline))])
    await engine?.queue.stop(deadline)
    this.#engine = undefined
    await this.#options.deliverer.stop()
    // Ends the commands of loops that wait for a store which does not answer.
    engine?.redis.disconnect()
    await loops
  }

  /**
   * Has lanes worked on: at once in this process if it has room for them, otherwise by the queue. Does
   * nothing unless started; the sweeper of an instance that is finds the lanes. Rejects when the store
   * cannot be reached.
   */
  readonly wake = async (wakes: readonly WakeUp[]): Promise<void> => {
    const engine = this.#engine
    if (engine === undefined) return
    const now = this.#options.clock.now()
    const rest = wakes.filter(({ lane, at = 0 }) => at > now || !engine.drains.start(lane))
    await engine.queue.add(rest)
  }

  /**
   * Has what waits behind an endpoint's gate sent on its way at a time (milliseconds since the epoch), as far
   * as the gate is open then. For now, it is done in this process, which knows the newest changes of the
   * endpoint that were made in it. Rejects and does nothing like {@link wake}.
   */
  readonly reopen = async (endpoint: EndpointRef, at: number): Promise<void> => {
    if (at > this.#options.clock.now()) await this.#reopenLater(endpoint, at)
    else await this.#engine?.drainer.reopen(endpoint)
  }

  readonly #reopenLater = async (endpoint: EndpointRef, at: number): Promise<void> =>
    this.#engine?.queue.addReopen(endpoint, at)

  #assemble(): Engine {
    const { connect, log, limits, concurrency, directCapacity } = this.#options
    const redis = connect()
    redis.on('error', (error) => log.warn({ err: error }, 'delivery store connection failed'))
    const store = new DeliveryStore(redis, { ...STORE_LIMITS, ...limits })
    const queue = new WakeUpQueue({
      connect,
      log,
      clock: this.#clock,
      ...(concurrency !== undefined && { concurrency }),
    })
    const failureWatch = new FailureWatch({ ...this.#options, store })
    const drainer = new Drainer({
      ...this.#options,
      store,
      failureWatch,
      beginning: (most, ask) => drains.beginning(most, ask),
      wake: this.wake,
      reopen: this.#reopenLater,
    })
    const drains: Drains = new Drains({
      ...this.#options,
      drain: (lane, owner, begun) => drainer.drain(lane, owner, begun),
      queue,
      store,
      ...(directCapacity !== undefined && { capacity: directCapacity }),
    })
    return { redis, store, queue, drainer, drains, brake: new IntakeBrake({ ...this.#options, store }) }
  }

  /** Follows the apps that have endpoints, and no others. */
  #refresh(engine: Engine): void {
    const { directory } = this.#options
    const apps = directory.apps().filter(({ appId }) => directory.endpointsOf(appId).length > 0)
    const wanted = new Set(apps.map(({ appId }) => appId))
    for (const [appId, { stop }] of this.#followers) {
      if (wanted.has(appId)) continue
      stop.abort()
      this.#followers.delete(appId)
    }
    for (const app of apps) {
      const running = this.#followers.get(app.appId) ?? this.#follow(app, engine)
      running.follower.refresh()
    }
    // Endpoints may have been removed.
    this.#waker.wake()
  }

  #follow(app: AppRef, { store, brake, drains }: Engine): Running {
    const follower = new Follower({
      ...this.#options,
      app,
      store,
      brake,
      beginning: (most, ask) => drains.beginning(most, ask),
      wake: this.wake,
      reopen: this.#reopenLater,
    })
    const stop = new AbortController()
    const running = { follower, stop, ended: follower.run(stop.signal) }
    this.#followers.set(app.appId, running)
    return running
  }

  async #sweep(
    { sweeper, queue, redis }: Pick<Engine, 'queue' | 'redis'> & { readonly sweeper: Sweeper },
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, log } = this.#options
    while (!signal.aborted) {
      const startedAt = clock.monotonic()
      try {
        await this.#measureClock(redis)
        await sweeper.run()
        await this.#measureQueue(queue)
      } catch (error) {
        if (!signal.aborted) log.warn({ err: error }, 'sweep of the delivery store failed')
      }
      await this.#waker.wait(SWEEP_MS, signal)
      // Changes come in bursts; one round a second is enough for them.
      const rest = startedAt + 1_000 - clock.monotonic()
      if (rest > 0) await clock.wait(rest, signal).catch(() => undefined)
    }
  }

  async #measureClock(redis: Redis): Promise<void> {
    this.#options.metrics.clockOffsetSeconds.set((await this.#clock.measure(redis)) / 1_000)
  }

  async #measureQueue(queue: WakeUpQueue): Promise<void> {
    const { metrics, clock } = this.#options
    const now = clock.now()
    metrics.queueAgeSeconds.set((now - ((await queue.oldestDue()) ?? now)) / 1_000)
  }
}
