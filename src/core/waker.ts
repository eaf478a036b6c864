import type { Clock } from './clock.ts'

/**
 * The wait of a loop that polls and can be hurried: `wake` ends the current wait, or the next one if the
 * loop is at work, so that no wake-up is missed.
 */
export class Waker {
  readonly #clock: Pick<Clock, 'wait'>
  #isAwake = false
  /** Ends the wait that is going on. */
  #end: (() => void) | undefined

  constructor(clock: Pick<Clock, 'wait'>) {
    this.#clock = clock
  }

  wake(): void {
    this.#isAwake = true
    this.#end?.()
  }

  /**
   * Resolves after `ms`, on a wake-up, or when `signal` aborts: the loop looks at the signal itself. For one
   * caller at a time.
   */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#isAwake && !signal.aborted) await this.#wait(ms, signal)
    this.#isAwake = false
  }

  async #wait(ms: number, signal: AbortSignal): Promise<void> {
    const timer = new AbortController()
    // Without a reason, each abort would make an error with a stack, for nobody to read.
    const end = () => timer.abort(WAIT_IS_OVER)
    this.#end = end
    signal.addEventListener('abort', end, { once: true })
    try {
      await this.#clock.wait(ms, timer.signal).catch(() => undefined)
    } finally {
      this.#end = undefined
      signal.removeEventListener('abort', end)
    }
  }
}

const WAIT_IS_OVER = Symbol('the wait is over')
