import { setImmediate as nextTurnOfEventLoop } from 'node:timers/promises'
import type { Clock } from '../core/clock.ts'

/** How much of each turn of the event loop paced work gets, in milliseconds. */
const BUDGET_MS = 2
/** Pieces that need not wait when they come first: how long they take is seen only afterwards. */
const AT_ONCE_MAX = 8

/**
 * Lets work that can wait (clients that come back, and what they have missed) have a part of each turn of
 * the event loop, first come, first served, so that however much of it comes at once, what is live goes on
 * beside it. Nothing waits while there is little.
 */
export class Pace {
  readonly #clock: Pick<Clock, 'monotonic'>
  #waiting: (() => void)[] = []
  #turnBeganAt = 0
  #leftAtOnce = 0
  #isRunning = false

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock
  }

  /** How many wait for their turn. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** Resolves when the caller may do its next piece, which should be a small one. */
  async turn(): Promise<void> {
    if (!this.#isRunning) {
      this.#isRunning = true
      this.#beginTurn()
      this.#leftAtOnce -= 1
      // Not awaited: never rejects, and ends when nobody waits any more.
      void this.#run()
      return
    }
    if (this.#waiting.length === 0 && this.#leftAtOnce > 0 && this.#hasTimeLeft()) {
      this.#leftAtOnce -= 1
      return
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  #beginTurn(): void {
    this.#turnBeganAt = this.#clock.monotonic()
    this.#leftAtOnce = AT_ONCE_MAX
  }

  async #run(): Promise<void> {
    for (;;) {
      await nextTurnOfEventLoop()
      if (this.#waiting.length === 0) break
      this.#beginTurn()
      await this.#letIn()
    }
    this.#isRunning = false
  }

  async #letIn(): Promise<void> {
    let count = 0
    for (const go of this.#waiting) {
      count += 1
      go()
      // It does its piece now, in the microtasks before this goes on.
      await Promise.resolve()
      await Promise.resolve()
      if (!this.#hasTimeLeft()) break
    }
    this.#waiting = this.#waiting.slice(count)
  }

  #hasTimeLeft(): boolean {
    return this.#clock.monotonic() - this.#turnBeganAt < BUDGET_MS
  }
}
