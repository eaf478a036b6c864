/** How many messages a client may send. */
export type MessageRate = { readonly perSecond: number; readonly burst: number }

/** A token bucket: `burst` messages at once, and `perSecond` in the long run. */
export class MessageBudget {
  readonly #rate: MessageRate
  #left: number
  #countedAt: number

  constructor(rate: MessageRate, now: number) {
    this.#rate = rate
    this.#left = rate.burst
    this.#countedAt = now
  }

  /** Whether it is as good as a new one. */
  isFull(now: number): boolean {
    return this.#left + ((now - this.#countedAt) / 1000) * this.#rate.perSecond >= this.#rate.burst
  }

  /** Counts one message at `now` (monotonic, milliseconds); false when it is one too many. */
  take(now: number): boolean {
    const regained = ((now - this.#countedAt) / 1000) * this.#rate.perSecond
    this.#left = Math.min(this.#rate.burst, this.#left + regained)
    this.#countedAt = now
    if (this.#left < 1) return false
    this.#left -= 1
    return true
  }
}
