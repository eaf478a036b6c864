import type { Clock } from './clock.ts'

/**
 * The wait of a loop that polls and can be hurried: `wake` ends the current wait, or the next one if the
 * loop is at work, so that no wake-up is missed.
 */
export class Waker {
  readonly #clock: Pick<Clock, 'wait'>
  #woken = Promise.withResolvers<void>()

  constructor(clock: Pick<Clock, 'wait'>) {
    this.#clock = clock
  }

  wake(): void {
    this.#woken.resolve()
  }

  /** Resolves after `ms`, on a wake-up, or when `signal` aborts: the loop looks at the signal itself. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    const timer = new AbortController()
    const abort = () => timer.abort()
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort, { once: true })
    try {
      await Promise.race([this.#woken.promise, this.#clock.wait(ms, timer.signal).catch(() => undefined)])
    } finally {
      signal.removeEventListener('abort', abort)
      timer.abort()
      this.#woken = Promise.withResolvers<void>()
    }
  }
}
