import type { Clock } from '../core/clock.ts'
import type { DisabledReason, EndpointRepository } from '../core/endpoint.ts'
import type { Logger } from '../core/logger.ts'
import type { OperatorEventRepository } from '../core/operator-event.ts'
import type { EndpointRef } from './delivery.ts'
import type { DeliveryStore } from './delivery-store.ts'
import { forgetEndpoint } from './endpoint-removal.ts'
import type { WebhookMetrics } from './metrics.ts'
import { reportToOperator } from './operator-report.ts'
import type { Health } from './store-replies.ts'

export type FailureWatchOptions = {
  readonly store: Pick<DeliveryStore, 'markWarned' | 'unmarkWarned' | 'cursors' | 'remove' | 'open'>
  readonly endpoints: Pick<EndpointRepository, 'find' | 'update'>
  readonly events: Pick<OperatorEventRepository, 'append'>
  readonly metrics: WebhookMetrics
  readonly log: Logger
  readonly clock: Pick<Clock, 'now'>
}

/** How long an endpoint may do nothing but fail. */
const DISABLE_AFTER_MS = 24 * 3_600_000
const WARN_AFTER_MS = DISABLE_AFTER_MS / 2
/** Fewer say nothing about an endpoint that is hardly ever sent anything. */
const FAILURES_MIN = 10

/**
 * Disables endpoints that have done nothing but fail for a day, and warns of it after half of the time.
 * What decides is the time since the first failure after the last success, both of which the store notes
 * when they happen: how much is pending, or fails at once, neither hastens nor hinders it. An endpoint is
 * never disabled without the warning before, even if its failures are so far apart that both are due.
 */
export class FailureWatch {
  readonly #options: FailureWatchOptions

  constructor(options: FailureWatchOptions) {
    this.#options = options
  }

  /** After a failure at `url`. Resolves with whether that was one too many; rejects when a store fails. */
  async observe(
    { appId, endpointId }: EndpointRef,
    { failingSince, failures, url }: Pick<Health, 'failingSince' | 'failures'> & { readonly url: string },
  ): Promise<boolean> {
    if (failingSince === undefined || failures < FAILURES_MIN) return false
    const { store, clock } = this.#options
    const endpoint = { appId, endpointId }
    const failingForMs = clock.now() - failingSince
    if (failingForMs < WARN_AFTER_MS) return false
    const details = { failing_since: failingSince, failures }
    if (await store.markWarned(endpoint)) {
      const isRecorded = await reportToOperator(this.#options, {
        type: 'webhook.failing',
        ...endpoint,
        details: { ...details, disabled_at: Math.max(failingSince + DISABLE_AFTER_MS, clock.now()) },
      })
      if (!isRecorded) await store.unmarkWarned(endpoint)
      return false
    }
    if (failingForMs < DISABLE_AFTER_MS) return false
    if (!(await this.disable(endpoint, { reason: 'failing', details, onlyIfUrl: url }))) return false
    await this.drop(endpoint, 'failing')
    return true
  }

  /**
   * Disables an endpoint and tells the operator, unless it has the URL no more that is the reason. Resolves with
   * whether it is disabled, by this or otherwise; rejects when a store fails.
   */
  async disable(
    { appId, endpointId }: EndpointRef,
    {
      reason,
      details,
      onlyIfUrl,
    }: {
      readonly reason: Exclude<DisabledReason, 'requested'>
      readonly details: Readonly<Record<string, string | number>>
      readonly onlyIfUrl: string
    },
  ): Promise<boolean> {
    const { endpoints, metrics } = this.#options
    const known = await endpoints.find(appId, endpointId)
    // Only who finds it enabled tells of it; another lane of it may have come to the same end.
    if (known?.enabled === true) {
      const change = { enabled: false, disabledReason: reason, onlyIfUrl }
      if ((await endpoints.update(appId, endpointId, change))?.enabled === true) return false
      metrics.disabled.inc({ reason })
      await reportToOperator(this.#options, {
        type: 'webhook.disabled',
        appId,
        endpointId,
        details: { reason, ...details },
      })
    }
    return true
  }

  /** Drops what is pending for a disabled endpoint, unless somebody enabled it again. Rejects when a store fails. */
  async drop({ appId, endpointId }: EndpointRef, reason: DisabledReason): Promise<void> {
    const { log } = this.#options
    const dropped = await forgetEndpoint(this.#options, { appId, endpointId })
    if (dropped === undefined) return
    log.warn({ app_id: appId, endpoint_id: endpointId, reason, dropped }, 'pending events of an endpoint dropped')
  }
}
