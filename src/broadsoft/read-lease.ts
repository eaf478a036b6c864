import type { Clock } from '../core/clock.ts'
import type { NetworkRef } from '../core/ids.ts'
import type { Lease, LeaseStore } from '../core/lease.ts'
import type { Fence } from '../core/observation.ts'

export type ReadLeaseOptions = {
  readonly network: NetworkRef
  readonly leases: LeaseStore
  /** Proof of a lease that this instance holds anyway. */
  readonly heldFence: () => Fence | undefined
  readonly clock: Clock
  readonly random: () => number
}

const LEASE_NAME = 'reads'
/** Another instance holds it for as long as it has something to read. */
const RETRY_MS = 1_000

/**
 * Under which fence calls are read: that of a lease held anyway, otherwise that of the network's lease for
 * reading, which is taken once for all reads that are due and given back after them.
 */
export class ReadLease {
  readonly #options: ReadLeaseOptions
  #lease: Lease | undefined
  #asking: Promise<Fence | undefined> | undefined
  #releasing: Promise<void> = Promise.resolve()

  constructor(options: ReadLeaseOptions) {
    this.#options = options
  }

  /** Waits for a fence, however long another instance reads; undefined when `signal` aborts before. */
  acquire(signal: AbortSignal): Promise<Fence | undefined> {
    this.#asking ??= this.#ask(signal).finally(() => {
      this.#asking = undefined
    })
    return this.#asking
  }

  /** Gives the lease back, if it is held. */
  release(): Promise<void> {
    const lease = this.#lease
    this.#lease = undefined
    // Not given back, it expires.
    if (lease !== undefined) this.#releasing = lease.release().catch(() => undefined)
    return this.#releasing
  }

  async #ask(signal: AbortSignal): Promise<Fence | undefined> {
    const { network, leases, heldFence, clock, random } = this.#options
    await this.#releasing
    while (!signal.aborted) {
      const fence = heldFence() ?? (this.#lease?.lost.aborted === false ? this.#lease.fence : undefined)
      if (fence !== undefined) return fence
      // A store that cannot be reached is waited for like another instance.
      this.#lease = await leases.tryAcquire(network, LEASE_NAME).catch(() => undefined)
      if (this.#lease === undefined) await clock.wait(RETRY_MS * (0.5 + random()), signal).catch(() => undefined)
    }
    return undefined
  }
}
