import { resolver } from 'hono-openapi'
import type { OpenAPIV3_1 } from 'openapi-types'
import type * as v from 'valibot'
import {
  CallEventPayloadSchema,
  SubscriberDeparturePayloadSchema,
  SubscriberEventPayloadSchema,
} from '../core/call-event.ts'
import { DEFAULT_POLICIES } from '../core/delivery-policy.ts'
import { NumberEventPayloadSchema, OrderEventPayloadSchema } from '../core/provisioning-event.ts'
import { BatchEventPayloadSchema, RequestEventPayloadSchema } from '../core/provisioning-request-event.ts'
import { CALL_HEADERS, EVENT_HEADERS, MESSAGE_HEADERS } from './openapi-webhook-headers.ts'
import { headerParameters } from './openapi-parameters.ts'
import type { HeaderParameter } from './openapi-parameters.ts'
import { ChallengeAnswerSchema, ChallengePayloadSchema } from './schemas/webhook-challenge.ts'

type HeaderSpec = { description: string; schema: { type: 'string'; enum?: string[] } }
/** By status. */
type AnswerSpecs = Record<
  string,
  {
    description: string
    headers?: Record<string, HeaderSpec>
    content?: Record<string, { schema: { type: 'string' } | { $ref: string } }>
  }
>

type WebhookSpec = {
  readonly operationId: string
  readonly summary: string
  readonly description: string
  /** The schema that the payload is held against, and the name that it has in its own metadata. */
  readonly schema: v.GenericSchema
  readonly ref: string
  readonly headers: readonly HeaderParameter[]
  readonly responses: AnswerSpecs
}

const { act_now: actNow, state, record } = DEFAULT_POLICIES
const HOW_LONG = `It is tried again until it expires, unless its webhook says otherwise: ${actNow.ttlMs / 1_000} seconds after it was taken for \`call.initiating\`, \`call.alerting\` and \`call.ringing\`, ${record.ttlMs / 3_600_000} hours for \`call.released\` and whatever is not about a call, ${state.ttlMs / 60_000} minutes for every other change of a call.`
const SIGNED = 'Signed as Standard Webhooks 1.0.0 describes.'

const RETRY_AFTER: HeaderSpec = {
  description: 'Seconds, or an HTTP date, before which it is not tried again',
  schema: { type: 'string' },
}
const DELIVERY: HeaderSpec = {
  description: '`disable` does what 410 does, whatever the status',
  schema: { type: 'string', enum: ['disable'] },
}

/** What a receiver's answer to an event means. */
const EVENT_RESPONSES: AnswerSpecs = {
  200: { description: 'Received. Any other 2xx says the same.', headers: { 'webhook-delivery': DELIVERY } },
  410: { description: 'Gone: the webhook is disabled and what is pending for it is dropped.' },
  429: {
    description: 'Not received, and nothing is to be sent to this webhook for a while.',
    headers: { 'Retry-After': RETRY_AFTER, 'webhook-delivery': DELIVERY },
  },
  503: {
    description: 'Not received: this event is not to be sent for a while.',
    headers: { 'Retry-After': RETRY_AFTER, 'webhook-delivery': DELIVERY },
  },
  default: {
    description: 'Not received: it is tried again until it expires, redirects included.',
    headers: { 'webhook-delivery': DELIVERY },
  },
}

const WEBHOOKS: readonly WebhookSpec[] = [
  {
    operationId: 'callEvent',
    summary: 'Calls Webhook: call activity',
    description: `Part of the calls API document, with additional fields. ${SIGNED} ${HOW_LONG}`,
    schema: CallEventPayloadSchema,
    ref: 'CallEvent',
    headers: [...MESSAGE_HEADERS, ...EVENT_HEADERS, ...CALL_HEADERS],
    responses: EVENT_RESPONSES,
  },
  {
    operationId: 'subscriberEvent',
    summary: 'Subscriber Webhook: a subscriber was provisioned to use the app',
    description: `Part of the calls API document, with additional fields. ${SIGNED} ${HOW_LONG}`,
    schema: SubscriberEventPayloadSchema,
    ref: 'SubscriberEvent',
    headers: [...MESSAGE_HEADERS, ...EVENT_HEADERS],
    responses: EVENT_RESPONSES,
  },
  {
    operationId: 'subscriberDeparture',
    summary: 'A subscriber was taken from the app',
    description: `The event \`subscriber.unassigned\`: the app sees and controls nothing more of the subscriber, its live calls included. ${SIGNED} ${HOW_LONG}`,
    schema: SubscriberDeparturePayloadSchema,
    ref: 'SubscriberDeparture',
    headers: [...MESSAGE_HEADERS, ...EVENT_HEADERS],
    responses: EVENT_RESPONSES,
  },
  {
    operationId: 'orderEvent',
    summary: 'An order of a customer of the app has come into another state',
    description: `Events in order per order. ${SIGNED} ${HOW_LONG}`,
    schema: OrderEventPayloadSchema,
    ref: 'OrderEvent',
    headers: [...MESSAGE_HEADERS, ...EVENT_HEADERS],
    responses: EVENT_RESPONSES,
  },
  {
    operationId: 'numberEvent',
    summary: 'A number of a customer of the app has changed',
    description: `Events in order per number. ${SIGNED} ${HOW_LONG}`,
    schema: NumberEventPayloadSchema,
    ref: 'NumberEvent',
    headers: [...MESSAGE_HEADERS, ...EVENT_HEADERS],
    responses: EVENT_RESPONSES,
  },
  {
    operationId: 'provisioningRequestEvent',
    summary: 'A run of a provisioning request has ended',
    description: `One for each link of the request whose type has a callback for requests; events in order per request. ${SIGNED} ${HOW_LONG}`,
    schema: RequestEventPayloadSchema,
    ref: 'ProvisioningRequestEvent',
    headers: [...MESSAGE_HEADERS, ...EVENT_HEADERS],
    responses: EVENT_RESPONSES,
  },
  {
    operationId: 'provisioningBatchEvent',
    summary: 'A batch of provisioning requests has ended',
    description: `One for each link of its members whose type has a callback for batches. ${SIGNED} ${HOW_LONG}`,
    schema: BatchEventPayloadSchema,
    ref: 'ProvisioningBatchEvent',
    headers: [...MESSAGE_HEADERS, ...EVENT_HEADERS],
    responses: EVENT_RESPONSES,
  },
  {
    operationId: 'challenge',
    summary: 'Whether the receiver wants the webhook',
    description: `Sent by \`verifyWebhook\`, to the URL and to the failover URL. ${SIGNED} Answer with the challenge, and only if the signature is right: an echo of the whole body proves nothing.`,
    schema: ChallengePayloadSchema,
    ref: 'WebhookChallenge',
    headers: MESSAGE_HEADERS,
    responses: {
      200: {
        description: 'The challenge, as text or in an object. Any other 2xx will do.',
        content: {
          'text/plain': { schema: { type: 'string' } },
          'application/json': { schema: { $ref: '#/components/schemas/ChallengeAnswer' } },
        },
      },
      default: { description: 'Not wanted: the webhook stays unverified.' },
    },
  },
]

/** The `webhooks` of the OpenAPI document, and the schemas that they refer to. */
export async function describeWebhooks(): Promise<{
  readonly webhooks: Record<string, OpenAPIV3_1.PathItemObject>
  readonly schemas: Record<string, OpenAPIV3_1.SchemaObject>
}> {
  const described = [...WEBHOOKS.map(({ schema }) => schema), ChallengeAnswerSchema].map((schema) =>
    resolver(schema).toOpenAPISchema(),
  )
  const components = (await Promise.all(described)).map((found) => found.components?.schemas ?? {})
  return {
    webhooks: Object.fromEntries(WEBHOOKS.map((spec) => [spec.operationId, { post: toOperation(spec) }])),
    schemas: Object.assign({}, ...components),
  }
}

const toOperation = ({ operationId, summary, description, ref, headers, responses }: WebhookSpec) => ({
  operationId,
  tags: ['Webhooks'],
  summary,
  description,
  parameters: headerParameters(headers),
  requestBody: {
    required: true,
    content: { 'application/json': { schema: { $ref: `#/components/schemas/${ref}` } } },
  },
  responses,
})
