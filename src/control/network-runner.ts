import type { Adapter } from '../core/adapter.ts'
import type { Clock } from '../core/clock.ts'
import { isGatewayError } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import type { NetworkStatus } from '../core/network-control.ts'

const RETRY_FIRST_MS = 1_000
const RETRY_MAX_MS = 60_000
/** From this many failures in a row on, a failed start is an error and no longer a warning. */
const LASTING_FAILURE_ATTEMPTS = 5

export type NetworkRunnerOptions = {
  /** Builds an adapter that has not been started; rejects for a configuration it cannot run with. */
  readonly create: () => Promise<Adapter>
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
}

/**
 * Keeps one adapter running: creates and starts it, and after a failure tries again with a growing,
 * jittered delay for as long as it is wanted. A runner is used once; a changed network gets a new one.
 */
export class NetworkRunner {
  readonly #options: NetworkRunnerOptions
  readonly #stopping = new AbortController()
  #status: NetworkStatus
  /** The adapter that was started last, also while its start has not resolved. */
  #adapter: Adapter | undefined
  #loop: Promise<void> | undefined
  #stopped: Promise<void> | undefined

  constructor(options: NetworkRunnerOptions) {
    this.#options = options
    this.#status = { state: 'starting', since: options.clock.now(), attempts: 0 }
  }

  /** Begins. Resolves after the first attempt, whatever became of it. */
  async start(): Promise<void> {
    const started = await this.#attempt()
    if (!started && !this.#stopping.signal.aborted) this.#loop = this.#retry()
  }

  get status(): NetworkStatus {
    return this.#status
  }

  /** The adapter while it runs. */
  get adapter(): Adapter | undefined {
    return this.#status.state === 'running' ? this.#adapter : undefined
  }

  /** Ends the retries and stops the adapter; gives up waiting when `deadline` aborts. Never rejects. */
  stop(deadline: AbortSignal): Promise<void> {
    this.#stopped ??= this.#stop(deadline)
    return this.#stopped
  }

  async #stop(deadline: AbortSignal): Promise<void> {
    this.#stopping.abort(new Error('the network is being stopped'))
    const adapter = this.#adapter
    this.#enter({ state: 'stopped', attempts: 0 })
    await this.#loop
    if (adapter === undefined) return
    try {
      await adapter.stop(deadline)
    } catch (cause) {
      this.#options.log.error({ err: cause }, 'network adapter did not stop cleanly')
    }
  }

  async #retry(): Promise<void> {
    const { clock, random } = this.#options
    const signal = this.#stopping.signal
    while (!signal.aborted) {
      const attempts = this.#status.attempts
      const ceilingMs = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** Math.min(attempts - 1, 16))
      const delayMs = ceilingMs / 2 + (random() * ceilingMs) / 2
      this.#status = { ...this.#status, retryAt: clock.now() + Math.round(delayMs) }
      try {
        await clock.wait(delayMs, signal)
      } catch {
        return
      }
      if (await this.#attempt()) return
    }
  }

  /** True once the adapter runs. */
  async #attempt(): Promise<boolean> {
    const attempts = this.#status.attempts + 1
    this.#enter({ state: 'starting', attempts })
    try {
      const adapter = await this.#options.create()
      if (this.#stopping.signal.aborted) return false
      this.#adapter = adapter
      await abortable(adapter.start(), this.#stopping.signal)
      if (this.#stopping.signal.aborted) return false
      this.#enter({ state: 'running', attempts: 0 })
      return true
    } catch (cause) {
      if (this.#stopping.signal.aborted) return false
      this.#adapter = undefined
      this.#enter({ state: 'retrying', attempts, reason: reasonOf(cause) })
      const level = attempts < LASTING_FAILURE_ATTEMPTS ? 'warn' : 'error'
      this.#options.log[level]({ err: cause, attempts }, 'network adapter could not be started')
      return false
    }
  }

  #enter(status: Omit<NetworkStatus, 'since'>): void {
    if (this.#status.state === 'stopped') return
    this.#status = { ...status, since: this.#options.clock.now() }
  }
}

/** Settles like `work`, or rejects as soon as the signal aborts; a later failure of `work` is its own affair. */
function abortable(work: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}

/** A sentence for the operator: ours is written for readers, a foreign one may hold anything. */
const reasonOf = (error: unknown): string =>
  isGatewayError(error) ? `${error.code}: ${error.message}` : 'internal: see the log'
