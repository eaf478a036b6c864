import { BacklogError } from './errors.ts'

/** What an iterator may hold for a consumer that is slower than the stream. */
const UPDATES_MAX = 10_000

/** One consumer's iterator: what is pushed waits until it is taken, up to a bound. */
class Reader<Update> implements AsyncIterableIterator<Update> {
  readonly #onClose: (reader: Reader<Update>) => void
  readonly #waiting: Update[] = []
  #wake: (() => void) | undefined
  #end: { readonly error?: Error } | undefined

  constructor(onClose: (reader: Reader<Update>) => void) {
    this.#onClose = onClose
  }

  push(update: Update): void {
    if (this.#waiting.length < UPDATES_MAX) this.#waiting.push(update)
    else this.close({ error: new BacklogError(UPDATES_MAX) })
    this.#wake?.()
  }

  /** What is waiting can still be taken; then the iterator ends, or throws. */
  close(end: { readonly error?: Error }): void {
    this.#end ??= end
    this.#onClose(this)
    this.#wake?.()
  }

  async next(): Promise<IteratorResult<Update, undefined>> {
    for (;;) {
      const update = this.#waiting.shift()
      if (update !== undefined) return { value: update }
      if (this.#end?.error !== undefined) throw this.#end.error
      if (this.#end !== undefined) return { value: undefined, done: true }
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  async return(): Promise<IteratorResult<Update, undefined>> {
    this.#waiting.length = 0
    this.close({})
    return { value: undefined, done: true }
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}

/** Hands every update to every iterator that is open. */
export class Updates<Update> {
  readonly #readers = new Set<Reader<Update>>()
  #end: { readonly error?: Error } | undefined

  /** Begins with the next update. */
  open(): AsyncIterableIterator<Update> {
    const reader = new Reader<Update>((closed) => this.#readers.delete(closed))
    if (this.#end === undefined) this.#readers.add(reader)
    else reader.close(this.#end)
    return reader
  }

  push(update: Update): void {
    for (const reader of this.#readers) reader.push(update)
  }

  close(end: { readonly error?: Error }): void {
    this.#end ??= end
    for (const reader of this.#readers) reader.close(this.#end)
  }
}
