import * as v from 'valibot'
import { EVENT_TYPES } from '../../core/call-event.ts'
import type { Endpoint } from '../../core/endpoint.ts'
import { milliseconds } from './fields.ts'

const url = v.pipe(
  v.string(),
  v.minLength(1),
  v.maxLength(2048),
  v.description('Where events are sent to: an HTTPS URL'),
)
const description = v.pipe(v.string(), v.maxLength(500), v.description('For people; any text'))
const eventTypes = v.pipe(
  v.array(v.picklist(['call.*', 'subscriber.*', ...EVENT_TYPES])),
  v.minLength(1),
  v.maxLength(EVENT_TYPES.length + 2),
  v.description('Event types to send, exact or by prefix (`call.*`); all if absent'),
)

export const NewWebhookSchema = v.pipe(
  v.strictObject({
    url,
    description: v.optional(description),
    event_types: v.optional(eventTypes),
    enabled: v.optional(v.boolean()),
  }),
  v.metadata({ ref: 'NewWebhook', title: 'A webhook to register' }),
)

export const WebhookChangeSchema = v.pipe(
  v.strictObject({
    url: v.optional(url),
    description: v.optional(description),
    event_types: v.optional(v.nullable(eventTypes)),
    enabled: v.optional(v.boolean()),
  }),
  v.metadata({ ref: 'WebhookChange', title: 'What to change of a webhook; null event types mean all again' }),
)

const webhookFields = {
  webhook_id: v.string(),
  url: v.string(),
  description: v.optional(v.string()),
  event_types: v.optional(v.array(v.string())),
  enabled: v.boolean(),
  created_at: milliseconds,
  updated_at: milliseconds,
}
export const WebhookResourceSchema = v.pipe(v.object(webhookFields), v.metadata({ ref: 'Webhook', title: 'A webhook' }))
export const CreatedWebhookSchema = v.pipe(
  v.object({
    ...webhookFields,
    secret: v.pipe(v.string(), v.startsWith('whsec_'), v.description('Signs every delivery; shown this once')),
  }),
  v.metadata({ ref: 'CreatedWebhook', title: 'A new webhook with its signing secret' }),
)

export const toWebhookResource = (endpoint: Endpoint): v.InferOutput<typeof WebhookResourceSchema> => ({
  webhook_id: endpoint.endpointId,
  url: endpoint.url,
  ...(endpoint.description !== undefined && { description: endpoint.description }),
  ...(endpoint.eventTypes !== undefined && { event_types: [...endpoint.eventTypes] }),
  enabled: endpoint.enabled,
  created_at: endpoint.createdAt,
  updated_at: endpoint.updatedAt,
})
