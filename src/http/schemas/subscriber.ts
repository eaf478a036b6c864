import * as v from 'valibot'
import type { Subscriber } from '../../core/subscriber.ts'
import { NetworkIdSchema, SubscriberIdSchema } from '../../core/ids.ts'
import { milliseconds } from './fields.ts'

const text = v.pipe(v.string(), v.minLength(1), v.maxLength(255))

export const PutSubscriberSchema = v.pipe(
  v.strictObject({
    network_id: v.pipe(NetworkIdSchema, v.description('The network that the subscriber belongs to')),
    subscriber_number: v.pipe(v.string(), v.maxLength(64), v.description('E.164, starting with +')),
    subscriber_name: v.optional(text),
    subscriber_account_id: v.optional(v.pipe(text, v.description("The provider's customer, site or name"))),
  }),
  v.metadata({ ref: 'PutSubscriber', title: 'A subscriber to assign to the app' }),
)

export const SubscriberResourceSchema = v.pipe(
  v.object({
    app_id: v.string(),
    network_id: v.string(),
    subscriber_id: v.string(),
    subscriber_number: v.string(),
    subscriber_name: v.optional(v.string()),
    subscriber_account_id: v.optional(v.string()),
    created_at: milliseconds,
  }),
  v.metadata({ ref: 'Subscriber', title: 'A subscriber assigned to an app' }),
)

const LIMIT_MESSAGE = 'must be a number from 1 to 1000'
export const SubscriberPageSchema = v.strictObject({
  limit: v.optional(
    v.pipe(
      v.string(),
      v.regex(/^(?:[1-9]\d{0,2}|1000)$/, LIMIT_MESSAGE),
      v.description('Page size, 1 to 1000; 100 if absent'),
    ),
  ),
  after: v.optional(v.pipe(SubscriberIdSchema, v.description('The last subscriber id of the page before'))),
})

export const toSubscriberResource = (subscriber: Subscriber): v.InferOutput<typeof SubscriberResourceSchema> => ({
  app_id: subscriber.appId,
  network_id: subscriber.networkId,
  subscriber_id: subscriber.subscriberId,
  subscriber_number: subscriber.subscriberNumber,
  ...(subscriber.subscriberName !== undefined && { subscriber_name: subscriber.subscriberName }),
  ...(subscriber.subscriberAccountId !== undefined && { subscriber_account_id: subscriber.subscriberAccountId }),
  created_at: subscriber.createdAt,
})
