/**
 * Claims whose work was cut short because the store did not answer. Each is given back when it answers again, instead
 * of standing still for the rest of its lease. They are no more than may be worked on at once, since nothing can be
 * claimed meanwhile; those of a process that dies are found by their leases.
 */
export class InterruptedClaims<Claim> {
  readonly #claims = new Set<Claim>()

  add(claim: Claim): void {
    this.#claims.add(claim)
  }

  /** Gives all of them back by `give`, which rejects as long as the store does not answer; so does this, and keeps the rest. */
  async giveBack(give: (claim: Claim) => Promise<void>): Promise<void> {
    for (const claim of this.#claims) {
      await give(claim)
      this.#claims.delete(claim)
    }
  }
}

/** After that it may be claimed again: what makes the store fail may be the work itself. */
export const GIVEN_BACK_FOR_MS = 1_000
