import type { Clock } from '../core/clock.ts'

/** How long a node that could not be reached is asked last, in ms. */
const AVOIDED_MS = 10_000

/** The network's nodes in the order in which to ask them: the first in the list that works. */
export class Nodes {
  readonly #nodes: readonly URL[]
  readonly #clock: Clock
  readonly #failedAt = new Map<string, number>()

  constructor(nodes: readonly URL[], clock: Clock) {
    this.#nodes = nodes
    this.#clock = clock
  }

  /** All nodes: those not known to be down as configured, then the others, longest down first. */
  inOrder(): readonly URL[] {
    const now = this.#clock.monotonic()
    const downSince = (node: URL): number => {
      const failedAt = this.#failedAt.get(node.origin)
      return failedAt === undefined || now - failedAt >= AVOIDED_MS ? Number.NEGATIVE_INFINITY : failedAt
    }
    return this.#nodes
      .map((node) => ({ node, since: downSince(node) }))
      .toSorted((a, b) => (a.since === b.since ? 0 : a.since - b.since))
      .map(({ node }) => node)
  }

  markFailed(node: URL): void {
    if (this.#nodes.some(({ origin }) => origin === node.origin)) {
      this.#failedAt.set(node.origin, this.#clock.monotonic())
    }
  }

  markReached(node: URL): void {
    this.#failedAt.delete(node.origin)
  }
}
