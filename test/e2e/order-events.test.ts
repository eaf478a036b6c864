import { afterAll, beforeAll, expect, test } from 'vitest'
import { Webhook } from 'standardwebhooks'
import * as v from 'valibot'
import { ApiClient } from '../../src/cli/api-client.ts'
import { NumberEventPayloadSchema, OrderEventPayloadSchema } from '../../src/core/provisioning-event.ts'
import { startInstallation, type Installation } from '../support/installation.ts'
import { until } from '../support/until.ts'
import { WebhookReceiver } from '../support/webhook-receiver.ts'

let installation: Installation
let receiver: WebhookReceiver
let orders: ApiClient
let calls: ApiClient
let verifier: Webhook
let customerId: string
let appId: string

beforeAll(async () => {
  installation = await startInstallation({ env: { CALLHALF_SANDBOX_DELAY_MS: '50' } })
  receiver = await new WebhookReceiver().start()
  const { admin, gateway } = installation
  const app = fields(await admin.call('POST', '/admin/apps', { name: 'crm' }))
  appId = app('app_id')
  calls = new ApiClient({ baseUrl: gateway.url, key: app('api_key') })
  const customer = { name: 'Acme', country: 'US', currency: 'USD', appId }
  customerId = fields(await admin.call('POST', '/customers', customer))('id')
  const key = fields(await admin.call('POST', `/admin/apps/${appId}/provisioning-keys`, {}))
  orders = new ApiClient({ baseUrl: gateway.url, key: key('provisioning_key') })
  const webhook = { url: receiver.url, event_types: ['order.*', 'number.*'] }
  verifier = new Webhook(fields(await calls.call('POST', `/apps/${appId}/webhooks`, webhook))('secret'))
})
afterAll(async () => {
  await receiver.stop()
  await installation.stop()
})

test('an order is told step by step, by signed webhook and on the long poll, each event once', async () => {
  const path = `/customers/${customerId}/orders/prd_us-local/numbers/any`
  const order = await orders.call('POST', path, { quantity: 2, filter: { countryCode: 'US', areaCode: '206' } })
  expect(order.status).toBe(201)
  await until('the end of the order', () => (typesOf('order.').includes('order.completed') ? true : undefined))
  await until('both numbers', () => (typesOf('number.').length === 2 ? true : undefined))
  expect(typesOf('order.')).toEqual(['order.acknowledged', 'order.in_progress', 'order.completed'])
  expect(typesOf('number.')).toEqual(['number.in_service', 'number.in_service'])

  const told = receiver.received.map(({ headers, body }) => {
    verifier.verify(body, Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)])))
    const payload: unknown = JSON.parse(body)
    return payload
  })
  const orderEvents = told.filter((payload) => v.is(v.strictObject(OrderEventPayloadSchema.entries), payload))
  const numberEvents = told.filter((payload) => v.is(v.strictObject(NumberEventPayloadSchema.entries), payload))
  expect([orderEvents.length, numberEvents.length]).toEqual([3, 2])
  expect(orderEvents.at(-1)).toMatchObject({
    app_id: appId,
    customer_id: customerId,
    order_id: fields(order)('id'),
    product_id: 'prd_us-local',
    event: 'order.completed',
    action: 'any',
    state: 'completed',
    previous_state: 'inProgress',
    quantity_requested: 2,
    quantity_fulfilled: 2,
    one_time: { amount: '2.00', currency: 'USD' },
  })

  const polled = await calls.call('GET', `/apps/${appId}/events?after=${await oldest()}&event_type=order.*`)
  expect(polled.body).toMatchObject({
    recovered: true,
    events: orderEvents.map((data) => ({ event: Object(data).event, data })),
  })
})

const typesOf = (prefix: string): readonly string[] =>
  receiver.received.map(({ headers }) => String(headers['callhalf-event'])).filter((type) => type.startsWith(prefix))

/** The beginning of the app's log. */
async function oldest(): Promise<string> {
  const { body } = await calls.call('GET', `/apps/${appId}/events`)
  return `${String(Object(Object(body).position).epoch)}:0`
}

/** The text fields of an answer. */
const fields =
  ({ body }: { readonly body: unknown }) =>
  (name: string): string =>
    v.parse(v.string(), Object(body)[name])
