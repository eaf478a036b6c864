import type { Clock } from '../core/clock.ts'
import type { Endpoint, EndpointChange, EndpointRepository } from '../core/endpoint.ts'
import { GatewayError, isGatewayError } from '../core/errors.ts'
import type { AppId, EndpointId } from '../core/ids.ts'
import type { NewWebhook, WebhookChange, WebhookResource } from './schemas/webhook.ts'
import { toWebhookResource, toWebhookStatus } from './schemas/webhook.ts'
import { toEndpointChange, toNewEndpoint } from './webhook-input.ts'
import type { WebhookInputDeps } from './webhook-input.ts'
import type { ReadWebhookStatus } from './webhook-ports.ts'

export type WebhookRegistrationDeps = WebhookInputDeps & {
  readonly endpoints: EndpointRepository
  /**
   * Fixes where in the app's log an endpoint starts, unless it has started; from then on it misses nothing. What
   * waits for it is sent on its way, as far as it may be by now.
   */
  readonly openEndpoint: (appId: AppId, endpointId: EndpointId) => Promise<void>
  /** Forgets that an endpoint has failed: its breaker is closed and it is not about to be disabled. */
  readonly resetFailures: (appId: AppId, endpointId: EndpointId) => Promise<void>
  /** Drops what is pending for an endpoint, and where it is: should it be enabled again, it starts anew. */
  readonly forgetEndpoint: (appId: AppId, endpointId: EndpointId) => Promise<void>
}

type EndpointParams = { readonly app_id: AppId; readonly webhook_id: EndpointId }

/** Records an endpoint and starts it; leaves nothing behind when that fails. */
export async function registerWebhook(
  deps: WebhookRegistrationDeps,
  appId: AppId,
  body: NewWebhook,
): Promise<{ readonly endpoint: Endpoint; readonly secret: string }> {
  const wanted = await toNewEndpoint(appId, body, deps)
  const endpoint = await deps.endpoints.create(wanted)
  try {
    await openIfSending(deps, endpoint)
  } catch (error) {
    // Without its secret, which only the answer tells, it would be of no use.
    await deps.endpoints.remove(appId, endpoint.endpointId)
    throw error
  }
  return { endpoint, secret: wanted.secret }
}

/**
 * Rejects with `webhook_not_found`, with `store_unavailable`, and like {@link toEndpointChange}; then nothing is
 * changed. Only what makes an endpoint start, or start anew, needs the store.
 */
export async function changeWebhook(
  deps: WebhookRegistrationDeps,
  params: EndpointParams,
  body: WebhookChange,
): Promise<Endpoint> {
  const { app_id: appId, webhook_id: endpointId } = params
  const existing = await findWebhook(deps.endpoints, params)
  const change = await toEndpointChange(body, existing, deps)
  const startsAnew = change.enabled === true && !existing.enabled
  const isMoved = change.url !== undefined && change.url !== existing.url
  // Before the change: with the failures of before, the first new one could disable it again.
  if (startsAnew || isMoved) await deps.resetFailures(appId, endpointId)
  const isSending = existing.enabled && existing.verified
  // Before the change, too: what is answered with a failure must not have been done.
  if (!isSending) await openIfSending(deps, { ...existing, ...standingAfter(existing, change) })
  const endpoint = await deps.endpoints.update(appId, endpointId, change)
  if (endpoint === undefined) throw new GatewayError('webhook_not_found')
  // At once, not when the sweeper finds it: enabled again before that, it would be sent what happened in between.
  if (existing.enabled && !endpoint.enabled) await deps.forgetEndpoint(appId, endpointId).catch(ignoreUnavailable)
  // For what waits for it, and should its start have been tidied away as that of a disabled one. It has started:
  // without the store, the rest is found by the dispatcher when there is one again.
  await openIfSending(deps, endpoint).catch(ignoreUnavailable)
  return endpoint
}

function standingAfter(existing: Endpoint, { url, failoverUrl, enabled, verified }: EndpointChange) {
  const hasNewUrl =
    (url !== undefined && url !== existing.url) ||
    (typeof failoverUrl === 'string' && failoverUrl !== existing.failoverUrl)
  return { enabled: enabled ?? existing.enabled, verified: verified ?? (existing.verified && !hasNewUrl) }
}

/** Starts an endpoint to which something may be sent, as long as it has not started. */
export async function openIfSending(
  { openEndpoint }: Pick<WebhookRegistrationDeps, 'openEndpoint'>,
  { appId, endpointId, enabled, verified }: Pick<Endpoint, 'appId' | 'endpointId' | 'enabled' | 'verified'>,
): Promise<void> {
  if (enabled && verified) await openEndpoint(appId, endpointId)
}

/** Rejects with `webhook_not_found`. */
export async function findWebhook(
  endpoints: Pick<EndpointRepository, 'find'>,
  { app_id: appId, webhook_id: endpointId }: EndpointParams,
): Promise<Endpoint> {
  const endpoint = await endpoints.find(appId, endpointId)
  if (endpoint === undefined) throw new GatewayError('webhook_not_found')
  return endpoint
}

export type StatusDeps = { readonly webhookStatus: ReadWebhookStatus; readonly clock: Pick<Clock, 'now'> }

/** The endpoints as they are answered, each with its status; without it while the store cannot be reached. */
export async function withStatus(
  { webhookStatus, clock }: StatusDeps,
  endpoints: readonly Endpoint[],
): Promise<readonly WebhookResource[]> {
  const ids = endpoints.map(({ endpointId }) => endpointId)
  const statuses = ids.length === 0 ? undefined : await webhookStatus(ids).catch(ignoreUnavailable)
  const now = clock.now()
  return endpoints.map((endpoint) => {
    const status = statuses?.get(endpoint.endpointId)
    return { ...toWebhookResource(endpoint), ...(status !== undefined && { status: toWebhookStatus(status, now) }) }
  })
}

function ignoreUnavailable(error: unknown): undefined {
  if (!isGatewayError(error, 'store_unavailable')) throw error
}
