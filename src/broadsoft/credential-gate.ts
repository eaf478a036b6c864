import { GatewayError } from '../core/errors.ts'
import { Deadline } from './deadline.ts'
import { Serial } from './serial.ts'

const WAITING_MAX = 1000
/** Longer than the requests of several hung nodes take, which may all be before one. */
const WAIT_MAX_MS = 60_000

/**
 * Keeps a wrong password from being tried again and again: BroadWorks locks an account after a few
 * failed logins, and a locked account is worse than a gap. While it is not known whether the
 * credentials are good, requests go out one at a time. A 401 is tried once more; if it stays, nothing
 * is sent any more until `reset`.
 */
export class CredentialGate {
  #state: 'unproven' | 'proven' | 'refused' = 'unproven'
  /** Grows with each reset, so that an answer to the old credentials says nothing about the new ones. */
  #generation = 0
  readonly #lane = new Serial(WAITING_MAX)

  get isLockedOut(): boolean {
    return this.#state === 'refused'
  }

  reset(): void {
    this.#state = 'unproven'
    this.#generation += 1
  }

  /**
   * Sends through the gate and gives back the answer, a lasting 401 included. `send` may be called twice,
   * and has its own time limit: what is before it in the gate takes nothing of that. Rejects without
   * sending with `provider_unauthorized` while locked out, and with `provider_unavailable` when its turn
   * does not come within a minute or before `signal` aborts.
   */
  async run<T extends { readonly status: number }>(send: () => Promise<T>, signal: AbortSignal): Promise<T> {
    let refused: T | undefined
    // A second round is needed only when somebody else's request settled the question meanwhile.
    for (let round = 0; round < 2; round += 1) {
      if (this.#state === 'proven') {
        const generation = this.#generation
        const response = await send()
        if (response.status !== 401) return response
        refused = response
        if (this.#generation === generation && !this.isLockedOut) this.#state = 'unproven'
      }
      const tried = await this.#inTurn(() => this.#prove(send, refused !== undefined), signal)
      if (tried !== undefined) return tried
    }
    if (refused !== undefined) return refused
    throw new GatewayError('provider_unauthorized', {
      detail: 'The network refused the credentials before; nothing is sent until they are set again',
    })
  }

  async #inTurn<T>(task: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const wait = new Deadline(signal, WAIT_MAX_MS)
    try {
      return await this.#lane.run(task, wait.signal)
    } finally {
      wait.dispose()
    }
  }

  /** The answer of a request sent alone; undefined when there is nothing to prove any more. */
  async #prove<T extends { readonly status: number }>(
    send: () => Promise<T>,
    isRetry: boolean,
  ): Promise<T | undefined> {
    if (this.#state !== 'unproven') return undefined
    const generation = this.#generation
    let response = await send()
    if (response.status === 401 && !isRetry) response = await send()
    if (this.#generation !== generation) return response
    if (response.status === 401) this.#state = 'refused'
    else if (response.status < 500) this.#state = 'proven'
    return response
  }
}
