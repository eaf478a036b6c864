import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'

/** Ends a timer; harmless when it has fired already. */
export type Cancel = () => void

/** Longest wait of one timer in Node; longer ones are waited for in pieces. */
const WAIT_MS_MAX = 2_147_483_647

/** Timers on the injected clock, all ended together. */
export class Timers {
  readonly #clock: Clock
  readonly #log: Logger
  readonly #running = new Set<AbortController>()

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock
    this.#log = log
  }

  now(): number {
    return this.#clock.now()
  }

  monotonic(): number {
    return this.#clock.monotonic()
  }

  /** Calls `action` once after `ms`, unless cancelled. */
  after(ms: number, action: () => void): Cancel {
    const controller = new AbortController()
    this.#running.add(controller)
    // Settles always: failures of the action are logged, and cancelling is not a failure.
    void this.#wait(ms, controller, action)
    return () => {
      this.#running.delete(controller)
      controller.abort()
    }
  }

  stop(): void {
    for (const controller of this.#running) controller.abort()
    this.#running.clear()
  }

  async #wait(ms: number, controller: AbortController, action: () => void): Promise<void> {
    try {
      for (let left = ms; ; left -= WAIT_MS_MAX) {
        await this.#clock.wait(Math.max(0, Math.min(left, WAIT_MS_MAX)), controller.signal)
        if (left <= WAIT_MS_MAX) break
      }
    } catch {
      return
    }
    // Cancelled between the timer firing and this continuation.
    if (controller.signal.aborted) return
    this.#running.delete(controller)
    try {
      action()
    } catch (error) {
      this.#log.error({ error }, 'simulator timer failed')
    }
  }
}
