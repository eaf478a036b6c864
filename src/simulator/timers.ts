import type { TimerClock } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'

/** Ends a timer; harmless when it has fired already. */
export type Cancel = () => void

/** Longest wait of one timer in Node; longer ones are waited for in pieces. */
const WAIT_MS_MAX = 2_147_483_647

/** Timers on the injected clock, all ended together. */
export class Timers {
  readonly #clock: TimerClock
  readonly #log: Logger
  readonly #running = new Set<Timer>()

  constructor(clock: TimerClock, log: Logger) {
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
    const timer: Timer = { action, cancel: () => undefined }
    this.#running.add(timer)
    this.#wait(timer, ms)
    return () => {
      if (this.#running.delete(timer)) timer.cancel()
    }
  }

  stop(): void {
    for (const { cancel } of this.#running) cancel()
    this.#running.clear()
  }

  #wait(timer: Timer, ms: number): void {
    const left = ms - WAIT_MS_MAX
    timer.cancel = this.#clock.after(Math.max(0, Math.min(ms, WAIT_MS_MAX)), () => {
      if (left > 0) this.#wait(timer, left)
      else this.#fire(timer)
    })
  }

  #fire(timer: Timer): void {
    this.#running.delete(timer)
    try {
      timer.action()
    } catch (error) {
      this.#log.error({ error }, 'simulator timer failed')
    }
  }
}

type Timer = { readonly action: () => void; cancel: Cancel }
