import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ApiRig } from '../../test/support/api-rig.ts'
import type { RigTenant } from '../../test/support/api-rig.ts'
import { AppClient } from '../../test/support/app-client.ts'
import { toAppId, toEndpointId } from '../core/ids.ts'

let rig: ApiRig
let tenant: RigTenant
let webhookId: string

beforeAll(async () => {
  rig = await ApiRig.start()
  tenant = await rig.addTenant()
  webhookId = await new AppClient(rig, tenant).register()
})
afterAll(() => rig.stop())

describe('what the operator should hear of', () => {
  it('is listed newest first, by type and app, in pages', async () => {
    const [appId, endpointId] = [toAppId(tenant.appId), toEndpointId(webhookId)]
    await rig.operatorEvents.append({ type: 'webhook.failing', appId, endpointId, details: { failures: 12 } })
    rig.advance(10)
    await rig.operatorEvents.append({ type: 'records.lost', details: { count: 7 } })
    rig.advance(10)
    await rig.operatorEvents.append({ type: 'webhook.disabled', appId, endpointId, details: { reason: 'failing' } })
    const failing = { type: 'webhook.failing', app_id: tenant.appId, webhook_id: webhookId, details: { failures: 12 } }
    const lost = { type: 'records.lost', details: { count: 7 } }
    const disabled = { type: 'webhook.disabled', webhook_id: webhookId, details: { reason: 'failing' } }
    const list = async (query: string) => (await rig.admin('GET', `/admin/events${query}`)).body
    expect(await list('')).toMatchObject({ events: [disabled, lost, failing] })
    expect(await list('?type=records.lost')).toMatchObject({ events: [lost] })
    expect(Object(await list(`?app_id=${tenant.appId}`)).events).toHaveLength(2)
    const first = Object(await list('?limit=2'))
    expect(first.events).toHaveLength(2)
    const second = await list(`?limit=2&cursor=${first.cursor}`)
    expect(second).toMatchObject({ events: [failing] })
    expect(second).not.toHaveProperty('cursor')
  })

  it.each(['type=webhook.born', 'limit=0', 'cursor=made-up', 'colour=red'])('%s is a 400', async (query) => {
    expect((await rig.admin('GET', `/admin/events?${query}`)).status).toBe(400)
  })

  it('is for the admin only', async () => {
    expect((await rig.request('GET', '/admin/events', { key: tenant.key })).status).toBe(401)
  })
})
