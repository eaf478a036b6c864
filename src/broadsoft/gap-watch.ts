import type { Clock } from '../core/clock.ts'
import type { SubscriberId } from '../core/ids.ts'
import { GapDetector } from './gap-detector.ts'

export type GapWatchOptions = {
  readonly graceMs: number
  readonly clock: Clock
  /** Ends the watch. */
  readonly signal: AbortSignal
  /** Events of a subscription are lost; `subscriberId` is whose event showed it. */
  readonly onGap: (subscriberId: SubscriberId) => void
}

const MISSING_MAX = 64
const SUBSCRIPTIONS_MAX = 200_000

/** Watches the sequence numbers of all subscriptions over time, with one timer. */
export class GapWatch {
  readonly #options: GapWatchOptions
  readonly #detector: GapDetector
  /** Of the subscriptions that miss numbers now. */
  readonly #subscribers = new Map<string, SubscriberId>()
  #isWaiting = false

  constructor(options: GapWatchOptions) {
    this.#options = options
    const { graceMs } = options
    this.#detector = new GapDetector({ graceMs, missingMax: MISSING_MAX, subscriptionsMax: SUBSCRIPTIONS_MAX })
  }

  observe(event: {
    readonly subscriptionId: string
    readonly targetId: SubscriberId
    readonly sequenceNumber: number
  }): void {
    const { subscriptionId, targetId, sequenceNumber } = event
    if (!this.#detector.observe(subscriptionId, sequenceNumber, this.#options.clock.monotonic())) {
      this.#subscribers.delete(subscriptionId)
      return
    }
    this.#subscribers.set(subscriptionId, targetId)
    if (this.#isWaiting) return
    this.#isWaiting = true
    void this.#wait() // ends with the gaps or the signal, and does not reject
  }

  forget(subscriptionId: string): void {
    this.#detector.forget(subscriptionId)
    this.#subscribers.delete(subscriptionId)
  }

  /** Begins anew: after a reconnect every subscriber is read again anyway. */
  clear(): void {
    this.#detector.clear()
    this.#subscribers.clear()
  }

  async #wait(): Promise<void> {
    const { clock, signal, onGap } = this.#options
    for (let next = this.#detector.nextDeadline(); next !== undefined; next = this.#detector.nextDeadline()) {
      await clock.wait(Math.max(1, next - clock.monotonic()), signal).catch(() => undefined)
      if (signal.aborted) return
      for (const subscriptionId of this.#detector.takeLost(clock.monotonic())) {
        const subscriberId = this.#subscribers.get(subscriptionId)
        this.#subscribers.delete(subscriptionId)
        if (subscriberId !== undefined) onGap(subscriberId)
      }
    }
    this.#isWaiting = false
  }
}
