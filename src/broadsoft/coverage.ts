import type { SubscriptionStatus } from '../core/adapter.ts'
import type { SubscriberId } from '../core/ids.ts'
import type { DeliveryOutcome } from '../core/observation.ts'
import type { CoverageCounts } from './metrics.ts'

/** Failures listed in a status; the counts tell of the others. */
const FAILED_LISTED_MAX = 1000
/** The network said no: asking again is for when somebody has changed something there. */
const FINAL_FAILURES: ReadonlySet<string> = new Set(['subscriber_not_found', 'provider_refused'])

/** Whether a snapshot that was handed in says what the calls are now. */
export const isAccepted = (outcome: DeliveryOutcome): boolean => outcome === 'changed' || outcome === 'noop'

/**
 * What is known of each wanted subscriber: whether a snapshot has confirmed the calls since the last
 * gap, and whether the subscription or the last read failed. Pure bookkeeping.
 */
export class Coverage {
  readonly #wanted = new Set<SubscriberId>()
  /** When a snapshot was last stored, on the monotonic clock. */
  readonly #confirmedAt = new Map<SubscriberId, number>()
  readonly #failed = new Map<SubscriberId, string>()
  /** Confirmed or failed at least once since the start. */
  readonly #settled = new Set<SubscriberId>()

  isWanted(subscriberId: SubscriberId): boolean {
    return this.#wanted.has(subscriberId)
  }

  wanted(): readonly SubscriberId[] {
    return [...this.#wanted]
  }

  /** Takes the new list over and says what changed. */
  want(subscriberIds: readonly SubscriberId[]): {
    readonly added: readonly SubscriberId[]
    readonly removed: readonly SubscriberId[]
  } {
    const next = new Set(subscriberIds)
    const added = [...next].filter((id) => !this.#wanted.has(id))
    const removed = [...this.#wanted].filter((id) => !next.has(id))
    for (const id of removed) this.#forget(id)
    for (const id of added) this.#wanted.add(id)
    return { added, removed }
  }

  confirm(subscriberId: SubscriberId, now: number): void {
    if (!this.#wanted.has(subscriberId)) return
    this.#confirmedAt.set(subscriberId, now)
    this.#settled.add(subscriberId)
    this.#failed.delete(subscriberId)
  }

  fail(subscriberId: SubscriberId, code: string): void {
    if (!this.#wanted.has(subscriberId)) return
    this.#failed.set(subscriberId, code)
    this.#settled.add(subscriberId)
  }

  /** Nothing is confirmed any more. */
  doubtAll(): void {
    this.#confirmedAt.clear()
  }

  /** Another instance has confirmed what this one has not; when is not known. */
  confirmAll(): void {
    if (this.#confirmedAt.size >= this.#wanted.size) return
    for (const subscriberId of this.#wanted) {
      if (this.#confirmedAt.has(subscriberId)) continue
      this.#confirmedAt.set(subscriberId, Number.NEGATIVE_INFINITY)
      this.#settled.add(subscriberId)
    }
  }

  /** Nobody vouches any more for what another instance had confirmed. */
  doubtOthers(): void {
    for (const [subscriberId, confirmedAt] of this.#confirmedAt) {
      if (confirmedAt === Number.NEGATIVE_INFINITY) this.#confirmedAt.delete(subscriberId)
    }
  }

  /** Nothing is known of these any more. */
  doubt(subscriberIds: readonly SubscriberId[]): void {
    for (const subscriberId of subscriberIds) this.#confirmedAt.delete(subscriberId)
  }

  /** Every wanted subscriber has been confirmed since then (monotonic), or the network refuses it for good. */
  areAllConfirmedSince(since: number): boolean {
    for (const subscriberId of this.#wanted) {
      const isRefused = FINAL_FAILURES.has(this.#failed.get(subscriberId) ?? '')
      if (!isRefused && !this.isConfirmedSince(subscriberId, since)) return false
    }
    return true
  }

  isConfirmedSince(subscriberId: SubscriberId, since: number): boolean {
    const confirmedAt = this.#confirmedAt.get(subscriberId)
    return confirmedAt !== undefined && confirmedAt >= since
  }

  /** Every wanted subscriber was confirmed, or failed, at least once. */
  isSettled(): boolean {
    return this.#settled.size >= this.#wanted.size
  }

  status(): SubscriptionStatus {
    const failed = [...this.#failed].slice(0, FAILED_LISTED_MAX)
    return {
      wanted: this.#wanted.size,
      active: this.#confirmedAt.size,
      stale: this.#wanted.size - this.#confirmedAt.size,
      failed: failed.map(([subscriberId, code]) => ({ subscriberId, code })),
    }
  }

  counts(): CoverageCounts {
    const { wanted, active, stale } = this.status()
    return { wanted, active, stale, failed: this.#failed.size }
  }

  #forget(subscriberId: SubscriberId): void {
    this.#wanted.delete(subscriberId)
    this.#confirmedAt.delete(subscriberId)
    this.#failed.delete(subscriberId)
    this.#settled.delete(subscriberId)
  }
}
