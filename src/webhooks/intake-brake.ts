import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'
import type { DeliveryStore } from './delivery-store.ts'

export type IntakeBrakeOptions = {
  readonly store: Pick<DeliveryStore, 'recordsAreBehind'>
  readonly clock: Pick<Clock, 'now' | 'wait'>
  readonly log: Logger
}

const CHECK_MS = 100
/** How late an event may become for the sake of its record; a sixth of what the shortest-lived one lives. */
const HOLD_MAX_MS = 5_000

/**
 * Holds back what is to be taken from the logs while the records are written slower than they come: better a
 * little late than without a record. Not while they are not written at all, and no event for longer than five
 * seconds: to be delivered never depends on the database. One for all apps of a process; what must wait stays in
 * its log, in order.
 */
export class IntakeBrake {
  readonly #options: IntakeBrakeOptions
  #isOn = false
  #checking: Promise<void> | undefined

  constructor(options: IntakeBrakeOptions) {
    this.#options = options
  }

  /** Tells what the store said when something was taken. */
  note(recordsAreBehind: boolean): void {
    if (recordsAreBehind) this.#switch(true)
  }

  /** Resolves when what was appended at `since` (milliseconds since the epoch) may be taken, or `signal` aborts. */
  async release(since: number, signal: AbortSignal): Promise<void> {
    while (this.#isOn && !signal.aborted && this.#options.clock.now() - since < HOLD_MAX_MS) {
      this.#checking ??= this.#check(signal).finally(() => {
        this.#checking = undefined
      })
      await this.#checking
    }
  }

  /** Never rejects. */
  async #check(signal: AbortSignal): Promise<void> {
    const { store, clock } = this.#options
    // Ends early with whoever asked first, and is repeated for the others.
    await clock.wait(CHECK_MS, signal).catch(() => undefined)
    this.#switch(await store.recordsAreBehind().catch(() => false))
  }

  #switch(isOn: boolean): void {
    if (isOn === this.#isOn) return
    this.#isOn = isOn
    if (isOn) this.#options.log.warn({}, 'events wait for records to be written')
    else this.#options.log.info({}, 'events wait for records no more')
  }
}
