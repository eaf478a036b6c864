import type { Clock } from '../core/clock.ts'
import { isGatewayError } from '../core/errors.ts'
import type { NetworkRef } from '../core/ids.ts'
import type { Lease, LeaseStore } from '../core/lease.ts'
import type { Logger } from '../core/logger.ts'
import type { Fence, ObservationSink } from '../core/observation.ts'
import { backoffMs, WORK_BACKOFF } from './backoff.ts'
import type { Coverage } from './coverage.ts'
import type { Resynchroniser } from './resynchroniser.ts'
import type { Subscriptions } from './subscriptions.ts'

export type ReconcilerOptions = {
  readonly network: NetworkRef
  readonly leases: LeaseStore
  readonly sink: ObservationSink
  readonly coverage: Coverage
  readonly subscriptions: Subscriptions
  readonly resynchroniser: Resynchroniser
  readonly isAnyChannelOpen: () => boolean
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
}

/** The lease of the one instance that looks after a network's subscriptions. */
const LEASE_NAME = 'subscriptions'
const LEASE_RETRY_MS = 2_000
const LOOK_AGAIN_MS = 60_000

/**
 * Sees to it that after every gap the subscriptions are compared with what is wanted and every wanted
 * subscriber is confirmed by a snapshot. It works while this instance has an open channel; with the
 * network's lease for it as the keeper of the subscriptions, without by reading only.
 */
export class Reconciler {
  readonly #options: ReconcilerOptions
  #lease: Lease | undefined
  /** A gap may have been until then; monotonic, like the start of the last comparison. */
  #neededSince = 0
  #reconciledAt = Number.NEGATIVE_INFINITY
  #reason = 'start'
  #failures = 0
  #isPoked = false
  #wake: () => void = () => undefined

  constructor(options: ReconcilerOptions) {
    this.#options = options
  }

  /** Proof of the keeper's lease, while it is held. */
  get fence(): Fence | undefined {
    return this.#lease === undefined || this.#lease.lost.aborted ? undefined : this.#lease.fence
  }

  /** Events up to `at` (monotonic) may be lost: compare again, unless that was begun later. */
  need(at: number, reason: string): void {
    if (at > this.#neededSince) {
      this.#neededSince = at
      this.#reason = reason
    }
    this.poke()
  }

  /** A channel opened or was lost: look again now. */
  poke(): void {
    // Kept for the case that a turn is running.
    this.#isPoked = true
    this.#wake()
  }

  /** Works until `signal` aborts, then gives the lease back. */
  async run(signal: AbortSignal): Promise<void> {
    const onAbort = () => this.poke()
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      while (!signal.aborted) {
        this.#isPoked = false
        await this.#sleep(await this.#turn(signal))
      }
    } finally {
      signal.removeEventListener('abort', onAbort)
      await this.#resign()
    }
  }

  /** Does what is due; the result says when to look again, in ms. */
  async #turn(signal: AbortSignal): Promise<number> {
    const { isAnyChannelOpen, clock, random } = this.#options
    if (!isAnyChannelOpen()) {
      // Another instance with a channel can do what this one cannot.
      await this.#resign()
      return LOOK_AGAIN_MS
    }
    try {
      await this.#acquire()
      if (this.#neededSince > this.#reconciledAt) {
        const startedAt = clock.monotonic()
        await this.#reconcile(signal)
        this.#reconciledAt = startedAt
        this.#failures = 0
      }
    } catch (error) {
      if (signal.aborted) return 0
      this.#failures += 1
      const retryMs = backoffMs(this.#failures, random(), WORK_BACKOFF)
      const code = isGatewayError(error) ? error.code : 'internal'
      this.#options.log.warn({ code, failures: this.#failures, retry_ms: retryMs }, 'reconciling failed')
      return retryMs
    }
    return this.fence === undefined ? LEASE_RETRY_MS * (0.5 + random()) : LOOK_AGAIN_MS
  }

  async #acquire(): Promise<void> {
    const { leases, network, clock, subscriptions } = this.#options
    if (this.fence !== undefined) return
    if (this.#lease !== undefined) {
      this.#lease = undefined
      subscriptions.resign()
    }
    const lease = await leases.tryAcquire(network, LEASE_NAME)
    if (lease === undefined) return
    this.#lease = lease
    lease.lost.addEventListener('abort', () => this.poke(), { once: true })
    // Whoever held it before may have left anything behind.
    this.#neededSince = clock.monotonic()
    this.#reason = 'lease_acquired'
  }

  async #reconcile(signal: AbortSignal): Promise<void> {
    const { sink, network, coverage, subscriptions, resynchroniser } = this.#options
    const reason = this.#reason
    await sink.markStale(network.networkId, coverage.wanted())
    coverage.doubtAll()
    if (this.#lease !== undefined) await subscriptions.reconcile(AbortSignal.any([signal, this.#lease.lost]))
    resynchroniser.request(undefined, reason)
  }

  async #resign(): Promise<void> {
    const lease = this.#lease
    this.#lease = undefined
    if (lease === undefined) return
    this.#options.subscriptions.resign()
    // Not given back, it expires.
    await lease.release().catch(() => undefined)
  }

  async #sleep(ms: number): Promise<void> {
    if (this.#isPoked) return
    const woken = new AbortController()
    this.#wake = () => woken.abort()
    await this.#options.clock.wait(ms, woken.signal).catch(() => undefined)
    this.#wake = () => undefined
  }
}
