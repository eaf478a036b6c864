import * as v from 'valibot'
import type { Clock } from '../core/clock.ts'
import { GatewayError } from '../core/errors.ts'
import type { NetworkRef } from '../core/ids.ts'
import { InstanceIdSchema, type InstanceId } from '../core/instances.ts'
import type { HeldLease, Lease, LeaseStore } from '../core/lease.ts'
import type { Logger } from '../core/logger.ts'
import type { RedisLink } from './connection.ts'
import { LEASE_PATTERN, leaseKeys, TTL } from './keys.ts'
import { ACQUIRE_LEASE, DESCRIBE_LEASE, LOOK_AT_LEASE, RELEASE_LEASE, RENEW_LEASE } from './lease-scripts.ts'
import type { StateMetrics } from './metrics.ts'

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

/** Leases whose highest known token is remembered: all of some thousand networks. */
const SEEN_MAX = 50_000

const AcquireReplySchema = v.nullable(v.tuple([v.string(), v.string()]))
const LookReplySchema = v.nullable(v.tuple([v.string(), v.number(), v.string()]))
const RenewReplySchema = v.nullable(v.string())

/**
 * Leases in Redis. The holder counts from before it asked, so it always gives up before Redis does.
 *
 * Tokens grow whatever Redis loses: each is above the last one stored, above the time, and above every one
 * that the asker has seen, which after a failover to a replica that missed the last grant is what counts.
 */
export class RedisLeases implements LeaseStore {
  readonly #general: RedisLink
  readonly #metrics: StateMetrics
  readonly #clock: Clock
  readonly #log: Logger
  readonly #times: LeaseTimes
  /** The highest token seen of each lease, by its key. */
  readonly #seen = new Map<string, number>()

  constructor({ general, metrics, clock, log, times }: RedisLeasesOptions) {
    this.#general = general
    this.#metrics = metrics
    this.#clock = clock
    this.#log = log
    this.#times = times ?? TIMES
  }

  async tryAcquire(network: NetworkRef, name: string): Promise<Lease | undefined> {
    const keys = leaseKeys(network, name)
    const askedAt = this.#clock.monotonic()
    const args = [String(this.#times.ttlMs), String(TTL.fence), String(this.#seen.get(keys[0] ?? '') ?? 0)]
    const granted = parseReply(AcquireReplySchema, await this.#general.script(ACQUIRE_LEASE, keys, args))
    if (granted === null) return undefined
    const [token, note] = granted
    this.#see(keys, token)
    this.#metrics.leaseGranted()
    const held: HeldKeys = { keys, token, ended: new AbortController(), lost: new AbortController() }
    void this.#keep(held, name, askedAt + this.#times.ttlMs - this.#times.marginMs) // ends by itself, never rejects
    return {
      fence: { lease: name, token: Number(token) },
      lost: held.lost.signal,
      leftBehind: note === '' ? undefined : note,
      get claimedBy() {
        return held.claimedBy
      },
      describe: async (text) => {
        // Said again with every renewal, in case that Redis loses it.
        held.note = text
        await this.#general.script(DESCRIBE_LEASE, keys, [token, text ?? '', String(TTL.fence)])
      },
      release: async () => {
        held.ended.abort()
        // A renewal under way would put back what is deleted before it arrives.
        await held.renewing
        await this.#general.script(RELEASE_LEASE, keys, [token])
      },
    }
  }

  async look(network: NetworkRef, name: string): Promise<HeldLease | undefined> {
    const keys = leaseKeys(network, name)
    const found = parseReply(LookReplySchema, await this.#general.script(LOOK_AT_LEASE, keys, []))
    if (found === null) return undefined
    const [token, leftMs, note] = found
    this.#see(keys, token)
    return { renewedMsAgo: Math.max(0, this.#times.ttlMs - leftMs), ...(note === '' ? {} : { note }) }
  }

  async claim(network: NetworkRef, name: string, by: InstanceId): Promise<void> {
    const [, , , claimKey = ''] = leaseKeys(network, name)
    await this.#general.run((redis) => redis.set(claimKey, by, 'PX', TTL.claim))
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

  #see([key = '']: readonly string[], token: string): void {
    const highest = Math.max(Number(token), this.#seen.get(key) ?? 0)
    this.#seen.delete(key)
    this.#seen.set(key, highest)
    const oldest = this.#seen.keys().next()
    if (this.#seen.size > SEEN_MAX && oldest.done !== true) this.#seen.delete(oldest.value)
  }

  /** Renews until it is released, or until `validUntil` (monotonic) passes without a renewal. */
  async #keep(held: HeldKeys, name: string, validUntil: number): Promise<void> {
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
  async #renew(held: HeldKeys, timeoutMs: number): Promise<'renewed' | 'refused' | 'unanswered'> {
    const answered = new AbortController()
    const args = [held.token, String(this.#times.ttlMs), String(TTL.fence), held.note ?? '']
    const renewal = this.#general
      .script(RENEW_LEASE, held.keys, args)
      .then((reply) => {
        const claim = parseReply(RenewReplySchema, reply)
        const by = v.safeParse(InstanceIdSchema, claim)
        held.claimedBy = by.success ? by.output : undefined
        return claim === null ? ('refused' as const) : ('renewed' as const)
      })
      .catch(() => 'unanswered' as const)
    held.renewing = renewal
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

  #lose(held: HeldKeys, name: string, reason: string): void {
    if (held.ended.signal.aborted) return
    this.#metrics.leaseLost()
    this.#log.warn({ lease: name, reason }, 'lease lost')
    held.lost.abort(new GatewayError('fenced', { fields: { lease: name, reason } }))
  }
}

type HeldKeys = {
  readonly keys: readonly string[]
  readonly token: string
  readonly ended: AbortController
  readonly lost: AbortController
  claimedBy?: InstanceId | undefined
  note?: string | undefined
  /** The last renewal asked for; does not reject. */
  renewing?: Promise<unknown>
}

function parseReply<const Schema extends v.GenericSchema>(schema: Schema, reply: unknown): v.InferOutput<Schema> {
  const parsed = v.safeParse(schema, reply)
  if (parsed.success) return parsed.output
  throw new GatewayError('store_unavailable', { cause: new v.ValiError(parsed.issues) })
}
