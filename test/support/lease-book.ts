import type { NetworkRef } from '../../src/core/ids.ts'
import type { InstanceId } from '../../src/core/instances.ts'
import type { HeldLease, Lease, LeaseStore } from '../../src/core/lease.ts'

type Grant = {
  readonly holder: AbortController
  readonly token: number
  note?: string | undefined
  claimedBy?: InstanceId | undefined
}

/** Leases of several adapters in one process, to be taken away at will. */
export class LeaseBook implements LeaseStore {
  /** The names of all that were granted, in order. */
  readonly granted: string[] = []
  readonly #held = new Map<string, Grant>()
  /** Notes of holders that did not give the lease back. */
  readonly #leftBehind = new Map<string, string>()
  #token = 0

  async tryAcquire(_network: NetworkRef, name: string): Promise<Lease | undefined> {
    if (this.#held.has(name)) return undefined
    this.#token += 1
    const grant: Grant = { holder: new AbortController(), token: this.#token }
    const leftBehind = this.#leftBehind.get(name)
    this.#leftBehind.delete(name)
    this.#held.set(name, grant)
    this.granted.push(name)
    return {
      fence: { lease: name, token: grant.token },
      lost: grant.holder.signal,
      leftBehind,
      get claimedBy() {
        return grant.claimedBy
      },
      describe: async (note) => {
        grant.note = note
      },
      release: async () => {
        if (this.#held.get(name) === grant) this.#held.delete(name)
      },
    }
  }

  async look(_network: NetworkRef, name: string): Promise<HeldLease | undefined> {
    const grant = this.#held.get(name)
    if (grant === undefined) return undefined
    return { renewedMsAgo: 0, ...(grant.note === undefined ? {} : { note: grant.note }) }
  }

  async claim(_network: NetworkRef, name: string, by: InstanceId): Promise<void> {
    const grant = this.#held.get(name)
    if (grant !== undefined) grant.claimedBy = by
  }

  /** Somebody else has it, with a channel of its own: whoever holds it now loses it. */
  seize(name: string): void {
    this.#held.get(name)?.holder.abort()
    this.#held.set(name, { holder: new AbortController(), token: 0, note: 'somebody’s channel' })
  }

  free(name: string): void {
    this.#held.delete(name)
  }

  /** The holder is dead: the lease is free, and its note stays. */
  orphan(name: string): void {
    const grant = this.#held.get(name)
    if (grant?.note !== undefined) this.#leftBehind.set(name, grant.note)
    this.#held.delete(name)
  }

  holds(name: string): boolean {
    return this.#held.has(name)
  }
}
