import type { Hono } from 'hono'
import { generateSpecs, resolver } from 'hono-openapi'
import type { OpenAPIV3_1 } from 'openapi-types'
import type * as v from 'valibot'
import { CallEventPayloadSchema, SubscriberEventPayloadSchema } from '../core/call-event.ts'
import type { HttpEnv } from './context.ts'

const DESCRIPTION = `Real-time call control for Cisco BroadWorks.

Operations marked "Part of the calls API document" and the two webhooks have that document's paths,
fields, types and statuses. Everything else is an addition: one call by its id, registration of
webhooks, the stream, the admin routes, further response fields, and problem details (RFC 9457) as the
body of every error.

App routes take \`Authorization: Bearer <api key>\`, admin routes the admin key, which app routes accept
too. An app sees its own subscribers only; anything else does not exist for it (404). Ids in paths are
percent-encoded. Bodies are JSON of at most 64 kB, and unknown fields are refused.`

const TAGS = [
  { name: 'Calls', description: 'Place and manage subscriber calls' },
  { name: 'Webhooks', description: 'Where call and subscriber events are sent to' },
  { name: 'Stream', description: 'The same events over WebSocket or server-sent events' },
  { name: 'Networks', description: 'Provider deployments and their health' },
  { name: 'Apps', description: 'Third-party applications and their keys' },
  { name: 'Subscribers', description: 'Which app may see and control which subscriber' },
  { name: 'Operation', description: 'Health, metrics and this description' },
]

/** The OpenAPI 3.1 document of all operations of `app`, from the schemas that validate their input. */
export async function generateOpenApi(app: Hono<HttpEnv>): Promise<OpenAPIV3_1.Document> {
  const callEvent = await describeWebhook({
    operationId: 'callEvent',
    summary: 'Calls Webhook: call activity',
    schema: CallEventPayloadSchema,
    ref: 'CallEvent',
  })
  const subscriberEvent = await describeWebhook({
    operationId: 'subscriberEvent',
    summary: 'Subscriber Webhook: a subscriber was provisioned to use the app',
    schema: SubscriberEventPayloadSchema,
    ref: 'SubscriberEvent',
  })
  const document = await generateSpecs(app, {
    excludeStaticFile: false,
    documentation: {
      info: {
        title: 'Callhalf API',
        version: '0.1.0',
        description: DESCRIPTION,
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      tags: TAGS,
      components: {
        securitySchemes: {
          apiKey: { type: 'http', scheme: 'bearer', description: 'A key of the app' },
          adminKey: { type: 'http', scheme: 'bearer', description: 'The admin key' },
        },
        schemas: { ...callEvent.schemas, ...subscriberEvent.schemas },
      },
      webhooks: { callEvent: { post: callEvent.operation }, subscriberEvent: { post: subscriberEvent.operation } },
    },
  })
  return document
}

async function describeWebhook(webhook: {
  readonly operationId: string
  readonly summary: string
  readonly schema: v.GenericSchema
  /** The name that the schema has in its own metadata. */
  readonly ref: string
}) {
  const { components } = await resolver(webhook.schema).toOpenAPISchema()
  const operation = {
    operationId: webhook.operationId,
    tags: ['Webhooks'],
    summary: webhook.summary,
    description: 'Part of the calls API document, with additional fields. Signed as Standard Webhooks describes.',
    requestBody: {
      required: true,
      content: { 'application/json': { schema: { $ref: `#/components/schemas/${webhook.ref}` } } },
    },
    responses: {
      200: { description: 'Received. Any other 2xx says the same.' },
      410: { description: 'Gone: the webhook is disabled and what is pending for it is dropped.' },
      default: { description: 'Not received: it is tried again for 72 hours, redirects included.' },
    },
  }
  return { operation, schemas: components?.schemas ?? {} }
}
