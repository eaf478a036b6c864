import type { Clock } from '../core/clock.ts'
import type { Directory, EndpointSummary } from '../core/directory.ts'
import { DELIVERY_CLASSES } from '../core/delivery-policy.ts'
import type { DeliveryClass } from '../core/delivery-policy.ts'
import type { EndpointRepository } from '../core/endpoint.ts'
import type { Logger } from '../core/logger.ts'
import { rulesOf } from './delivery.ts'
import type { EndpointRef, WakeUp } from './delivery.ts'
import type { DeliveryStore } from './delivery-store.ts'
import { forgetEndpoint } from './endpoint-removal.ts'
import type { WebhookMetrics } from './metrics.ts'

export type SweeperOptions = {
  readonly store: DeliveryStore
  readonly directory: Pick<Directory, 'apps' | 'endpointsOf'>
  readonly endpoints: Pick<EndpointRepository, 'find'>
  readonly wake: (wakes: readonly WakeUp[]) => Promise<void>
  readonly reopen: (endpoint: EndpointRef, at: number) => Promise<void>
  readonly metrics: WebhookMetrics
  readonly log: Logger
  readonly clock: Pick<Clock, 'now'>
}

const LANES_PER_SWEEP = 500
const ENDPOINTS_AT_ONCE = 50
/** A lane that was woken by a sweep is left alone for so long; with its slot's lease it may be woken again. */
const PUT_OFF_MS = 10_000

/**
 * Looks after what events alone would not: lanes whose owner died or whose wake-up was lost, events that
 * expire while their lane waits, and endpoints that are no more.
 */
export class Sweeper {
  readonly #options: SweeperOptions

  constructor(options: SweeperOptions) {
    this.#options = options
  }

  /**
   * One round over everything. What fails for one endpoint is told and leaves the others alone; rejects when
   * a store fails for all. The next round does the rest.
   */
  async run(): Promise<void> {
    const { store, metrics } = this.#options
    await this.#tend()
    await this.#collect()
    metrics.pending.set(await store.pending())
  }

  /** Tends the lanes of every endpoint. */
  async #tend(): Promise<void> {
    const { store, directory, metrics, clock } = this.#options
    const endpoints = directory.apps().flatMap(({ appId }) => directory.endpointsOf(appId))
    const breakers = { open: 0, half_open: 0 }
    const waitingSince = new Map<DeliveryClass, number>()
    for (let i = 0; i < endpoints.length; i += ENDPOINTS_AT_ONCE) {
      const some = endpoints.slice(i, i + ENDPOINTS_AT_ONCE)
      await Promise.all(some.map((endpoint) => this.#sweep(endpoint, waitingSince)))
      const status = await store.status(some.map(({ endpointId }) => endpointId))
      for (const { breaker } of status.values()) if (breaker !== 'closed') breakers[breaker] += 1
    }
    metrics.breakers.set({ state: 'open' }, breakers.open)
    metrics.breakers.set({ state: 'half_open' }, breakers.half_open)
    const now = clock.now()
    for (const each of DELIVERY_CLASSES) {
      const ageMs = Math.max(0, now - (waitingSince.get(each) ?? now))
      metrics.waitingAgeSeconds.set({ class: each }, ageMs / 1_000)
    }
  }

  /** Tends the lanes of one endpoint and takes down since when the oldest wait. Never rejects. */
  async #sweep(summary: EndpointSummary, waitingSince: Map<DeliveryClass, number>): Promise<void> {
    const { store, log, clock } = this.#options
    const endpoint = { appId: summary.app.appId, endpointId: summary.endpointId }
    try {
      const swept = await store.sweep(endpoint, {
        now: clock.now(),
        rules: rulesOf(summary),
        putOffMs: PUT_OFF_MS,
        limit: LANES_PER_SWEEP,
      })
      for (const each of DELIVERY_CLASSES) {
        const since = swept.waitingSince[each]
        if (since !== undefined) waitingSince.set(each, Math.min(since, waitingSince.get(each) ?? since))
      }
      await this.#follow(endpoint, swept)
    } catch (error) {
      log.warn({ endpoint_id: endpoint.endpointId, err: error }, 'lanes of an endpoint could not be swept')
    }
  }

  async #follow(
    endpoint: EndpointRef,
    swept: { readonly wakes: readonly WakeUp[]; readonly reopenAt?: number },
  ): Promise<void> {
    const { wake, reopen, metrics, log } = this.#options
    if (swept.wakes.length > 0) {
      metrics.healed.inc(swept.wakes.length)
      log.info({ endpoint_id: endpoint.endpointId, lanes: swept.wakes.length }, 'waiting lanes were woken')
      await wake(swept.wakes)
    }
    if (swept.reopenAt !== undefined) await reopen(endpoint, swept.reopenAt)
  }

  /** Forgets endpoints that were removed or disabled. The directory may not have heard of a new endpoint yet. */
  async #collect(): Promise<void> {
    const { store, directory, log } = this.#options
    for (const appId of await store.apps()) {
      const listed = directory.endpointsOf(appId).filter(({ enabled }) => enabled)
      const known = new Set(listed.map(({ endpointId }) => endpointId))
      for (const endpointId of (await store.cursors(appId)).keys()) {
        if (known.has(endpointId)) continue
        const dropped = await forgetEndpoint(this.#options, { appId, endpointId })
        if (dropped === undefined) continue
        log.info({ app_id: appId, endpoint_id: endpointId, dropped }, 'removed or disabled endpoint forgotten')
      }
    }
  }
}
