import { afterAll, beforeAll, expect, it } from 'vitest'
import { ApiRig } from '../../test/support/api-rig.ts'
import type { RigTenant } from '../../test/support/api-rig.ts'
import { textField } from '../../test/support/checked-request.ts'

let rig: ApiRig
let tenant: RigTenant
let webhookId: string

beforeAll(async () => {
  rig = await ApiRig.start()
  tenant = await rig.addTenant()
  const body = { url: 'https://hooks.example.net/calls' }
  webhookId = textField(await asApp('POST', '/webhooks', body), 'webhook_id')
  await rig.stopRedis()
})
afterAll(() => rig.stop())

const asApp = (method: string, suffix: string, body?: unknown) =>
  rig.request(method, `/apps/${tenant.appId}${suffix}`, { key: tenant.key, ...(body !== undefined && { body }) })

it('webhooks and deliveries are shown, without status', async () => {
  const found = await asApp('GET', `/webhooks/${webhookId}`)
  expect(found).toMatchObject({ status: 200, body: { webhook_id: webhookId, enabled: true } })
  expect(found.body).not.toHaveProperty('status')
  expect((await asApp('GET', '/webhooks')).body).toEqual([found.body])
  expect((await rig.admin('GET', '/admin/webhooks')).body).toEqual({ webhooks: [found.body] })
  expect((await asApp('GET', '/deliveries')).body).toEqual({ deliveries: [] })
})

it('what does not start anything goes on: another description, another secret, disabling, deleting', async () => {
  const path = `/webhooks/${webhookId}`
  expect((await asApp('POST', `${path}/rotate-secret`)).status).toBe(200)
  expect(await asApp('PATCH', path, { description: 'still on', max_in_flight: 3 })).toMatchObject({
    status: 200,
    body: { enabled: true, description: 'still on', max_in_flight: 3 },
  })
  expect((await asApp('PATCH', path, { enabled: false, description: 'off' })).status).toBe(200)
  expect((await asApp('DELETE', path)).status).toBe(204)
})

it('a change that cannot be made whole is not made at all: enabling, another URL', async () => {
  const body = { url: 'https://hooks.example.net/calls', enabled: false }
  const path = `/webhooks/${textField(await asApp('POST', '/webhooks', body), 'webhook_id')}`
  const before = (await asApp('GET', path)).body
  const changes = [
    { enabled: true, description: 'on' },
    { url: 'https://hooks.example.net/other', description: 'moved' },
  ]
  for (const change of changes) {
    expect(await asApp('PATCH', path, change)).toMatchObject({ status: 503, body: { code: 'store_unavailable' } })
    expect((await asApp('GET', path)).body).toEqual(before)
  }
  expect((await asApp('DELETE', path)).status).toBe(204)
})

it('one that cannot be started is not registered', async () => {
  const body = { url: 'https://hooks.example.net/calls' }
  expect((await asApp('POST', '/webhooks', body)).status).toBe(503)
  expect((await asApp('GET', '/webhooks')).body).toEqual([])
})
