import type { Clock } from '../../core/clock.ts'

/**
 * Claims whose work was cut short because the store did not answer. They are given back when it answers again, instead
 * of standing still for the rest of their leases; what cannot be given back, and what a process leaves behind that dies,
 * is found when its lease has run out.
 */
export class InterruptedClaims<Claim> {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #leaseMs: number
  /** With the time at which the lease is over for sure. */
  readonly #claims = new Map<Claim, number>()

  constructor({ clock, leaseMs }: { readonly clock: Pick<Clock, 'monotonic'>; readonly leaseMs: number }) {
    this.#clock = clock
    this.#leaseMs = leaseMs
  }

  add(claim: Claim): void {
    this.#claims.set(claim, this.#clock.monotonic() + this.#leaseMs)
  }

  /**
   * Gives all of them back by `endClaims`, which resolves with those that it has ended: the others are tried again the
   * next time, until their leases are over. Rejects as `endClaims` does, having given nothing back.
   */
  async giveBack(endClaims: (claims: readonly Claim[]) => Promise<readonly Claim[]>): Promise<void> {
    const now = this.#clock.monotonic()
    for (const [claim, overAt] of this.#claims) if (overAt <= now) this.#claims.delete(claim)
    if (this.#claims.size === 0) return
    for (const ended of await endClaims([...this.#claims.keys()])) this.#claims.delete(ended)
  }
}
