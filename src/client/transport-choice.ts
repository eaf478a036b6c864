import type { TransportName } from './connection.ts'
import type { Ending } from './endings.ts'

/** Failures in a row after which the first transport is left. */
const FAILURES_MAX = 2
/** How long a lesser one that works is kept before the first one is tried again; doubles with each trial that fails. */
const TRIAL_AFTER_MIN_MS = 60_000
const TRIAL_AFTER_MAX_MS = 600_000

/**
 * How a stream ends that was not let through, or is broken by something on the way. Whatever the gateway itself
 * has said it would say on any transport.
 */
const BROKEN: readonly string[] = ['connection_lost', 'open_timeout', 'silent', 'not_a_frame']

/**
 * Which transport the next connection is made of: the first of the list, unless it has not once got as far as a
 * stream. When none does, as when the network is gone, each has its turn again and again. So a lesser one may be
 * taken by mere chance, and is left for the first one now and then, to come back at once when that still fails.
 */
export class TransportChoice {
  readonly #names: readonly TransportName[]
  #index = 0
  #failures = 0
  #trialAfterMs = TRIAL_AFTER_MIN_MS
  /** To come back to when the trial fails; undefined when there is none. */
  #triedFrom: number | undefined
  #isTrialPlanned = false

  /** There is at least one name. */
  constructor(names: readonly TransportName[]) {
    this.#names = names
  }

  get current(): TransportName {
    return this.#names[this.#index] ?? 'websocket'
  }

  /** After how long a connection should be ended for a trial of the first transport; undefined for this one. */
  get trialAfterMs(): number | undefined {
    return this.#index === 0 ? undefined : this.#trialAfterMs
  }

  /** The connection is about to be ended for a trial. */
  planTrial(): void {
    this.#isTrialPlanned = true
  }

  /** Takes note of how a connection has ended, and whether it was a live stream before. */
  note({ name }: Pick<Ending, 'name'>, { wasLive }: { readonly wasLive: boolean }): void {
    if (this.#isTrialPlanned) this.#beginTrial()
    else if (wasLive) this.#noteLive()
    else if (BROKEN.includes(name)) this.#noteFailure()
  }

  #beginTrial(): void {
    this.#isTrialPlanned = false
    this.#triedFrom = this.#index
    this.#index = 0
    this.#failures = 0
    this.#trialAfterMs = Math.min(2 * this.#trialAfterMs, TRIAL_AFTER_MAX_MS)
  }

  #noteLive(): void {
    this.#failures = 0
    this.#triedFrom = undefined
    if (this.#index === 0) this.#trialAfterMs = TRIAL_AFTER_MIN_MS
  }

  #noteFailure(): void {
    const back = this.#triedFrom
    this.#triedFrom = undefined
    this.#failures += 1
    if (back === undefined && this.#index === 0 && this.#failures < FAILURES_MAX) return
    this.#failures = 0
    this.#index = back ?? (this.#index + 1) % this.#names.length
  }
}
