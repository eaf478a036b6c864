import * as v from 'valibot'
import { DISABLED_REASONS, SIGNATURE_SCHEMES } from '../../core/endpoint.ts'
import type { Endpoint } from '../../core/endpoint.ts'
import { AppIdSchema } from '../../core/ids.ts'
import type { WebhookStatus } from '../webhook-ports.ts'
import { milliseconds } from './fields.ts'
import { pageFields } from './page.ts'
import { fromPolicies, ownSecret, toSeconds, webhookSettings } from './webhook-settings.ts'

const settings = webhookSettings

export const NewWebhookSchema = v.pipe(
  v.strictObject({
    url: settings.url,
    failover_url: v.optional(settings.failover_url),
    description: v.optional(settings.description),
    metadata: v.optional(settings.metadata),
    event_types: v.optional(settings.event_types),
    subscriber_ids: v.optional(settings.subscriber_ids),
    directions: v.optional(settings.directions),
    headers: v.optional(settings.headers),
    retry_policies: v.optional(settings.retry_policies),
    order_hold_seconds: v.optional(settings.order_hold_seconds),
    coalesce: v.optional(settings.coalesce),
    max_in_flight: v.optional(settings.max_in_flight),
    rate_limit_per_second: v.optional(settings.rate_limit_per_second),
    signatures: v.optional(settings.signatures),
    ca_certificates: v.optional(settings.ca_certificates),
    enabled: v.optional(settings.enabled),
    secret: v.optional(ownSecret),
  }),
  v.metadata({ ref: 'NewWebhook', title: 'A webhook to register' }),
)
export type NewWebhook = v.InferOutput<typeof NewWebhookSchema>

export const WebhookChangeSchema = v.pipe(
  v.strictObject({
    url: v.optional(settings.url),
    failover_url: v.optional(v.nullable(settings.failover_url)),
    description: v.optional(v.nullable(settings.description)),
    metadata: v.optional(v.nullable(settings.metadata)),
    event_types: v.optional(v.nullable(settings.event_types)),
    subscriber_ids: v.optional(v.nullable(settings.subscriber_ids)),
    directions: v.optional(v.nullable(settings.directions)),
    headers: v.optional(v.nullable(settings.headers)),
    retry_policies: v.optional(v.nullable(settings.retry_policies)),
    order_hold_seconds: v.optional(v.nullable(settings.order_hold_seconds)),
    coalesce: v.optional(v.nullable(settings.coalesce)),
    max_in_flight: v.optional(v.nullable(settings.max_in_flight)),
    rate_limit_per_second: v.optional(v.nullable(settings.rate_limit_per_second)),
    signatures: v.optional(v.nullable(settings.signatures)),
    ca_certificates: v.optional(v.nullable(settings.ca_certificates)),
    enabled: v.optional(settings.enabled),
  }),
  v.metadata({
    ref: 'WebhookChange',
    title: 'What to change of a webhook: a value replaces the one before as a whole, null makes it as if never given',
  }),
)
export type WebhookChange = v.InferOutput<typeof WebhookChangeSchema>

const statusSchema = v.pipe(
  v.object({
    breaker: v.pipe(
      v.picklist(['closed', 'open', 'half_open']),
      v.description('`open`: so much fails that only a probe is sent now and then'),
    ),
    pending: v.pipe(v.number(), v.integer(), v.description('Deliveries that are waiting or being retried')),
    in_flight: v.pipe(v.number(), v.integer(), v.description('Requests under way')),
    failing_since: v.optional(v.pipe(milliseconds, v.description('Nothing has been delivered since'))),
    paused_until: v.optional(v.pipe(milliseconds, v.description('The receiver asked for nothing before (429)'))),
  }),
  v.description('Absent while it cannot be read'),
)

const webhookFields = {
  webhook_id: v.string(),
  app_id: v.string(),
  url: v.string(),
  failover_url: v.optional(v.string()),
  description: v.optional(v.string()),
  metadata: v.optional(v.record(v.string(), v.string())),
  event_types: v.optional(v.array(v.string())),
  subscriber_ids: v.optional(v.array(v.string())),
  directions: v.optional(v.array(v.string())),
  header_names: v.pipe(v.array(v.string()), v.description('Of the headers; their values are not shown')),
  retry_policies: v.optional(settings.retry_policies),
  order_hold_seconds: v.number(),
  coalesce: v.boolean(),
  max_in_flight: v.pipe(v.number(), v.integer()),
  rate_limit_per_second: v.optional(v.number()),
  signatures: v.array(v.picklist(SIGNATURE_SCHEMES)),
  public_key: v.optional(v.pipe(v.string(), v.startsWith('whpk_'), v.description('Verifies its `v1a` signatures'))),
  ca_certificates: v.optional(v.string()),
  enabled: v.boolean(),
  disabled_reason: v.optional(
    v.pipe(
      v.picklist(DISABLED_REASONS),
      v.description('`requested` by you; `gone`: the receiver said so; `failing`: it did nothing else for too long'),
    ),
  ),
  verified: v.pipe(
    v.boolean(),
    v.description(
      'Whether its receiver has proven to want it, where the operator demands that; nothing is sent before',
    ),
  ),
  status: v.optional(statusSchema),
  created_at: milliseconds,
  updated_at: milliseconds,
}
export const WebhookResourceSchema = v.pipe(v.object(webhookFields), v.metadata({ ref: 'Webhook', title: 'A webhook' }))
export type WebhookResource = v.InferOutput<typeof WebhookResourceSchema>

export const shownSecret = v.pipe(
  v.string(),
  v.startsWith('whsec_'),
  v.description('Signs every delivery; shown this once'),
)
export const CreatedWebhookSchema = v.pipe(
  v.object({ ...webhookFields, secret: shownSecret }),
  v.metadata({ ref: 'CreatedWebhook', title: 'A new webhook with its signing secret' }),
)

export const AdminWebhookQuery = v.strictObject({
  app_id: v.optional(v.pipe(AppIdSchema, v.description('Only those of this app'))),
  ...pageFields,
})
export const WebhookPageSchema = v.pipe(
  v.object({ webhooks: v.array(WebhookResourceSchema), cursor: v.optional(v.string()) }),
  v.metadata({ ref: 'WebhookPage', title: 'A page of webhooks; `cursor` leads to the next one' }),
)

export const toWebhookResource = (endpoint: Endpoint): WebhookResource => ({
  webhook_id: endpoint.endpointId,
  app_id: endpoint.appId,
  url: endpoint.url,
  ...(endpoint.failoverUrl !== undefined && { failover_url: endpoint.failoverUrl }),
  ...(endpoint.description !== undefined && { description: endpoint.description }),
  ...(endpoint.metadata !== undefined && { metadata: { ...endpoint.metadata } }),
  ...(endpoint.eventTypes !== undefined && { event_types: [...endpoint.eventTypes] }),
  ...(endpoint.subscriberIds !== undefined && { subscriber_ids: [...endpoint.subscriberIds] }),
  ...(endpoint.directions !== undefined && { directions: [...endpoint.directions] }),
  header_names: [...endpoint.headerNames],
  ...(endpoint.policies !== undefined && { retry_policies: fromPolicies(endpoint.policies) }),
  order_hold_seconds: toSeconds(endpoint.orderHoldMs),
  coalesce: endpoint.coalesce,
  max_in_flight: endpoint.maxInFlight,
  ...(endpoint.ratePerSecond !== undefined && { rate_limit_per_second: endpoint.ratePerSecond }),
  signatures: [...endpoint.signatures],
  ...(endpoint.publicKey !== undefined && endpoint.signatures.includes('v1a') && { public_key: endpoint.publicKey }),
  ...(endpoint.caCertificates !== undefined && { ca_certificates: endpoint.caCertificates }),
  enabled: endpoint.enabled,
  ...(endpoint.disabledReason !== undefined && { disabled_reason: endpoint.disabledReason }),
  verified: endpoint.verified,
  created_at: endpoint.createdAt,
  updated_at: endpoint.updatedAt,
})

/** A pause that is over at `now` (milliseconds since the epoch) is not one. */
export const toWebhookStatus = (status: WebhookStatus, now: number): v.InferOutput<typeof statusSchema> => ({
  breaker: status.breaker,
  pending: status.pending,
  in_flight: status.inFlight,
  ...(status.failingSince !== undefined && { failing_since: status.failingSince }),
  ...(status.pausedUntil !== undefined && status.pausedUntil > now && { paused_until: status.pausedUntil }),
})
