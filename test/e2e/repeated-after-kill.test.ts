import * as v from 'valibot'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ApiClient } from '../../src/cli/api-client.ts'
import { makeGatewayPlace, type GatewayPlace } from '../support/gateway-place.ts'
import { GatewayProgram } from '../support/gateway-program.ts'
import { CUSTOMER, LOCAL } from '../support/zilkr-rig.ts'

const ADMIN_KEY = 'admin-key-of-the-tests'
const List = v.array(v.unknown())
const Issued = v.looseObject({ provisioning_key: v.string() })

let place: GatewayPlace
let gateway: GatewayProgram
beforeAll(async () => {
  place = await makeGatewayPlace('pglite')
  gateway = await start()
})
afterAll(async () => {
  await gateway.stop()
  await place[Symbol.asyncDispose]()
})

const start = () => GatewayProgram.start({ ...place.env, CALLHALF_PORT: '0', CALLHALF_ADMIN_KEY: ADMIN_KEY })

test('an order that is repeated after the gateway was killed is answered like the first, and placed once', async () => {
  const admin = new ApiClient({ baseUrl: gateway.url, key: ADMIN_KEY })
  const app = await admin.call('POST', '/admin/apps', { name: 'portal' })
  const { app_id: appId } = v.parse(v.looseObject({ app_id: v.string() }), app.body)
  const issued = await admin.call('POST', `/admin/apps/${appId}/provisioning-keys`, {})
  const { provisioning_key: key } = v.parse(Issued, issued.body)
  const before = new ApiClient({ baseUrl: gateway.url, key })
  const { id } = v.parse(v.looseObject({ id: v.string() }), (await before.call('POST', '/customers', CUSTOMER)).body)
  const orders = `/customers/${id}/orders`
  const once = { 'idempotency-key': 'the one and only' }
  const first = await before.call('POST', `${orders}/${LOCAL}/numbers/any`, { quantity: 3 }, once)
  await gateway.kill()
  gateway = await start()
  const after = new ApiClient({ baseUrl: gateway.url, key })
  const again = await after.call('POST', `${orders}/${LOCAL}/numbers/any`, { quantity: 3 }, once)
  expect(again).toEqual(first)
  expect(first.status).toBe(201)
  expect(v.parse(List, (await after.call('GET', orders)).body)).toHaveLength(1)
  await expect(after.call('POST', `${orders}/${LOCAL}/numbers/any`, { quantity: 4 }, once)).rejects.toMatchObject({
    code: 'idempotency_mismatch',
  })
})
