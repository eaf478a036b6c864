/**
 * An abort signal that follows `parent` and also fires after `ms`. `dispose` ends both, so that a
 * long-lived parent does not collect listeners.
 */
export class Deadline {
  readonly #controller = new AbortController()
  readonly #parent: AbortSignal
  readonly #timer: NodeJS.Timeout
  readonly #follow = (): void => this.#controller.abort(this.#parent.reason)

  constructor(parent: AbortSignal, ms: number) {
    this.#parent = parent
    this.#timer = setTimeout(() => this.#controller.abort(new Error(`no answer within ${ms} ms`)), ms)
    if (parent.aborted) this.#follow()
    else parent.addEventListener('abort', this.#follow, { once: true })
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Takes the time limit away and goes on following the parent. */
  lift(): void {
    clearTimeout(this.#timer)
  }

  /** Fires the signal now. */
  abort(reason: unknown): void {
    this.#controller.abort(reason)
  }

  dispose(): void {
    clearTimeout(this.#timer)
    this.#parent.removeEventListener('abort', this.#follow)
  }
}
