import * as v from 'valibot'
import { AppIdSchema, CallIdSchema, EndpointIdSchema, NetworkIdSchema, SubscriberIdSchema } from '../../core/ids.ts'

const app_id = v.pipe(AppIdSchema, v.description('The app'))
const network_id = v.pipe(NetworkIdSchema, v.description('The network'))
const subscriber_id = v.pipe(SubscriberIdSchema, v.description("The subscriber, by the provider's id; percent-encoded"))
const call_id = v.pipe(CallIdSchema, v.description('The call; percent-encoded'))
const webhook_id = v.pipe(EndpointIdSchema, v.description('The webhook'))
const delivery_id = v.pipe(v.string(), v.minLength(1), v.maxLength(64), v.description('The delivery: its `webhook-id`'))
const key_id = v.pipe(v.string(), v.maxLength(64), v.description('The API key, by its id'))

export const AppParams = v.strictObject({ app_id })
export const AppKeyParams = v.strictObject({ app_id, key_id })
export const AppSubscriberParams = v.strictObject({ app_id, subscriber_id })
export const AppCallParams = v.strictObject({ app_id, call_id })
export const AppWebhookParams = v.strictObject({ app_id, webhook_id })
export const AppDeliveryParams = v.strictObject({ app_id, delivery_id })
export const NetworkParams = v.strictObject({ network_id })
