import type { Clock } from '../core/clock.ts'
import { isGatewayError } from '../core/errors.ts'
import type { NetworkRef } from '../core/ids.ts'
import type { Lease, LeaseStore } from '../core/lease.ts'
import type { Logger } from '../core/logger.ts'
import type { Fence, ObservationSink } from '../core/observation.ts'
import { Waker } from '../core/waker.ts'
import { backoffMs, WORK_BACKOFF } from './backoff.ts'
import type { Coverage } from './coverage.ts'
import type { Resynchroniser } from './resynchroniser.ts'
import type { Subscriptions } from './subscriptions.ts'

export type ReconcilerOptions = {
  readonly network: NetworkRef
  readonly leases: LeaseStore
  readonly sink: ObservationSink
  readonly coverage: Coverage
  readonly subscriptions: Pick<Subscriptions, 'reconcile' | 'resign'>
  readonly resynchroniser: Pick<Resynchroniser, 'request' | 'readRequested'>
  readonly isAnyChannelOpen: () => boolean
  /** This instance should have a channel, as it holds a node's lease. */
  readonly isAnyChannelDue: () => boolean
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
  /** How long a channel may take to come back before the calls are read without one. */
  readonly graceMs?: number
}

/** The lease of the one instance that looks after a network's subscriptions. */
const LEASE_NAME = 'subscriptions'
const LEASE_RETRY_MS = 2_000
const LOOK_AGAIN_MS = 60_000
/** Most channels are back sooner, and the snapshots of renewed subscriptions are cheaper than reads. */
const GRACE_MS = 3_000

/**
 * Sees to it that after every gap every wanted subscriber is confirmed by a snapshot. With an open channel
 * and the network's lease for it, this instance is the keeper: it compares the subscriptions with what is
 * wanted and renews them. Otherwise it has the calls read: at once while it has a channel, and without one
 * after a pause, as nobody else may know of the loss.
 */
export class Reconciler {
  readonly #options: ReconcilerOptions
  readonly #waker: Waker
  #lease: Lease | undefined
  /** A gap may have been until then; monotonic, like the other times. */
  #neededSince = 0
  #lostAt = Number.NEGATIVE_INFINITY
  #reconciledAt = Number.NEGATIVE_INFINITY
  /** Since when there is no channel. */
  #closedAt: number | undefined
  #reason = 'start'
  #failures = 0
  /** What is known of the calls is to be marked as unconfirmed; a new object for each occasion. */
  #staleDue: object | undefined
  #marking: Promise<void> = Promise.resolve()

  constructor(options: ReconcilerOptions) {
    this.#options = options
    this.#waker = new Waker(options.clock)
  }

  /** Proof of the keeper's lease, while it is held. */
  get fence(): Fence | undefined {
    return this.#lease === undefined || this.#lease.lost.aborted ? undefined : this.#lease.fence
  }

  /** A channel opened. */
  opened(): void {
    this.#waker.wake()
  }

  /** A channel is gone: events may be lost from now on, so nothing is confirmed any more. */
  lost(): void {
    this.#options.coverage.doubtAll()
    this.#lostAt = this.#options.clock.monotonic()
    this.#need('channel_lost')
    this.#marking = this.#markStale().catch(() => undefined) // the next turn does it again
    this.#waker.wake()
  }

  /** Works until `signal` aborts, then gives the lease back. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) await this.#waker.wait(await this.#turn(signal), signal)
    } finally {
      await this.#resign()
    }
  }

  #need(reason: string): void {
    this.#neededSince = this.#options.clock.monotonic()
    this.#reason = reason
    this.#staleDue = {}
  }

  /** Does what is due; the result says when to look again, in ms. */
  async #turn(signal: AbortSignal): Promise<number> {
    const { clock, random } = this.#options
    try {
      await this.#marking
      await this.#markStale()
      const waitMs = await this.#settleRole()
      if (waitMs > 0) return waitMs
      if (this.#neededSince > this.#reconciledAt) {
        const startedAt = clock.monotonic()
        await this.#reconcile(signal)
        this.#reconciledAt = startedAt
      }
      this.#failures = 0
    } catch (error) {
      if (signal.aborted) return 0
      this.#failures += 1
      const retryMs = backoffMs(this.#failures, random(), WORK_BACKOFF)
      const code = isGatewayError(error) ? error.code : 'internal'
      this.#options.log.warn({ code, failures: this.#failures, retry_ms: retryMs }, 'reconciling failed')
      return retryMs
    }
    const isCandidate = this.fence === undefined && this.#closedAt === undefined
    return isCandidate ? LEASE_RETRY_MS * (0.5 + random()) : LOOK_AGAIN_MS
  }

  /** Becomes the keeper or stops being it; the result says how long to wait before a gap is seen to, in ms. */
  async #settleRole(): Promise<number> {
    const { isAnyChannelOpen, isAnyChannelDue, clock, graceMs } = this.#options
    if (isAnyChannelOpen()) {
      this.#closedAt = undefined
      await this.#acquire()
      return 0
    }
    // Another instance with a channel can do what this one cannot.
    await this.#resign()
    const now = clock.monotonic()
    this.#closedAt ??= now
    // At a start without any node to look after, those who have one see to everything.
    if (this.#lostAt <= this.#reconciledAt && !isAnyChannelDue()) return LOOK_AGAIN_MS
    return this.#closedAt + (graceMs ?? GRACE_MS) - now
  }

  async #acquire(): Promise<void> {
    const { leases, network, subscriptions, resynchroniser } = this.#options
    if (this.fence !== undefined) return
    if (this.#lease !== undefined) {
      this.#lease = undefined
      subscriptions.resign()
      resynchroniser.readRequested()
    }
    const lease = await leases.tryAcquire(network, LEASE_NAME)
    if (lease === undefined) return
    this.#lease = lease
    lease.lost.addEventListener('abort', () => this.#waker.wake(), { once: true })
    // Whoever held it before may have left anything behind.
    this.#need('lease_acquired')
  }

  async #reconcile(signal: AbortSignal): Promise<void> {
    const { coverage, subscriptions, resynchroniser } = this.#options
    const reason = this.#reason
    await this.#markStale()
    coverage.doubtAll()
    if (this.#lease !== undefined) await subscriptions.reconcile(AbortSignal.any([signal, this.#lease.lost]))
    resynchroniser.request(undefined, reason)
  }

  async #markStale(): Promise<void> {
    const { sink, network, coverage } = this.#options
    const due = this.#staleDue
    if (due === undefined) return
    await sink.markStale(network.networkId, coverage.wanted())
    if (this.#staleDue === due) this.#staleDue = undefined
  }

  async #resign(): Promise<void> {
    const lease = this.#lease
    this.#lease = undefined
    if (lease === undefined) return
    this.#options.subscriptions.resign()
    // Not given back, it expires.
    await lease.release().catch(() => undefined)
  }
}
