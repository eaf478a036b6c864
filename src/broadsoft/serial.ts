import { GatewayError } from '../core/errors.ts'
import { unsentError } from './errors.ts'

/** Runs tasks one after the other, in the order asked, with a bound on those waiting or running. */
export class Serial {
  readonly #pendingMax: number
  #tail: Promise<void> = Promise.resolve()
  #pending = 0

  constructor(pendingMax: number) {
    this.#pendingMax = pendingMax
  }

  get pending(): number {
    return this.#pending
  }

  /**
   * Settles as the task does. Rejects with `too_many_requests` when too many wait already, and with
   * `provider_unavailable` (`sent: false`) when `signal` aborts before the task's turn; then it is not run.
   */
  async run<T>(task: () => Promise<T>, signal: AbortSignal): Promise<T> {
    if (this.#pending >= this.#pendingMax) {
      throw new GatewayError('too_many_requests', { detail: 'Too many commands wait already', retryAfterSeconds: 1 })
    }
    this.#pending += 1
    const before = this.#tail
    let leave = doNothing
    this.#tail = new Promise((resolve) => {
      leave = resolve
    })
    try {
      await turn(before, signal)
      return await task()
    } finally {
      this.#pending -= 1
      // One that gave up waiting must not let the next one pass those before it.
      void before.then(leave)
    }
  }
}

const turn = (before: Promise<void>, signal: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const giveUp = (): void => reject(unsentError('The request was given up before its turn', signal.reason))
    if (signal.aborted) return giveUp()
    signal.addEventListener('abort', giveUp, { once: true })
    void before.then(() => {
      signal.removeEventListener('abort', giveUp)
      return resolve()
    })
  })

const doNothing = (): void => undefined
