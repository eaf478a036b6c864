import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ApiRig } from '../../test/support/api-rig.ts'
import type { RigTenant } from '../../test/support/api-rig.ts'
import { AppClient, HOOK_URL } from '../../test/support/app-client.ts'
import { until } from '../../test/support/until.ts'

let rig: ApiRig
let tenant: RigTenant
let other: RigTenant
let app: AppClient

beforeAll(async () => {
  rig = await ApiRig.start()
  tenant = await rig.addTenant()
  other = await rig.addTenant()
  app = new AppClient(rig, tenant)
})
afterAll(() => rig.stop())

const asApp = (method: string, suffix: string, body?: unknown) => app.request(method, suffix, body)
const withWebhook = (...of: Parameters<AppClient['withWebhook']>) => app.withWebhook(...of)

const policyOf = (value: object) => ({ retry_policies: { 'call.ringing': value } })

describe('what is refused', () => {
  const invalid: readonly (readonly [object, string])[] = [
    [{ url: '' }, 'url'],
    [{ url: `https://hooks.example.net/${'x'.repeat(2_048)}` }, 'url'],
    [{ failover_url: 7 }, 'failover_url'],
    [{ description: 'x'.repeat(501) }, 'description'],
    [{ metadata: { 'not a name': 'x' } }, 'metadata.not a name'],
    [{ metadata: { team: 7 } }, 'metadata.team'],
    [{ metadata: { team: 'x'.repeat(501) } }, 'metadata.team'],
    [{ metadata: { constructor: 'x' } }, 'constructor'],
    [{ metadata: Object.fromEntries(Array.from({ length: 21 }, (_, i) => [`k${i}`, ''])) }, 'metadata'],
    [{ event_types: [] }, 'event_types'],
    [{ event_types: ['call.exploded'] }, 'event_types.0'],
    [{ event_types: ['call.ringing', '*'] }, 'event_types.1'],
    [{ event_types: ['order'] }, 'event_types.0'],
    [{ event_types: ['order.Big'] }, 'event_types.0'],
    [{ event_types: ['order.teleported'] }, 'event_types.0'],
    [{ event_types: ['numberXin_service'] }, 'event_types.0'],
    [{ event_types: ['webhook.challenge'] }, 'event_types.0'],
    [{ subscriber_ids: [] }, 'subscriber_ids'],
    [{ subscriber_ids: ['a/b'] }, 'subscriber_ids.0'],
    [{ directions: ['sideways'] }, 'directions.0'],
    [{ directions: ['incoming', 'incoming'] }, 'directions'],
    [{ headers: { 'webhook-id': 'mine' } }, 'headers.webhook-id'],
    [{ headers: { Host: 'elsewhere' } }, 'headers.Host'],
    [{ headers: { 'X-A': 'line\r\nX-B: 1' } }, 'headers.X-A'],
    [{ headers: { 'X-A': 1 } }, 'headers.X-A'],
    [{ retry_policies: { 'call.exploded': {} } }, 'retry_policies.call.exploded'],
    [policyOf({ ttl: 5 }), 'retry_policies.call.ringing.ttl'],
    [policyOf({ ttl_seconds: 0.5 }), 'retry_policies.call.ringing.ttl_seconds'],
    [policyOf({ ttl_seconds: 259_201 }), 'retry_policies.call.ringing.ttl_seconds'],
    [policyOf({ ttl_seconds: '30' }), 'retry_policies.call.ringing.ttl_seconds'],
    [policyOf({ ttl_seconds: 1.0001 }), 'retry_policies.call.ringing.ttl_seconds'],
    [policyOf({ timeout_seconds: 16 }), 'retry_policies.call.ringing.timeout_seconds'],
    [policyOf({ retry_delays_seconds: [] }), 'retry_policies.call.ringing.retry_delays_seconds'],
    [policyOf({ retry_delays_seconds: [1, 0.05] }), 'retry_policies.call.ringing.retry_delays_seconds.1'],
    [
      policyOf({ retry_delays_seconds: Array.from({ length: 21 }, () => 1) }),
      'retry_policies.call.ringing.retry_delays_seconds',
    ],
    [{ order_hold_seconds: 301 }, 'order_hold_seconds'],
    [{ order_hold_seconds: -1 }, 'order_hold_seconds'],
    [{ coalesce: 'yes' }, 'coalesce'],
    [{ max_in_flight: 0 }, 'max_in_flight'],
    [{ max_in_flight: 51 }, 'max_in_flight'],
    [{ max_in_flight: 1.5 }, 'max_in_flight'],
    [{ rate_limit_per_second: 1_001 }, 'rate_limit_per_second'],
    [{ signatures: [] }, 'signatures'],
    [{ signatures: ['v2'] }, 'signatures.0'],
    [{ signatures: ['v1', 'v1'] }, 'signatures'],
    [{ ca_certificates: 'trust everybody' }, 'ca_certificates'],
    [{ ca_certificates: '-----BEGIN PRIVATE KEY-----\nMIG=\n-----END PRIVATE KEY-----' }, 'ca_certificates'],
    [{ enabled: null }, 'enabled'],
    [{ colour: 'green' }, 'colour'],
    [{ verified: true }, 'verified'],
  ]

  it.each(invalid)('%j is a 400 naming %s; nothing is registered and nothing changed', async (wrong, field) => {
    const created = await asApp('POST', '/webhooks', { url: HOOK_URL, description: 'never', ...wrong })
    expect(created).toMatchObject({ status: 400, body: { code: 'invalid_request', errors: [{ field }] } })
    expect((await asApp('GET', '/webhooks')).body).toEqual([])
    await withWebhook({}, async (id) => {
      const before = (await asApp('GET', `/webhooks/${id}`)).body
      const changed = await asApp('PATCH', `/webhooks/${id}`, { description: 'never', ...wrong })
      expect(changed).toMatchObject({ status: 400, body: { code: 'invalid_request', errors: [{ field }] } })
      expect((await asApp('GET', `/webhooks/${id}`)).body).toEqual(before)
    })
  })

  it.each([
    'whsec_c2hvcnQ=',
    `whsec_${Buffer.alloc(65).toString('base64')}`,
    Buffer.alloc(32).toString('base64'),
    `whsk_${Buffer.alloc(32).toString('base64')}`,
    `whsec_${'!'.repeat(44)}`,
  ])('the secret %s is a 400 that does not repeat it', async (secret) => {
    const created = await asApp('POST', '/webhooks', { url: HOOK_URL, secret })
    expect(created).toMatchObject({ status: 400, body: { errors: [{ field: 'secret' }] } })
    expect(JSON.stringify(created.body)).not.toContain(secret.slice(6))
    expect((await asApp('GET', '/webhooks')).body).toEqual([])
  })

  it.each([
    [{ url: 'ftp://hooks.example.net/' }, 'url', 'scheme'],
    [{ url: 'https://127.0.0.2/' }, 'url', 'blocked_address'],
    [{ failover_url: 'http://hooks.example.net/' }, 'failover_url', 'https_required'],
    [{ failover_url: 'https://[::ffff:10.0.0.1]/' }, 'failover_url', 'blocked_address'],
    [{ failover_url: 'https://user:pass@hooks.example.net/' }, 'failover_url', 'credentials'],
    [{ failover_url: 'https://nowhere.example.org/' }, 'failover_url', 'unresolvable'],
  ])('%j is a 422 naming %s; nothing is registered and nothing changed', async (wrong, field, reason) => {
    const refused = { status: 422, body: { code: 'webhook_url_refused', field, reason } }
    expect(await asApp('POST', '/webhooks', { url: HOOK_URL, ...wrong })).toMatchObject(refused)
    expect((await asApp('GET', '/webhooks')).body).toEqual([])
    await withWebhook({}, async (id) => {
      const before = (await asApp('GET', `/webhooks/${id}`)).body
      expect(await asApp('PATCH', `/webhooks/${id}`, { description: 'never', ...wrong })).toMatchObject(refused)
      expect((await asApp('GET', `/webhooks/${id}`)).body).toEqual(before)
    })
  })

  it("another app's webhook, whatever is asked of it, and one that never was", async () => {
    await withWebhook({}, async (id) => {
      const requests = [
        ['GET', ''],
        ['PATCH', '', { enabled: false }],
        ['DELETE', ''],
        ['POST', '/rotate-secret', {}],
        ['POST', '/test', {}],
        ['POST', '/verify'],
        ['POST', '/replay', {}],
        ['GET', '/deliveries'],
      ] as const
      for (const [method, action, body] of requests) {
        const options = { key: other.key, ...(body !== undefined && { body }) }
        const answer = await rig.request(method, `/apps/${other.appId}/webhooks/${id}${action}`, options)
        expect([method, action, answer.status, Object(answer.body).code]).toEqual([
          method,
          action,
          404,
          'webhook_not_found',
        ])
        expect((await rig.request(method, `/apps/${tenant.appId}/webhooks/${id}${action}`, options)).status).toBe(404)
        expect((await rig.request(method, `/apps/${tenant.appId}/webhooks/${id}${action}`)).status).toBe(401)
      }
      expect((await asApp('GET', `/webhooks/${id}`)).body).toMatchObject({ enabled: true })
    })
  })
})

describe('header values, which can be written but never read', () => {
  const elsewhere = 'https://elsewhere.example.net/calls'
  const refused = {
    status: 400,
    body: {
      code: 'invalid_request',
      errors: [{ field: 'headers', message: 'must be given again, or be {}, with a URL of another origin' }],
    },
  }
  const settings = { headers: { Authorization: 'Bearer hidden' }, failover_url: 'https://backup.example.net/calls' }

  it('are not sent to another origin by whoever can only change the URL', async () => {
    await withWebhook(settings, async (id) => {
      expect(await asApp('PATCH', `/webhooks/${id}`, { url: elsewhere })).toMatchObject(refused)
      expect(await asApp('PATCH', `/webhooks/${id}`, { failover_url: elsewhere })).toMatchObject(refused)
      expect(await asApp('PATCH', `/webhooks/${id}`, { url: 'https://hooks.example.net:8443/' })).toMatchObject(refused)
      expect((await asApp('GET', `/webhooks/${id}`)).body).toMatchObject({
        url: HOOK_URL,
        failover_url: settings.failover_url,
        header_names: ['Authorization'],
      })
    })
  })

  it.each([
    [{ url: elsewhere, headers: {} }, []],
    [{ url: elsewhere, headers: null }, []],
    [{ url: elsewhere, headers: { 'X-Fresh': '1' } }, ['X-Fresh']],
    [{ url: 'https://hooks.example.net/other', failover_url: null }, ['Authorization']],
    [{ url: settings.failover_url, failover_url: HOOK_URL }, ['Authorization']],
  ])('leave a change to %j alone', async (change, names) => {
    await withWebhook(settings, async (id) => {
      const changed = await asApp('PATCH', `/webhooks/${id}`, change)
      expect(changed).toMatchObject({ status: 200, body: { url: change.url, header_names: names } })
    })
  })

  it('that there are none of keep no URL from being changed', async () => {
    await withWebhook({}, async (id) => {
      expect(await asApp('PATCH', `/webhooks/${id}`, { url: elsewhere })).toMatchObject({ status: 200 })
    })
  })
})

describe('registrations and changes of one app', () => {
  it('run five at a time and up to fifty are taken, whatever name servers they wait for', async () => {
    const { openEndpoint } = rig
    const held = Promise.withResolvers<void>()
    let opening = 0
    rig.openEndpoint = async (...endpoint) => {
      opening += 1
      await held.promise
      await openEndpoint(...endpoint)
    }
    try {
      const taken = Array.from({ length: 50 }, () => asApp('POST', '/webhooks', { url: HOOK_URL }))
      await until('five of them', () => opening === 5)
      const refused = { status: 429, body: { code: 'too_many_requests' } }
      expect(await asApp('POST', '/webhooks', { url: HOOK_URL })).toMatchObject(refused)
      expect(await asApp('PATCH', '/webhooks/unknown', { url: HOOK_URL })).toMatchObject(refused)
      const another = rig.request('POST', `/apps/${other.appId}/webhooks`, { key: other.key, body: { url: HOOK_URL } })
      await until("the other app's", () => opening === 6)
      held.resolve()
      expect((await another).status).toBe(201)
      const answers = await Promise.all(taken)
      const registered = answers.filter(({ status }) => status === 201)
      for (const { body } of registered) await asApp('DELETE', `/webhooks/${Object(body).webhook_id}`)
      expect([registered.length, answers.filter(({ status }) => status === 409).length]).toEqual([20, 30])
    } finally {
      held.resolve()
      rig.openEndpoint = openEndpoint
    }
  })
})
