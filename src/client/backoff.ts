export type BackoffOptions = {
  /** The longest wait before the first attempt; doubles with each failure. */
  readonly minMs: number
  readonly maxMs: number
  /** A connection that lived this long counts as a success: the next wait is short again. */
  readonly stableMs: number
  /** Uniform in [0, 1). */
  readonly random: () => number
}

/**
 * How long to wait before connecting again: uniform between nothing and a bound that doubles with each
 * failure in a row ("full jitter"), so that clients that were cut off together do not come back together.
 * What the gateway asks for is a lower bound, and has its own jitter.
 */
export class Backoff {
  readonly #options: BackoffOptions
  #failures = 0

  constructor(options: BackoffOptions) {
    this.#options = options
  }

  /** `livedMs` is how long the connection that has just ended was live, 0 for one that never was. */
  next({
    livedMs,
    retryAfterMs = 0,
  }: {
    readonly livedMs: number
    readonly retryAfterMs?: number | undefined
  }): number {
    const { minMs, maxMs, stableMs, random } = this.#options
    if (livedMs >= stableMs) this.#failures = 0
    const bound = Math.min(maxMs, minMs * 2 ** Math.min(this.#failures, 30))
    this.#failures += 1
    return Math.max(retryAfterMs, random() * bound)
  }
}
