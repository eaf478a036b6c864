import type { Clock } from '../core/clock.ts'
import { GatewayError } from '../core/errors.ts'
import type { NetworkRef } from '../core/ids.ts'
import type { Lease, LeaseStore } from '../core/lease.ts'
import type { Logger } from '../core/logger.ts'
import type { RedisLink } from './connection.ts'
import { fenceKey, LEASE_PATTERN, leaseKey, TTL } from './keys.ts'
import type { StateMetrics } from './metrics.ts'
import { ACQUIRE_LEASE, RELEASE_LEASE, RENEW_LEASE } from './scripts.ts'

export type LeaseTimes = {
  /** How long Redis keeps a lease that is not renewed. */
  readonly ttlMs: number
  readonly renewMs: number
  /** How long before Redis forgets it the holder itself stops believing in it. */
  readonly marginMs: number
  /** Pause after a renewal that failed. */
  readonly retryMs: number
}

const TIMES: LeaseTimes = { ttlMs: 6_000, renewMs: 2_000, marginMs: 1_500, retryMs: 250 }

export type RedisLeasesOptions = {
  readonly general: RedisLink
  readonly metrics: StateMetrics
  readonly clock: Clock
  readonly log: Logger
  readonly times?: LeaseTimes
}

/** Leases in Redis. The holder counts from before it asked, so it always gives up before Redis does. */
export class RedisLeases implements LeaseStore {
  readonly #general: RedisLink
  readonly #metrics: StateMetrics
  readonly #clock: Clock
  readonly #log: Logger
  readonly #times: LeaseTimes

  constructor({ general, metrics, clock, log, times }: RedisLeasesOptions) {
    this.#general = general
    this.#metrics = metrics
    this.#clock = clock
    this.#log = log
    this.#times = times ?? TIMES
  }

  async tryAcquire(network: NetworkRef, name: string): Promise<Lease | undefined> {
    const keys = [leaseKey(network, name), fenceKey(network, name)]
    const askedAt = this.#clock.monotonic()
    const token = await this.#general.script(ACQUIRE_LEASE, keys, [String(this.#times.ttlMs), String(TTL.fence)])
    if (token === null) return undefined
    if (typeof token !== 'string') throw new GatewayError('store_unavailable', { detail: 'Redis granted no token.' })
    this.#metrics.leaseGranted()
    const held: HeldLease = { keys, token, ended: new AbortController(), lost: new AbortController() }
    void this.#keep(held, name, askedAt + this.#times.ttlMs - this.#times.marginMs) // ends by itself, never rejects
    return {
      fence: { lease: name, token: Number(token) },
      lost: held.lost.signal,
      release: async () => {
        held.ended.abort()
        await this.#general.script(RELEASE_LEASE, keys.slice(0, 1), [token])
      },
    }
  }

  /**
   * Frees every lease at once, for a process that knows that it is alone: what is held was held by a
   * predecessor that was killed, and would keep its channels closed until it lapses. Tokens go on growing.
   */
  async releaseOrphans(): Promise<void> {
    let cursor = '0'
    do {
      const [next, keys] = await this.#general.run((redis) =>
        redis.scan(cursor, 'MATCH', LEASE_PATTERN, 'COUNT', 1_000),
      )
      if (keys.length > 0) await this.#general.run((redis) => redis.del(...keys))
      cursor = next
    } while (cursor !== '0')
  }

  /** Renews until it is released, or until `validUntil` (monotonic) passes without a renewal. */
  async #keep(held: HeldLease, name: string, validUntil: number): Promise<void> {
    let until = validUntil
    let pauseMs = this.#times.renewMs
    while (!held.ended.signal.aborted) {
      const now = this.#clock.monotonic()
      if (now >= until) return this.#lose(held, name, 'not renewed in time')
      const isWaiting = await this.#pause(Math.min(pauseMs, until - now), held.ended.signal)
      if (!isWaiting) return
      const askedAt = this.#clock.monotonic()
      if (askedAt >= until) return this.#lose(held, name, 'not renewed in time')
      const answer = await this.#renew(held, until - askedAt)
      if (answer === 'refused') return this.#lose(held, name, 'granted to another')
      if (answer === 'renewed') until = askedAt + this.#times.ttlMs - this.#times.marginMs
      pauseMs = answer === 'renewed' ? this.#times.renewMs : this.#times.retryMs
    }
  }

  /** Unanswered also when Redis takes longer than the lease has left. */
  async #renew(held: HeldLease, timeoutMs: number): Promise<'renewed' | 'refused' | 'unanswered'> {
    const answered = new AbortController()
    const args = [held.token, String(this.#times.ttlMs), String(TTL.fence)]
    const renewal = this.#general.script(RENEW_LEASE, held.keys, args).then(
      (reply) => (reply === 1 ? 'renewed' : 'refused'),
      () => 'unanswered' as const,
    )
    const timeout = this.#pause(timeoutMs, answered.signal).then(() => 'unanswered' as const)
    try {
      return await Promise.race([renewal, timeout])
    } finally {
      answered.abort()
    }
  }

  /** False when the signal ended it. */
  #pause(ms: number, signal: AbortSignal): Promise<boolean> {
    return this.#clock.wait(ms, signal).then(
      () => true,
      () => false,
    )
  }

  #lose(held: HeldLease, name: string, reason: string): void {
    if (held.ended.signal.aborted) return
    this.#metrics.leaseLost()
    this.#log.warn({ lease: name, reason }, 'lease lost')
    held.lost.abort(new GatewayError('fenced', { fields: { lease: name, reason } }))
  }
}

type HeldLease = {
  readonly keys: readonly string[]
  readonly token: string
  readonly ended: AbortController
  readonly lost: AbortController
}
