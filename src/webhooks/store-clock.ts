import type { Redis } from 'ioredis'
import * as v from 'valibot'
import type { Clock } from '../core/clock.ts'

/** Of no consequence to leases of seconds, and as much as the way to Redis may take. */
const TOLERANCE_MS = 100

/**
 * The time by which everything in the delivery store is kept: Redis' own. Leases, slots and due times are
 * written by one process and judged by another; by the clocks of their machines, one that is seconds ahead
 * would take over lanes that are in work.
 *
 * BullMQ has its delays judged by the clock of whichever process looks, so its times are converted
 * ({@link aheadMs}). Between gateways whose own clocks differ by seconds a delayed job may come early by as
 * much, and again until it is due: that costs work, and sends nothing early.
 *
 * The difference between the clocks is measured from time to time and added. What is within the tolerance
 * counts as none, so that on machines with synchronised clocks this is the machine's time.
 */
export class StoreClock implements Clock {
  readonly #clock: Clock
  #aheadMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** How much later it is by this clock than by the machine's. */
  get aheadMs(): number {
    return this.#aheadMs
  }

  now(): number {
    return this.#clock.now() + this.#aheadMs
  }

  monotonic(): number {
    return this.#clock.monotonic()
  }

  wait(ms: number, signal: AbortSignal): Promise<void> {
    return this.#clock.wait(ms, signal)
  }

  /** Measures anew; resolves with how far Redis is ahead of the machine, in milliseconds. */
  async measure(redis: Pick<Redis, 'time'>): Promise<number> {
    this.#aheadMs = await measureAhead(redis, this.#clock)
    return this.#aheadMs
  }
}

/** How far Redis' clock is ahead of ours in milliseconds; 0 for as little as nobody can tell or has to care about. */
export async function measureAhead(redis: Pick<Redis, 'time'>, clock: Pick<Clock, 'now'>): Promise<number> {
  const before = clock.now()
  const [seconds, microseconds] = v.parse(TimeReply, await redis.time())
  const after = clock.now()
  const ahead = Math.round(seconds * 1_000 + microseconds / 1_000 - (before + after) / 2)
  return Math.abs(ahead) <= Math.max(TOLERANCE_MS, (after - before) / 2) ? 0 : ahead
}

const number = v.pipe(v.union([v.string(), v.number()]), v.transform(Number))
const TimeReply = v.tuple([number, number])
