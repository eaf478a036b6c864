/**
 * An end that comes when `parent` aborts and also after `ms`. `dispose` takes both away, so that a
 * long-lived parent does not collect listeners.
 */
export class Deadline {
  readonly #parent: AbortSignal
  readonly #timer: NodeJS.Timeout
  readonly #follow = (): void => this.abort(this.#parent.reason)
  readonly #listeners = new Set<() => void>()
  /** Made for those who ask for a signal: an AbortController costs more than all the rest. */
  #controller: AbortController | undefined
  #isOver = false
  #reason: unknown

  constructor(parent: AbortSignal, ms: number) {
    this.#parent = parent
    this.#timer = setTimeout(() => this.abort(new Error(`no answer within ${ms} ms`)), ms)
    if (parent.aborted) this.#follow()
    else parent.addEventListener('abort', this.#follow, { once: true })
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** Why it is over. */
  get reason(): unknown {
    return this.#reason
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#isOver) this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }

  /** Calls `listener` when the end comes, unless the returned function was called before; not when it has come. */
  onEnd(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Takes the time limit away and goes on following the parent. */
  lift(): void {
    clearTimeout(this.#timer)
  }

  /** Brings the end about now. */
  abort(reason: unknown): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#reason = reason
    this.#controller?.abort(reason)
    for (const listener of this.#listeners) listener()
    this.#listeners.clear()
  }

  dispose(): void {
    clearTimeout(this.#timer)
    this.#parent.removeEventListener('abort', this.#follow)
  }
}
