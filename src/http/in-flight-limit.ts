import { GatewayError } from '../core/errors.ts'

/** Bounds how much of a costly kind of work one app has under way. */
export class InFlightLimit {
  readonly #max: number
  readonly #counts = new Map<string, number>()

  constructor(max: number) {
    this.#max = max
  }

  /** Runs `work`. Rejects with `too_many_requests` at once when so much of the key's is running. */
  async run<Result>(key: string, work: () => Promise<Result>): Promise<Result> {
    const count = this.#counts.get(key) ?? 0
    if (count >= this.#max) {
      throw new GatewayError('too_many_requests', {
        detail: `Up to ${this.#max} of these requests of an app may run at a time.`,
        retryAfterSeconds: 1,
      })
    }
    this.#counts.set(key, count + 1)
    try {
      return await work()
    } finally {
      const left = (this.#counts.get(key) ?? 1) - 1
      if (left === 0) this.#counts.delete(key)
      else this.#counts.set(key, left)
    }
  }
}
