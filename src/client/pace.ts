export type PaceOptions = {
  /** Messages that may be sent at once. */
  readonly burst: number
  readonly perSecond: number
}

/** What sums of fractions may be off by. */
const ROUNDING = 1e-6

/** A token bucket: keeps the client below the rate of messages at which the gateway ends a stream. */
export class Pace {
  readonly #options: PaceOptions
  #left: number
  #at: number | undefined

  constructor(options: PaceOptions) {
    this.#options = options
    this.#left = options.burst
  }

  /** 0 when a message may be sent now, and counts it; otherwise the time to wait before asking again. */
  take(now: number): number {
    const { burst, perSecond } = this.#options
    const elapsed = Math.max(0, now - (this.#at ?? now))
    this.#at = now
    this.#left = Math.min(burst, this.#left + (elapsed / 1_000) * perSecond)
    if (this.#left < 1 - ROUNDING) return Math.ceil(((1 - this.#left) / perSecond) * 1_000 - ROUNDING)
    this.#left -= 1
    return 0
  }
}
