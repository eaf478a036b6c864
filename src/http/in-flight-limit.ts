import { GatewayError } from '../core/errors.ts'

type Work = { running: number; readonly waiting: (() => void)[] }

/** Bounds how much of a costly kind of work one app has under way. */
export class InFlightLimit {
  readonly #runningMax: number
  readonly #waitingMax: number
  readonly #byKey = new Map<string, Work>()

  constructor({ runningMax, waitingMax }: { readonly runningMax: number; readonly waitingMax: number }) {
    this.#runningMax = runningMax
    this.#waitingMax = waitingMax
  }

  /**
   * Runs `work` when there is room for it among the key's, in the order in which it was asked for. Rejects with
   * `too_many_requests` at once when too much of it waits already.
   */
  async run<Result>(key: string, work: () => Promise<Result>): Promise<Result> {
    const own = this.#of(key)
    if (own.running < this.#runningMax) own.running += 1
    else await this.#wait(own)
    try {
      return await work()
    } finally {
      // Whoever waits takes the place over, so the count stays.
      const next = own.waiting.shift()
      if (next === undefined) own.running -= 1
      else next()
      if (own.running === 0) this.#byKey.delete(key)
    }
  }

  #of(key: string): Work {
    const existing = this.#byKey.get(key)
    if (existing !== undefined) return existing
    const own: Work = { running: 0, waiting: [] }
    this.#byKey.set(key, own)
    return own
  }

  async #wait({ waiting }: Work): Promise<void> {
    if (waiting.length >= this.#waitingMax) {
      throw new GatewayError('too_many_requests', {
        detail: `Up to ${this.#runningMax + this.#waitingMax} of these requests of an app may be under way at a time.`,
        retryAfterSeconds: 1,
      })
    }
    await new Promise<void>((resolve) => waiting.push(resolve))
  }
}
