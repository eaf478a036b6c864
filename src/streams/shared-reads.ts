import type { Clock } from '../core/clock.ts'

const KEPT_MAX = 16

export type SharedReadsOptions<Result> = {
  /** How long a result is given to others. */
  readonly keepMs: number
  /** Whether a result stays true once it has been read; others are shared only while they are being read. */
  readonly isLasting: (result: Result) => boolean
  readonly clock: Pick<Clock, 'monotonic'>
}

/** `doneAt` is undefined while it is being read. */
type Entry<Result> = { readonly result: Promise<Result>; readonly doneAt: number | undefined }

/**
 * Reads that are shared by all who ask for the same at about the same time: clients that were lost
 * together come back together, and lack the same.
 */
export class SharedReads<Result> {
  readonly #options: SharedReadsOptions<Result>
  readonly #reads = new Map<string, Entry<Result>>()

  constructor(options: SharedReadsOptions<Result>) {
    this.#options = options
  }

  /** What `read` resolves with, now or a moment ago; rejects with what it rejects. */
  get(key: string, read: () => Promise<Result>): Promise<Result> {
    this.prune()
    const known = this.#reads.get(key)
    if (known !== undefined) return known.result
    const reading: Entry<Result> = { result: this.#settle({ key, read, entry: () => reading }), doneAt: undefined }
    this.#reads.set(key, reading)
    return reading.result
  }

  /** Gives nothing to anybody any more that was read before. */
  clear(): void {
    this.#reads.clear()
  }

  /** Drops what is too old. */
  prune(): void {
    const since = this.#options.clock.monotonic() - this.#options.keepMs
    for (const [key, { doneAt }] of this.#reads) {
      const isSurplus = this.#reads.size > KEPT_MAX
      if (doneAt !== undefined && (isSurplus || doneAt < since)) this.#reads.delete(key)
    }
  }

  async #settle({
    key,
    read,
    entry,
  }: {
    readonly key: string
    readonly read: () => Promise<Result>
    readonly entry: () => Entry<Result>
  }): Promise<Result> {
    let lasting: Promise<Result> | undefined
    try {
      const result = await read()
      if (this.#options.isLasting(result)) lasting = Promise.resolve(result)
      return result
    } finally {
      // Unless it was cleared meanwhile.
      if (this.#reads.get(key) === entry()) {
        if (lasting === undefined) this.#reads.delete(key)
        else this.#reads.set(key, { result: lasting, doneAt: this.#options.clock.monotonic() })
      }
    }
  }
}
