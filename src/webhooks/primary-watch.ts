import type { EndpointId } from '../core/ids.ts'

type Trouble = { readonly url: string; failures: number; probeAt: number }

/** Failures in a row after which a primary URL is no longer the first that is tried. */
const FAILURES_MAX = 3
const PROBE_INTERVAL_MS = 10_000
const TROUBLES_MAX = 10_000

/**
 * Remembers in this process which primary URLs cannot be reached, so that an endpoint with a failover URL
 * does not wait for its primary every time. What is forgotten or not known costs one wait.
 */
export class PrimaryWatch {
  /** In the order of the last failure, so that the first is the oldest. */
  readonly #troubles = new Map<EndpointId, Trouble>()

  /**
   * Whether to try the primary URL before the failover URL, at a monotonic time. While it is down, true once
   * every ten seconds: whoever is told so tries it for all.
   */
  isFirst(endpointId: EndpointId, url: string, now: number): boolean {
    const trouble = this.#troubles.get(endpointId)
    if (trouble === undefined || trouble.url !== url || trouble.failures < FAILURES_MAX) return true
    if (now < trouble.probeAt) return false
    trouble.probeAt = now + PROBE_INTERVAL_MS
    return true
  }

  /** Takes down how the primary URL fared. */
  note(
    endpointId: EndpointId,
    { url, failed, now }: { readonly url: string; readonly failed: boolean; readonly now: number },
  ): void {
    const known = this.#troubles.get(endpointId)
    this.#troubles.delete(endpointId)
    if (!failed) return
    const failures = known?.url === url ? known.failures + 1 : 1
    this.#troubles.set(endpointId, { url, failures, probeAt: now + PROBE_INTERVAL_MS })
    if (this.#troubles.size > TROUBLES_MAX) this.#dropOldest()
  }

  #dropOldest(): void {
    const oldest = this.#troubles.keys().next()
    if (oldest.done !== true) this.#troubles.delete(oldest.value)
  }
}
