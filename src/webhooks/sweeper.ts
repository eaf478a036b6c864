import type { Clock } from '../core/clock.ts'
import type { Directory } from '../core/directory.ts'
import type { EndpointRepository } from '../core/endpoint.ts'
import type { AppId, EndpointId } from '../core/ids.ts'
import type { Logger } from '../core/logger.ts'
import type { Lane } from './delivery.ts'
import type { DeliveryStore } from './delivery-store.ts'
import type { WebhookMetrics } from './metrics.ts'

export type SweeperOptions = {
  readonly store: DeliveryStore
  readonly directory: Pick<Directory, 'apps' | 'endpointsOf'>
  readonly endpoints: Pick<EndpointRepository, 'find'>
  readonly wake: (lanes: readonly Lane[]) => Promise<void>
  readonly metrics: WebhookMetrics
  readonly log: Logger
  readonly clock: Pick<Clock, 'now'>
}

type EndpointRef = { readonly appId: AppId; readonly endpointId: EndpointId }

const LANES_PER_SWEEP = 500
const ENDPOINTS_AT_ONCE = 50
/** A lane that was woken by a sweep is left alone for so long. */
const PUT_OFF_MS = 30_000

/** Looks after what events alone would not: wake-ups that were lost, and endpoints that are no more. */
export class Sweeper {
  readonly #options: SweeperOptions

  constructor(options: SweeperOptions) {
    this.#options = options
  }

  /** One round over everything. Rejects when a store fails; the next round does the rest. */
  async run(): Promise<void> {
    const { store, metrics } = this.#options
    await this.#heal()
    await this.#collect()
    metrics.pending.set(await store.pending())
  }

  /** Repeats lost wake-ups. */
  async #heal(): Promise<void> {
    const { store, directory, wake, metrics, log, clock } = this.#options
    const endpoints: EndpointRef[] = directory
      .apps()
      .flatMap(({ appId }) => directory.endpointsOf(appId).map(({ endpointId }) => ({ appId, endpointId })))
    for (let i = 0; i < endpoints.length; i += ENDPOINTS_AT_ONCE) {
      const sweep = { now: clock.now(), putOffMs: PUT_OFF_MS, limit: LANES_PER_SWEEP }
      const some = endpoints.slice(i, i + ENDPOINTS_AT_ONCE)
      const lost = (await Promise.all(some.map((endpoint) => store.sweep(endpoint, sweep)))).flat()
      if (lost.length === 0) continue
      metrics.healed.inc(lost.length)
      log.info({ lanes: lost.length }, 'lost wake-ups repeated')
      await wake(lost)
    }
  }

  /**
   * Forgets endpoints that were removed or disabled. The records decide: the directory may not have heard
   * of a new endpoint yet.
   */
  async #collect(): Promise<void> {
    const { store, directory, endpoints, metrics, log } = this.#options
    for (const appId of await store.apps()) {
      const listed = directory.endpointsOf(appId).filter(({ enabled }) => enabled)
      const known = new Set(listed.map(({ endpointId }) => endpointId))
      for (const [endpointId, position] of await store.cursors(appId)) {
        const isEnabled = async () => (await endpoints.find(appId, endpointId))?.enabled === true
        if (known.has(endpointId) || (await isEnabled())) continue
        const dropped = await store.remove({ appId, endpointId })
        // Enabled after it was read: the place that this fixed is gone, too. Its place before is no later.
        if (await isEnabled()) {
          await store.open({ appId, endpointId }, position)
          continue
        }
        metrics.dropped.inc({ reason: 'endpoint_removed' }, dropped)
        log.info({ app_id: appId, endpoint_id: endpointId, dropped }, 'removed or disabled endpoint forgotten')
      }
    }
  }
}
