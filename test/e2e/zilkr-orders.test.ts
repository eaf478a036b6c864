import * as v from 'valibot'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ApiClient } from '../../src/cli/api-client.ts'
import type { Gateway } from '../../src/gateway.ts'
import { makeGatewayPlace, type GatewayPlace } from '../support/gateway-place.ts'
import { startGateway } from '../support/installation.ts'
import { STORES } from '../support/records.ts'
import { until } from '../support/until.ts'
import { WebhookReceiver } from '../support/webhook-receiver.ts'
import { CUSTOMER, LOCAL, PORTED, SITE } from '../support/zilkr-rig.ts'

const Made = v.looseObject({ id: v.string() })
const Told = v.looseObject({ event: v.string(), order_id: v.optional(v.string()), number: v.optional(v.string()) })

describe.each(STORES)('a whole gateway on %s', (store) => {
  let place: GatewayPlace
  let gateway: Gateway
  let receiver: WebhookReceiver
  let api: ApiClient
  let customer: string

  beforeAll(async () => {
    place = await makeGatewayPlace(store)
    gateway = await startGateway(place.dataDir, {
      ...place.env,
      CALLHALF_SANDBOX_DELAY_MS: '20',
      CALLHALF_SANDBOX_CATALOGUE: 'on',
    })
    receiver = await new WebhookReceiver().start()
    const admin = new ApiClient({ baseUrl: gateway.url, key: gateway.adminKey })
    const app = v.parse(
      v.looseObject({ app_id: v.string(), api_key: v.string() }),
      (await admin.call('POST', '/admin/apps', { name: 'portal' })).body,
    )
    const calls = new ApiClient({ baseUrl: gateway.url, key: app.api_key })
    await calls.call('POST', `/apps/${app.app_id}/webhooks`, { url: receiver.url })
    const issued = await admin.call('POST', `/admin/apps/${app.app_id}/provisioning-keys`, {})
    const { provisioning_key: key } = v.parse(v.looseObject({ provisioning_key: v.string() }), issued.body)
    api = new ApiClient({ baseUrl: gateway.url, key })
    customer = `/customers/${await make('/customers', CUSTOMER)}`
  })
  afterAll(async () => {
    await gateway.stop()
    await receiver.stop()
    await place[Symbol.asyncDispose]()
  })

  const make = async (path: string, body: unknown) => v.parse(Made, (await api.call('POST', path, body)).body).id
  const told = () => receiver.received.map(({ body }) => v.parse(Told, JSON.parse(body)))
  const typesOf = (orderId: string, prefix: string) =>
    told().flatMap(({ event, order_id }) => (order_id === orderId && event.startsWith(prefix) ? [event] : []))

  /** Places an order, waits until its end has been told, and returns its id and numbers. */
  const order = async (action: string, body: object, events: readonly string[]) => {
    const orderId = await make(`${customer}/orders/${LOCAL}/${action}`, body)
    await until(`${action} to be told to have been completed`, () =>
      typesOf(orderId, 'order.').includes('order.completed') ? true : undefined,
    )
    const { body: read } = await api.call('GET', `${customer}/orders/${orderId}`)
    const { items } = v.parse(
      v.looseObject({ state: v.literal('completed'), items: v.array(v.looseObject({ number: v.string() })) }),
      read,
    )
    await until(`the numbers of ${action} to be told of`, () =>
      typesOf(orderId, 'number.').length >= items.length * events.length ? true : undefined,
    )
    const types = typesOf(orderId, 'order.').filter((type) => type !== 'order.pending')
    expect([...new Set(types)]).toEqual(['order.acknowledged', 'order.in_progress', 'order.completed'])
    expect(new Set(typesOf(orderId, 'number.'))).toEqual(new Set(events))
    return items.map(({ number }) => number)
  }

  test('a real order of each action completes through the sandbox, and webhooks tell of it', async () => {
    const locationId = await make(`${customer}/productLocations`, SITE)
    const numbers = await order('numbers/any', { quantity: 2, filter: { areaCode: '212' } }, ['number.in_service'])
    await order('numbers/range', { start: '+13125550110', size: 5 }, ['number.in_service'])
    const held = { productId: LOCAL, quantity: 2, filter: { areaCode: '713' } }
    const reservationId = await make(`${customer}/reservations`, held)
    await order('numbers/reserve', { reservationId }, ['number.in_service'])
    const ported = { ...PORTED, numbers: ['+16465550142'] }
    await order('numbers/port', ported, ['number.porting', 'number.in_service'])
    await order('numbers/move', { numbers, toLocationId: locationId }, ['number.changed'])
    await order('numbers/change', { numbers, changes: { callerName: 'ACME' } }, ['number.changed'])
    await order('numbers/delete', { numbers, reason: 'no longer needed' }, ['number.released'])
    await order('delete', { reason: 'the end', confirm: 8 }, ['number.released'])
    expect((await api.call('GET', `${customer}/products`)).body).toEqual([])
    expect((await api.call('GET', `${customer}/orders?state=completed`)).body).toHaveLength(8)
  })
})
