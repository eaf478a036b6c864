import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ApiRig } from '../../test/support/api-rig.ts'
import type { RigTenant } from '../../test/support/api-rig.ts'
import { textField } from '../../test/support/checked-request.ts'
import { GatewayError } from '../core/errors.ts'

let rig: ApiRig
let tenant: RigTenant
let other: RigTenant

beforeAll(async () => {
  rig = await ApiRig.start()
  tenant = await rig.addTenant()
  other = await rig.addTenant()
})
afterAll(() => rig.stop())

const asApp = (method: string, suffix: string, options: { body?: unknown; headers?: Record<string, string> } = {}) =>
  rig.request(method, `/apps/${tenant.appId}${suffix}`, { key: tenant.key, ...options })

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
