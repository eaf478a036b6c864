import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ApiRig } from '../../test/support/api-rig.ts'
import type { RigTenant } from '../../test/support/api-rig.ts'
import { textField } from '../../test/support/checked-request.ts'

let rig: ApiRig
let tenant: RigTenant

beforeAll(async () => {
  rig = await ApiRig.start()
  tenant = await rig.addTenant()
})
afterAll(() => rig.stop())

const UNKNOWN_ID = '00000000-0000-4000-8000-000000000000'

const asApp = (method: string, suffix: string, options: { body?: unknown; headers?: Record<string, string> } = {}) =>
  rig.request(method, `/apps/${tenant.appId}${suffix}`, { key: tenant.key, ...options })

const subscriberPath = (id: string) => `/admin/apps/${tenant.appId}/subscribers/${encodeURIComponent(id)}`

describe('networks', () => {
  const config = { nodes: ['https://xsp1.example.net'], password: 'hunter2' }

  it('are connected when created, and never show their credentials', async () => {
    const created = await rig.admin('POST', '/admin/networks', { name: 'lab', adapter: 'scripted', config })
    expect(created).toMatchObject({
      status: 201,
      body: {
        name: 'lab',
        adapter: 'scripted',
        shard: 'main',
        config: { nodes: ['https://xsp1.example.net'] },
        status: { state: 'running', attempts: 0 },
      },
    })
    const id = textField(created, 'network_id')
    const adapter = rig.provider.made.at(-1)
    expect(adapter?.context.config).toEqual(config)
    const answers = await Promise.all([
      rig.admin('GET', '/admin/networks'),
      rig.admin('GET', `/admin/networks/${id}`),
      rig.admin('GET', `/admin/networks/${id}/channels`),
    ])
    expect(JSON.stringify(answers.map(({ body }) => body))).not.toContain('hunter2')
    expect(answers[2]?.body).toEqual({
      network_id: id,
      status: { state: 'running', since: expect.any(Number), attempts: 0 },
      channels: [{ node: 'xsp1.example.net:443', state: 'open', channel_id: 'channel-1', since: 1_000, attempts: 0 }],
      subscriptions: { wanted: 0, active: 0, stale: 0, failed: [] },
    })

    expect(answers[1]?.body).toMatchObject({ connection: { open: 1, total: 1, reasons: [] } })

    const changed = await rig.admin('PATCH', `/admin/networks/${id}`, { config: { note: 'moved' } })
    expect(changed).toMatchObject({ status: 200, body: { config: { nodes: config.nodes, note: 'moved' } } })
    expect(adapter?.state).toBe('stopped')
    expect(rig.provider.made.at(-1)?.context.config).toEqual({ ...config, note: 'moved' })
    expect(rig.provider.made.at(-1)?.context.channelSetId).toBe(adapter?.context.channelSetId)

    expect((await rig.admin('DELETE', `/admin/networks/${id}`)).status).toBe(204)
    expect(rig.provider.made.at(-1)?.state).toBe('stopped')
    expect(await rig.admin('GET', `/admin/networks/${id}`)).toMatchObject({
      status: 404,
      body: { code: 'network_not_found' },
    })
  })

  it('a new name alone does not restart the connection', async () => {
    const adapters = rig.provider.made.length
    const answer = await rig.admin('PATCH', `/admin/networks/${tenant.networkId}`, { name: 'renamed' })
    expect(answer).toMatchObject({ status: 200, body: { name: 'renamed' } })
    expect(rig.provider.made.length).toBe(adapters)
  })

  it('start their stopped channels again when the operator says so', async () => {
    const adapter = rig.provider.made.findLast(({ context }) => context.network.networkId === tenant.networkId)
    expect((await rig.admin('POST', `/admin/networks/${tenant.networkId}/channels/restart`)).status).toBe(204)
    expect(adapter?.restarts).toBe(1)
    expect(await rig.admin('POST', '/admin/networks/nowhere/channels/restart')).toMatchObject({
      status: 404,
      body: { code: 'network_not_found' },
    })
  })

  it('with subscribers cannot be deleted', async () => {
    expect(await rig.admin('DELETE', `/admin/networks/${tenant.networkId}`)).toMatchObject({
      status: 409,
      body: { code: 'in_use' },
    })
    expect((await rig.admin('GET', `/admin/networks/${tenant.networkId}`)).status).toBe(200)
  })

  it.each([
    [{ name: 'x', adapter: 'scripted', config: { nodes: ['no url'], password: 'hunter2' } }, 'config.nodes.0'],
    [{ name: 'x', adapter: 'scripted', config: { nodes: ['https://a.example.net'] } }, 'config.password'],
    [{ name: 'x', adapter: 'scripted', config: { ...config, extra: 1 } }, 'config.extra'],
    [{ name: 'x', adapter: 'telegraph', config }, 'adapter'],
    [{ name: ' ', adapter: 'scripted', config }, 'name'],
    [{ name: 'x', adapter: 'scripted', config, shard: 'UPPER' }, 'shard'],
    [{ name: 'x', adapter: 'scripted', config: 'text' }, 'config'],
    [{ name: 'x', adapter: 'scripted' }, 'config'],
  ])('%j is a 400 naming %s, and nothing is recorded', async (body, field) => {
    const before = (await rig.networks.list()).length
    const answer = await rig.admin('POST', '/admin/networks', body)
    expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_request', errors: [{ field }] } })
    expect(JSON.stringify(answer.body)).not.toContain('hunter2')
    expect((await rig.networks.list()).length).toBe(before)
  })
})

describe('apps and keys', () => {
  it('an app is made with a key that works, and deleted with it', async () => {
    const created = await rig.admin('POST', '/admin/apps', { name: 'dialler' })
    expect(created.status).toBe(201)
    const [id, key] = [textField(created, 'app_id'), textField(created, 'api_key')]
    expect((await rig.request('GET', `/apps/${id}/calls`, { key })).body).toEqual([])
    const found = await rig.admin('GET', `/admin/apps/${id}`)
    expect(found.body).toEqual({ app_id: id, name: 'dialler', shard: 'main', created_at: expect.any(Number) })
    expect((await rig.admin('GET', '/admin/apps')).body).toContainEqual(found.body)
    expect((await rig.admin('DELETE', `/admin/apps/${id}`)).status).toBe(204)
    expect((await rig.request('GET', `/apps/${id}/calls`, { key })).status).toBe(401)
    expect((await rig.admin('GET', `/admin/apps/${id}`)).status).toBe(404)
  })

  it('a revoked key stops working at once, its stream tokens with it, and the others go on', async () => {
    const issued = await rig.admin('POST', `/admin/apps/${tenant.appId}/keys`, { name: 'second' })
    expect(issued.status).toBe(201)
    const [id, key] = [textField(issued, 'key_id'), textField(issued, 'api_key')]
    expect(key.startsWith(textField(issued, 'prefix'))).toBe(true)
    expect((await rig.request('GET', `/apps/${tenant.appId}/calls`, { key })).status).toBe(200)
    const listed = await rig.admin('GET', `/admin/apps/${tenant.appId}/keys`)
    expect(listed.body).toHaveLength(2)
    expect(JSON.stringify(listed.body)).not.toContain(key)
    const tokens = await Promise.all(
      [key, tenant.key].map((by) => rig.request('POST', `/apps/${tenant.appId}/stream-tokens`, { key: by })),
    )
    expect((await rig.admin('DELETE', `/admin/apps/${tenant.appId}/keys/${id}`)).status).toBe(204)
    expect((await rig.request('GET', `/apps/${tenant.appId}/calls`, { key })).status).toBe(401)
    const statuses = tokens.map(async (answer) => {
      const url = `/apps/${tenant.appId}/stream?token=${textField(answer, 'token')}`
      const response = await rig.app.request(url, { headers: { accept: 'text/event-stream' } })
      await response.body?.cancel()
      return response.status
    })
    expect(await Promise.all(statuses)).toEqual([401, 200])
    expect((await asApp('GET', '/calls')).status).toBe(200)
    expect(await rig.admin('DELETE', `/admin/apps/${tenant.appId}/keys/${id}`)).toMatchObject({
      status: 404,
      body: { code: 'key_not_found' },
    })
  })

  it.each(['/admin/apps', '/admin/networks', `/admin/apps/${UNKNOWN_ID}/subscribers`])(
    '%s takes the admin key and no other',
    async (path) => {
      expect((await rig.request('GET', path, { key: tenant.key })).status).toBe(401)
      const anonymous = await rig.request('GET', path)
      expect(anonymous).toMatchObject({ status: 401, body: { code: 'unauthorized' } })
      expect(anonymous.headers.get('www-authenticate')).toBe('Bearer realm="callhalf"')
    },
  )

  it.each([
    ['GET', `/admin/apps/${UNKNOWN_ID}`],
    ['DELETE', `/admin/apps/${UNKNOWN_ID}`],
    ['GET', `/admin/apps/${UNKNOWN_ID}/keys`],
    ['GET', `/admin/apps/${UNKNOWN_ID}/subscribers`],
    ['DELETE', `/admin/apps/${UNKNOWN_ID}/keys/nothing`],
    ['GET', `/apps/${UNKNOWN_ID}/calls`],
    ['GET', `/apps/not-even-an-id/calls`],
    ['GET', `/apps/${'x'.repeat(100)}/calls`],
  ])('%s %s is a 404 for the admin', async (method, path) => {
    expect(await rig.admin(method, path)).toMatchObject({ status: 404, body: { code: 'app_not_found' } })
  })

  it('the admin key opens app routes', async () => {
    expect((await rig.admin('GET', `/apps/${tenant.appId}/calls`)).status).toBe(200)
  })
})

describe('subscribers', () => {
  it('are assigned, changed, found and taken away', async () => {
    const body = { network_id: tenant.networkId, subscriber_number: '+1 512 867 5309', subscriber_account_id: 'site 7' }
    const first = await rig.admin('PUT', subscriberPath('tommy@example.net'), body)
    expect(first.status).toBe(201)
    expect(first.body).toEqual({
      app_id: tenant.appId,
      network_id: tenant.networkId,
      subscriber_id: 'tommy@example.net',
      subscriber_number: '+15128675309',
      subscriber_account_id: 'site 7',
      created_at: expect.any(Number),
    })
    const second = await rig.admin('PUT', subscriberPath('tommy@example.net'), { ...body, subscriber_name: 'Tommy' })
    expect(second).toMatchObject({ status: 200, body: { subscriber_name: 'Tommy' } })
    expect((await rig.admin('GET', subscriberPath('tommy@example.net'))).body).toEqual(second.body)
    expect((await asApp('GET', '/subscribers/tommy%40example.net/calls')).body).toEqual([])
    expect((await rig.admin('DELETE', subscriberPath('tommy@example.net'))).status).toBe(204)
    expect((await rig.admin('DELETE', subscriberPath('tommy@example.net'))).status).toBe(404)
    expect((await asApp('GET', '/subscribers/tommy%40example.net/calls')).status).toBe(404)
  })

  it('are listed in pages that lead to each other', async () => {
    const app = await rig.admin('POST', '/admin/apps', { name: 'many' })
    const id = textField(app, 'app_id')
    for (const name of ['a', 'b', 'c']) {
      const body = { network_id: tenant.networkId, subscriber_number: '+15550100100' }
      await rig.admin('PUT', `/admin/apps/${id}/subscribers/${name}%40example.net`, body)
    }
    const first = await rig.admin('GET', `/admin/apps/${id}/subscribers?limit=2`)
    expect(first.body).toMatchObject([{ subscriber_id: 'a@example.net' }, { subscriber_id: 'b@example.net' }])
    const next = /^<([^>]+)>; rel="next"$/.exec(first.headers.get('link') ?? '')?.[1] ?? ''
    const second = await rig.admin('GET', next)
    expect(second.body).toMatchObject([{ subscriber_id: 'c@example.net' }])
    expect(second.headers.get('link')).toBeNull()
    expect((await rig.admin('GET', `/admin/apps/${id}/subscribers?limit=0`)).status).toBe(400)
    expect((await rig.admin('GET', `/admin/apps/${id}/subscribers?page=2`)).status).toBe(400)
  })

  it.each([
    [{ network_id: UNKNOWN_ID, subscriber_number: '+15128675309' }, 404, 'network_not_found'],
    [{ network_id: '', subscriber_number: '+15128675309' }, 400, 'invalid_request'],
    [{ subscriber_number: '+15128675309' }, 400, 'invalid_request'],
    [{ network_id: UNKNOWN_ID, subscriber_number: '5128675309' }, 400, 'invalid_request'],
  ])('%j is refused with %i %s and nothing is recorded', async (body, status, code) => {
    expect(await rig.admin('PUT', subscriberPath('new@example.net'), body)).toMatchObject({ status, body: { code } })
    expect((await rig.admin('GET', subscriberPath('new@example.net'))).status).toBe(404)
  })

  it('of a network in another shard are a conflict', async () => {
    const config = { nodes: ['https://xsp1.example.net'], password: 'x' }
    const far = await rig.admin('POST', '/admin/networks', { name: 'far', adapter: 'scripted', config, shard: 'far' })
    const network_id = textField(far, 'network_id')
    expect(
      await rig.admin('PUT', subscriberPath('new@example.net'), { network_id, subscriber_number: '+15128675309' }),
    ).toMatchObject({ status: 409, body: { code: 'shard_conflict' } })
  })
})
