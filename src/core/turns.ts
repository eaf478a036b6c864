import { GatewayError } from './errors.ts'

/**
 * Lets work on the same key run one after the other, in the order it was asked for, and bounds how much
 * runs at once and how much waits.
 */
export class Turns {
  readonly #runningMax: number
  readonly #waitingMax: number
  /** The end of the last work of each key; never rejects. */
  readonly #tails = new Map<string, Promise<void>>()
  readonly #forSlot: (() => void)[] = []
  #running = 0
  #size = 0

  constructor({ runningMax, waitingMax }: { readonly runningMax: number; readonly waitingMax: number }) {
    this.#runningMax = runningMax
    this.#waitingMax = waitingMax
  }

  /** Work asked for and not finished. */
  get size(): number {
    return this.#size
  }

  /** Runs `work` when it is its turn. Rejects with `store_unavailable` at once when too much waits. */
  async take<Result>(key: string, work: () => Promise<Result>): Promise<Result> {
    if (this.#size >= this.#runningMax + this.#waitingMax) {
      throw new GatewayError('store_unavailable', { detail: 'Too many changes are waiting for the store.' })
    }
    this.#size += 1
    const result = (this.#tails.get(key) ?? Promise.resolve()).then(() => this.#inSlot(work))
    const tail = result.then(ignore, ignore)
    this.#tails.set(key, tail)
    try {
      return await result
    } finally {
      this.#size -= 1
      if (this.#tails.get(key) === tail) this.#tails.delete(key)
    }
  }

  async #inSlot<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#running >= this.#runningMax) await new Promise<void>((resolve) => this.#forSlot.push(resolve))
    else this.#running += 1
    try {
      return await work()
    } finally {
      // A waiting piece of work takes the slot over, so the count stays.
      const next = this.#forSlot.shift()
      if (next === undefined) this.#running -= 1
      else next()
    }
  }
}

const ignore = (): void => undefined
