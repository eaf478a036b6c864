import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ApiRig } from '../../test/support/api-rig.ts'
import type { RigTenant } from '../../test/support/api-rig.ts'
import { textField } from '../../test/support/checked-request.ts'
import type { Call } from '../core/call.ts'
import { GatewayError } from '../core/errors.ts'
import { toCallId } from '../core/ids.ts'

let rig: ApiRig
let tenant: RigTenant
let other: RigTenant

beforeAll(async () => {
  rig = await ApiRig.start()
  tenant = await rig.addTenant()
  other = await rig.addTenant()
})
afterAll(() => rig.stop())

const UNKNOWN_ID = '00000000-0000-4000-8000-000000000000'

/** A call as the network reports it; ids are new for each test, so that no test sees another's. */
let calls = 0
const newCall = (more: Partial<Call> = {}): Call => {
  calls += 1
  return {
    callId: toCallId(`callhalf-${calls}:0`),
    state: 'ringing',
    direction: 'incoming',
    remoteNumber: '+15129104114',
    remoteName: 'Zilkr LLC',
    trackingId: `track-${calls}`,
    startedAt: 1_700_000_000_000 + calls,
    ...more,
  }
}
const asApp = (method: string, suffix: string, options: { body?: unknown; headers?: Record<string, string> } = {}) =>
  rig.request(method, `/apps/${tenant.appId}${suffix}`, { key: tenant.key, ...options })

const dialled = (callId: string) => () => Promise.resolve({ callId: toCallId(callId), trackingId: 'track' })
const subscriberPath = (id: string) => `/admin/apps/${tenant.appId}/subscribers/${encodeURIComponent(id)}`

describe('calls', () => {
  it('lists a call with the fields of the document, and the additions', async () => {
    const call = newCall()
    await rig.observe(tenant, call)
    const expected = {
      subscriber_id: 'user1@example.net',
      subscriber_number: '+15550000001',
      remote_number: '+15129104114',
      subscriber_name: 'Tommy Tutone',
      remote_name: 'Zilkr LLC',
      call_id: call.callId,
      direction: 'incoming',
      state: 'ringing',
      sequence_number: '1',
      network_id: tenant.networkId,
      tracking_id: call.trackingId,
      started_at: call.startedAt,
    }
    expect(await asApp('GET', '/calls')).toMatchObject({ status: 200, body: [expected] })
    expect(await asApp('GET', '/subscribers/user1%40example.net/calls')).toMatchObject({
      status: 200,
      body: [expected],
    })
    const one = await asApp('GET', `/calls/${encodeURIComponent(call.callId)}`)
    expect(one).toMatchObject({ status: 200 })
    expect(one.body).toEqual(expected)
    await rig.observe(tenant, { ...call, state: 'released' })
    expect((await asApp('GET', '/calls')).body).toEqual([])
  })

  it('lists the calls of a subscriber in the order in which they started', async () => {
    const first = newCall()
    const second = newCall()
    await rig.observe(tenant, second, first)
    const { body } = await asApp('GET', '/calls')
    expect(body).toMatchObject([{ call_id: first.callId }, { call_id: second.callId }])
    await rig.observe(tenant, { ...first, state: 'released' }, { ...second, state: 'released' })
  })

  it.each([
    ['PUT', '/answer', 'answer', 'ringing'],
    ['PUT', '/hold', 'hold', 'active'],
    ['PUT', '/resume', 'resume', 'held'],
    ['DELETE', '', 'end', 'active'],
  ] as const)('%s of a call sends %s to its network and answers 204', async (method, suffix, command, state) => {
    const call = newCall({ state })
    await rig.observe(tenant, call)
    const answer = await asApp(method, `/calls/${encodeURIComponent(call.callId)}${suffix}`)
    expect(answer.status).toBe(204)
    expect(answer.body).toBeUndefined()
    expect(rig.provider.sent(command)).toContainEqual({
      type: command,
      subscriberId: 'user1@example.net',
      callId: call.callId,
    })
    await rig.observe(tenant, { ...call, state: 'released' })
  })

  it('decodes a call id exactly once', async () => {
    const call = newCall({ callId: toCallId('half/1%2F2?#ü %') })
    await rig.observe(tenant, call)
    const { status, body } = await asApp('GET', `/calls/${encodeURIComponent('half/1%2F2?#ü %')}`)
    expect(status).toBe(200)
    expect(body).toMatchObject({ call_id: 'half/1%2F2?#ü %' })
    await rig.observe(tenant, { ...call, state: 'released' })
  })

  it('a command that the state does not allow is a 409 naming the state, and sends nothing', async () => {
    const call = newCall({ state: 'held' })
    await rig.observe(tenant, call)
    const before = rig.provider.commands.length
    expect(await asApp('PUT', `/calls/${call.callId}/hold`)).toMatchObject({
      status: 409,
      body: { code: 'call_state_conflict', state: 'held', command: 'hold', allowed: ['active'] },
    })
    expect(rig.provider.commands.length).toBe(before)
    await rig.observe(tenant, { ...call, state: 'released' })
  })

  it('a call that ended or never was is a 404', async () => {
    const call = newCall({ state: 'active' })
    await rig.observe(tenant, call)
    await rig.observe(tenant, { ...call, state: 'released' })
    const gone = { status: 404, body: { code: 'call_not_found', detail: 'The call has ended.' } }
    expect(await asApp('GET', `/calls/${call.callId}`)).toMatchObject(gone)
    expect(await asApp('DELETE', `/calls/${call.callId}`)).toMatchObject(gone)
    expect(await asApp('DELETE', '/calls/nothing')).toMatchObject({ status: 404, body: { code: 'call_not_found' } })
  })

  it("another app's call, subscriber and routes do not exist", async () => {
    const call = newCall({ state: 'active' })
    await rig.observe(other, call)
    expect(await asApp('GET', `/calls/${call.callId}`)).toMatchObject({ status: 404, body: { code: 'call_not_found' } })
    expect(await asApp('DELETE', `/calls/${call.callId}`)).toMatchObject({ status: 404 })
    expect(await asApp('GET', '/subscribers/user2%40example.net/calls')).toMatchObject({
      status: 404,
      body: { code: 'subscriber_not_found' },
    })
    const place = { subscriber_id: 'user2@example.net', subscriber_number: '+15550000002', remote_number: '1002' }
    expect(await asApp('POST', '/calls', { body: place })).toMatchObject({ status: 404 })
    expect(await rig.request('GET', `/apps/${other.appId}/calls`, { key: tenant.key })).toMatchObject({
      status: 404,
      body: { code: 'app_not_found' },
    })
    expect((await asApp('GET', '/calls')).body).toEqual([])
    await rig.observe(other, { ...call, state: 'released' })
  })

  it.each([
    ['provider_refused', 502, { provider_code: '6006' }, undefined],
    ['provider_unauthorized', 502, { provider_status: 401 }, undefined],
    ['provider_unavailable', 503, { provider_status: 503 }, 7],
    ['call_not_found', 404, {}, undefined],
    ['too_many_requests', 429, {}, 7],
  ] as const)("the network's %s is a %i with its fields", async (code, status, fields, retryAfterSeconds) => {
    const call = newCall({ state: 'active' })
    await rig.observe(tenant, call)
    rig.provider.script.execute = () =>
      Promise.reject(new GatewayError(code, { fields, ...(retryAfterSeconds !== undefined && { retryAfterSeconds }) }))
    const answer = await asApp('PUT', `/calls/${call.callId}/hold`)
    expect(answer).toMatchObject({ status, body: { code, ...fields } })
    expect(answer.headers.get('retry-after')).toBe(retryAfterSeconds === undefined ? null : '7')
    rig.provider.script.execute = () => Promise.resolve(undefined)
    await rig.observe(tenant, { ...call, state: 'released' })
  })

  it("the network's own conflict names the state that we know, and the calls are read again", async () => {
    const call = newCall({ state: 'active' })
    await rig.observe(tenant, call)
    rig.provider.script.execute = () =>
      Promise.reject(new GatewayError('call_state_conflict', { fields: { provider_code: '111602' } }))
    expect(await asApp('PUT', `/calls/${call.callId}/hold`)).toMatchObject({
      status: 409,
      body: { code: 'call_state_conflict', state: 'active', provider_code: '111602' },
    })
    const adapter = rig.provider.made.find(({ context }) => context.network.networkId === tenant.networkId)
    expect(adapter?.resynchronised.at(-1)).toEqual({
      subscriberIds: ['user1@example.net'],
      reason: 'hold_contradicted',
    })
    rig.provider.script.execute = () => Promise.resolve(undefined)
    await rig.observe(tenant, { ...call, state: 'released' })
  })

  it('a network that does not answer in time is a 503 with Retry-After', async () => {
    const call = newCall({ state: 'active' })
    await rig.observe(tenant, call)
    rig.provider.script.execute = (_command, signal) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    const answer = await asApp('PUT', `/calls/${call.callId}/hold`)
    expect(answer).toMatchObject({ status: 503, body: { code: 'provider_unavailable' } })
    expect(answer.headers.get('retry-after')).toBe('5')
    rig.provider.script.execute = () => Promise.resolve(undefined)
    await rig.observe(tenant, { ...call, state: 'released' })
  })
})

describe('placing a call', () => {
  const valid = {
    subscriber_id: 'user1@example.net',
    subscriber_number: '+15550000001',
    remote_number: '+1 (512) 910-4114',
    subscriber_name: 'Tommy T.',
    remote_name: 'Zilkr LLC',
  }

  it('dials and answers 201 with exactly the fields of the document', async () => {
    rig.provider.script.execute = dialled('callhalf-13467354071:0')
    const { status, body } = await asApp('POST', '/calls', { body: valid })
    expect(status).toBe(201)
    expect(body).toEqual({
      subscriber_id: 'user1@example.net',
      subscriber_number: '+15550000001',
      remote_number: '+15129104114',
      subscriber_name: 'Tommy T.',
      remote_name: 'Zilkr LLC',
      call_id: 'callhalf-13467354071:0',
      direction: 'outgoing',
    })
    expect(rig.provider.sent('dial').at(-1)).toEqual({
      type: 'dial',
      subscriberId: 'user1@example.net',
      remoteNumber: '+15129104114',
    })
  })

  it('dials an extension, with the assigned name for the one not given', async () => {
    rig.provider.script.execute = dialled('callhalf-2:0')
    const body = { subscriber_id: 'user1@example.net', subscriber_number: '1-555-000-0001', remote_number: '1002' }
    expect((await asApp('POST', '/calls', { body })).body).toEqual({
      subscriber_id: 'user1@example.net',
      subscriber_number: '+15550000001',
      remote_number: '1002',
      subscriber_name: 'Tommy Tutone',
      call_id: 'callhalf-2:0',
      direction: 'outgoing',
    })
  })

  it.each([
    [{ ...valid, remote_number: '15129104114' }, 'remote_number'],
    [{ ...valid, remote_number: '*72' }, 'remote_number'],
    [{ ...valid, subscriber_number: '+15550000002' }, 'subscriber_number'],
    [{ ...valid, subscriber_number: undefined }, 'subscriber_number'],
    [{ ...valid, remote_number: 5129104114 }, 'remote_number'],
    [{ ...valid, subscriber_id: '' }, 'subscriber_id'],
    [{ ...valid, callback: 'x' }, 'callback'],
    [[valid], ''],
    [null, ''],
  ])('%j is a 400 naming %j, and nothing is dialled', async (body, field) => {
    const before = rig.provider.sent('dial').length
    expect(await asApp('POST', '/calls', { body })).toMatchObject({
      status: 400,
      body: { code: 'invalid_request', errors: [{ field }] },
    })
    expect(rig.provider.sent('dial').length).toBe(before)
  })

  it.each([
    ['{"subscriber_id": ', 400, 'malformed_json'],
    [' ', 400, 'malformed_json'],
    ['', 400, 'malformed_json'],
    [JSON.stringify({ ...valid, remote_name: 'x'.repeat(70_000) }), 413, 'body_too_large'],
    ['{"subscriber_id": "a\\u0000b"}', 400, 'malformed_json'],
    ['{"subscriber_id": "\\ud800"}', 400, 'malformed_json'],
  ])('the body %j is a %i', async (body, status, code) => {
    expect(await asApp('POST', '/calls', { body })).toMatchObject({ status, body: { code } })
  })

  it('a body that is not JSON by its type is a 415', async () => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    expect(await asApp('POST', '/calls', { body: 'a=b', headers })).toMatchObject({
      status: 415,
      body: { code: 'unsupported_media_type' },
    })
  })

  it('a retry with the same key gets the same answer, flagged, and dials once', async () => {
    rig.provider.script.execute = dialled('callhalf-3:0')
    const before = rig.provider.sent('dial').length
    const headers = { 'idempotency-key': 'order 66' }
    const first = await asApp('POST', '/calls', { body: valid, headers })
    const second = await asApp('POST', '/calls', { body: valid, headers })
    expect([first.status, second.status]).toEqual([201, 201])
    expect(second.body).toEqual(first.body)
    expect([first.headers.get('idempotent-replayed'), second.headers.get('idempotent-replayed')]).toEqual([
      null,
      'true',
    ])
    expect(rig.provider.sent('dial').length).toBe(before + 1)
  })

  it('the same key for another request is a 422, for another app a key of its own', async () => {
    rig.provider.script.execute = dialled('callhalf-4:0')
    const headers = { 'idempotency-key': 'shared' }
    await asApp('POST', '/calls', { body: valid, headers })
    const changed = { ...valid, remote_number: '1003' }
    expect(await asApp('POST', '/calls', { body: changed, headers })).toMatchObject({
      status: 422,
      body: { code: 'idempotency_mismatch' },
    })
    const body = { subscriber_id: 'user2@example.net', subscriber_number: '+15550000002', remote_number: '1002' }
    const answer = await rig.request('POST', `/apps/${other.appId}/calls`, { key: other.key, body, headers })
    expect(answer.status).toBe(201)
    expect(answer.headers.get('idempotent-replayed')).toBeNull()
  })

  it.each(['', 'k'.repeat(256), 'clé'])('the key %j is a 400', async (key) => {
    const headers = { 'idempotency-key': key }
    expect(await asApp('POST', '/calls', { body: valid, headers })).toMatchObject({
      status: 400,
      body: { code: 'invalid_request', errors: [{ field: 'Idempotency-Key' }] },
    })
  })
})

describe('webhooks', () => {
  it('are registered with a secret shown once, changed, listed and deleted', async () => {
    const created = await asApp('POST', '/webhooks', {
      body: { url: 'https://hooks.example.net/calls', event_types: ['call.*'], description: 'screen pop' },
    })
    expect(created.status).toBe(201)
    expect(created.body).toMatchObject({
      url: 'https://hooks.example.net/calls',
      event_types: ['call.*'],
      description: 'screen pop',
      enabled: true,
      secret: expect.stringMatching(/^whsec_[A-Za-z0-9+/]{43}=$/),
    })
    const id = textField(created, 'webhook_id')
    const found = await asApp('GET', `/webhooks/${id}`)
    expect(found.status).toBe(200)
    expect(found.body).not.toHaveProperty('secret')
    expect((await asApp('GET', '/webhooks')).body).toEqual([found.body])

    const changed = await asApp('PATCH', `/webhooks/${id}`, { body: { enabled: false, event_types: null } })
    expect(changed).toMatchObject({ status: 200, body: { enabled: false, url: 'https://hooks.example.net/calls' } })
    expect(changed.body).not.toHaveProperty('event_types')

    const elsewhere = `/apps/${other.appId}/webhooks/${id}`
    expect((await rig.request('GET', elsewhere, { key: other.key })).status).toBe(404)
    expect((await rig.request('DELETE', elsewhere, { key: other.key })).status).toBe(404)
    expect((await asApp('DELETE', `/webhooks/${id}`)).status).toBe(204)
    expect(await asApp('DELETE', `/webhooks/${id}`)).toMatchObject({
      status: 404,
      body: { code: 'webhook_not_found' },
    })
  })

  it('one whose place in the log could not be fixed is not registered, so that a retry makes the only one', async () => {
    const body = { url: 'https://hooks.example.net/calls' }
    rig.openEndpoint = () => Promise.reject(new GatewayError('store_unavailable'))
    expect(await asApp('POST', '/webhooks', { body })).toMatchObject({
      status: 503,
      body: { code: 'store_unavailable' },
    })
    expect((await asApp('GET', '/webhooks')).body).toEqual([])
    rig.openEndpoint = () => Promise.resolve()
    const created = await asApp('POST', '/webhooks', { body })
    expect(created.status).toBe(201)
    expect((await asApp('DELETE', `/webhooks/${textField(created, 'webhook_id')}`)).status).toBe(204)
  })

  it('an app has 20 at most', async () => {
    const crowded = await rig.addTenant()
    const register = () =>
      rig.request('POST', `/apps/${crowded.appId}/webhooks`, {
        key: crowded.key,
        body: { url: 'https://hooks.example.net/calls' },
      })
    const answers = await Promise.all(Array.from({ length: 23 }, register))
    const refused = answers.filter(({ status }) => status !== 201)
    expect(refused).toHaveLength(3)
    expect(refused[0]).toMatchObject({ status: 409, body: { code: 'too_many_webhooks', max: 20 } })
    const [oldest] = answers.filter(({ status }) => status === 201)
    if (oldest === undefined) throw new Error('none was registered')
    const id = textField(oldest, 'webhook_id')
    expect((await rig.request('DELETE', `/apps/${crowded.appId}/webhooks/${id}`, { key: crowded.key })).status).toBe(
      204,
    )
    expect((await register()).status).toBe(201)
  })

  it.each([
    [{ url: 'https://localhost/' }, 422, 'webhook_url_refused'],
    [{}, 400, 'invalid_request'],
    [{ url: 'https://hooks.example.net/', event_types: ['call.exploded'] }, 400, 'invalid_request'],
    [{ url: 'https://hooks.example.net/', event_types: [] }, 400, 'invalid_request'],
    [{ url: 'https://hooks.example.net/', secret: 'whsec_mine' }, 400, 'invalid_request'],
  ])('%j is refused with %i and nothing is registered', async (body, status, code) => {
    expect(await asApp('POST', '/webhooks', { body })).toMatchObject({ status, body: { code } })
    expect((await asApp('GET', '/webhooks')).body).toEqual([])
  })
})

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

describe('streams', () => {
  it('an app gets a token; a plain GET is told how to open a stream', async () => {
    expect(await asApp('POST', '/stream-tokens')).toMatchObject({ status: 201, body: { token: expect.any(String) } })
    const plain = await asApp('GET', '/stream')
    expect(plain).toMatchObject({ status: 400, body: { code: 'invalid_request' } })
  })
})

describe('operation', () => {
  it('readiness lists what is not ready', async () => {
    expect(await rig.request('GET', '/readyz')).toMatchObject({ status: 200, body: { ready: true, not_ready: [] } })
    rig.isReady = false
    expect(await rig.request('GET', '/readyz')).toMatchObject({
      status: 503,
      body: { ready: false, not_ready: ['redis'], checks: { redis: { ready: false, detail: 'no answer' } } },
    })
    expect((await rig.request('GET', '/healthz')).body).toEqual({ status: 'ok' })
    rig.isReady = true
  })

  it('metrics count requests by route pattern, never by id', async () => {
    await asApp('GET', '/calls/some-id')
    const { body } = await rig.request('GET', '/metrics')
    expect(body).toContain(
      'callhalf_http_request_duration_seconds_count{method="GET",route="/apps/:app_id/calls/:call_id",status="404"}',
    )
    expect(body).not.toContain('some-id')
  })
})
