import type { Clock } from '../core/clock.ts'

/**
 * How much of each turn of the event loop paced work gets, in milliseconds. What is live waits for two or three
 * turns on its way (the wake-up, the read of the log), each of them as long as all that is done in it.
 */
const BUDGET_MS = 0.5
/** Pieces that need not wait when they come first: how long they take is seen only afterwards. */
const AT_ONCE_MAX = 8
const AT_ONCE = Promise.resolve()

/**
 * Lets work that can wait (clients that leave, those that come back, and what they have missed) have a part of
 * each turn of the event loop, first come, first served, so that however much of it comes at once, what is
 * live goes on beside it. Nothing waits while there is little.
 *
 * It makes as few objects as it can: those of thousands that wait outlive the collections of garbage which
 * they cause, and are copied in each.
 */
export class Pace {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #waiting: (() => void)[] = []
  /** How many of the first have had their turn, but are still in there. */
  #letInCount = 0
  #turnBeganAt = 0
  #leftAtOnce = 0
  #isRunning = false

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock
  }

  /** How many wait for their turn. */
  get waiting(): number {
    return this.#waiting.length - this.#letInCount
  }

  /** Resolves when the caller may do its next piece, which should be a small one. Never rejects. */
  turn(): Promise<void> {
    if (!this.#isRunning) {
      this.#beginTurn()
      this.#isRunning = true
      setImmediate(this.#run)
    }
    if (this.waiting > 0 || this.#leftAtOnce === 0 || !this.#hasTimeLeft()) {
      return new Promise((resolve) => this.#waiting.push(resolve))
    }
    this.#leftAtOnce -= 1
    return AT_ONCE
  }

  #beginTurn(): void {
    this.#turnBeganAt = this.#clock.monotonic()
    this.#leftAtOnce = AT_ONCE_MAX
  }

  /** Once in each turn of the event loop, until nobody waits any more. */
  readonly #run = (): void => {
    if (this.waiting === 0) {
      this.#isRunning = false
      return
    }
    this.#beginTurn()
    this.#letIn()
  }

  #letIn(): void {
    const go = this.#waiting[this.#letInCount]
    this.#letInCount += 1
    go?.()
    queueMicrotask(this.#awaitPiece)
  }

  /**
   * A tick that a promise's reaction asks for comes after the reactions to all promises that are settled: by then
   * whoever was let in waits for something else, or is done.
   */
  readonly #awaitPiece = (): void => process.nextTick(this.#goOn)

  readonly #goOn = (): void => {
    if (this.waiting > 0 && this.#hasTimeLeft()) return this.#letIn()
    this.#forgetLetIn()
    setImmediate(this.#run)
  }

  #forgetLetIn(): void {
    if (this.#letInCount * 2 < this.#waiting.length) return
    this.#waiting.splice(0, this.#letInCount)
    this.#letInCount = 0
  }

  #hasTimeLeft(): boolean {
    return this.#clock.monotonic() - this.#turnBeganAt < BUDGET_MS
  }
}
