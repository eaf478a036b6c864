import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ApiRig } from '../../test/support/api-rig.ts'
import type { RigTenant } from '../../test/support/api-rig.ts'
import { AppClient, HOOK_URL } from '../../test/support/app-client.ts'
import { textField } from '../../test/support/checked-request.ts'
import { createSelfSigned } from '../../test/support/self-signed.ts'
import { EVENT_TYPES } from '../core/app-event.ts'
import { toEndpointId } from '../core/ids.ts'

let rig: ApiRig
let tenant: RigTenant

let app: AppClient

beforeAll(async () => {
  rig = await ApiRig.start()
  tenant = await rig.addTenant()

  app = new AppClient(rig, tenant)
})
afterAll(() => rig.stop())

const asApp = (method: string, suffix: string, body?: unknown) => app.request(method, suffix, body)
const withWebhook = (...of: Parameters<AppClient['withWebhook']>) => app.withWebhook(...of)
const { cert } = createSelfSigned()

const everything = {
  url: HOOK_URL,
  failover_url: 'https://standby.example.net/calls?from=callhalf',
  description: 'screen pop',
  metadata: { team: 'sales', 'cost.centre': '4711' },
  event_types: ['call.*', 'subscriber.assigned', 'order.*', 'order.completed'],
  subscriber_ids: ['user1@example.net', 'user2@example.net'],
  directions: ['incoming'],
  retry_policies: {
    '*': { timeout_seconds: 2.5 },
    'call.ringing': { ttl_seconds: 20, retry_delays_seconds: [0.25, 0.5, 1], timeout_seconds: 0.5 },
    'order.*': { ttl_seconds: 259_200 },
  },
  order_hold_seconds: 2.5,
  coalesce: true,
  max_in_flight: 25,
  rate_limit_per_second: 50,
  signatures: ['v1', 'v1a'],
  ca_certificates: cert,
  enabled: false,
}
const headers = { Authorization: 'Bearer of-the-receiver', 'X-Tenant': 'seven' }

describe('settings', () => {
  it('a webhook has all that it was registered with; header values and the secret are not shown', async () => {
    await withWebhook({ ...everything, headers }, async (id, created) => {
      const found = await asApp('GET', `/webhooks/${id}`)
      expect(found).toMatchObject({
        status: 200,
        body: {
          ...everything,
          header_names: ['Authorization', 'X-Tenant'],
          public_key: expect.stringMatching(/^whpk_[A-Za-z0-9+/]{43}=$/),
          disabled_reason: 'requested',
          verified: true,
          app_id: tenant.appId,
          status: { breaker: 'closed', pending: 0, in_flight: 0 },
        },
      })
      expect(found.body).not.toHaveProperty('headers')
      expect(found.body).not.toHaveProperty('secret')
      const { status: _, ...shown } = Object(found.body)
      expect(created).toEqual({ ...shown, secret: expect.stringMatching(/^whsec_/) })
      const changed = await asApp('PATCH', `/webhooks/${id}`, { coalesce: false })
      for (const answer of [created, found.body, changed.body, (await asApp('GET', '/webhooks')).body]) {
        expect(JSON.stringify(answer)).not.toContain('of-the-receiver')
      }
      expect((await rig.endpoints.credentialsOf(toEndpointId(id)))?.headers).toEqual(headers)
    })
  })

  it('one that was given only a URL has the defaults', async () => {
    await withWebhook({}, async (id) => {
      expect((await asApp('GET', `/webhooks/${id}`)).body).toEqual({
        webhook_id: id,
        app_id: tenant.appId,
        url: HOOK_URL,
        header_names: [],
        order_hold_seconds: 10,
        coalesce: false,
        max_in_flight: 10,
        signatures: ['v1'],
        enabled: true,
        verified: true,
        status: { breaker: 'closed', pending: 0, in_flight: 0 },
        created_at: expect.any(Number),
        updated_at: expect.any(Number),
      })
    })
  })

  it('null makes each as if it had never been given', async () => {
    await withWebhook({ ...everything, headers }, async (id) => {
      const { url: _, enabled: __, ...optional } = { ...everything, headers }
      const cleared = Object.fromEntries(Object.keys(optional).map((name) => [name, null]))
      const changed = await asApp('PATCH', `/webhooks/${id}`, { ...cleared, enabled: true })
      expect(changed.body).toEqual({
        webhook_id: id,
        app_id: tenant.appId,
        url: HOOK_URL,
        header_names: [],
        order_hold_seconds: 10,
        coalesce: false,
        max_in_flight: 10,
        signatures: ['v1'],
        enabled: true,
        verified: true,
        created_at: expect.any(Number),
        updated_at: expect.any(Number),
      })
      expect((await rig.endpoints.credentialsOf(toEndpointId(id)))?.headers).toEqual({})
    })
  })

  it('a change leaves alone what it does not name', async () => {
    await withWebhook({ ...everything, headers }, async (id) => {
      const before = (await asApp('GET', `/webhooks/${id}`)).body
      const changed = await asApp('PATCH', `/webhooks/${id}`, { order_hold_seconds: 0 })
      expect(changed.status).toBe(200)
      const { updated_at: _, ...rest } = Object(before)
      expect((await asApp('GET', `/webhooks/${id}`)).body).toMatchObject({ ...rest, order_hold_seconds: 0 })
    })
  })

  it('signatures of v1a come with a key pair, which stays until it is rotated', async () => {
    await withWebhook({}, async (id, created) => {
      expect(created).not.toHaveProperty('public_key')
      const first = await asApp('PATCH', `/webhooks/${id}`, { signatures: ['v1a'] })
      const publicKey = textField(first, 'public_key')
      expect((await rig.endpoints.credentialsOf(toEndpointId(id)))?.secrets).toEqual([
        expect.stringMatching(/^whsk_[A-Za-z0-9+/]{43}=$/),
      ])
      const again = await asApp('PATCH', `/webhooks/${id}`, { signatures: ['v1', 'v1a'], description: 'both' })
      expect(textField(again, 'public_key')).toBe(publicKey)
      const without = await asApp('PATCH', `/webhooks/${id}`, { signatures: ['v1'] })
      expect(without.body).not.toHaveProperty('public_key')
    })
  })

  it('a secret of its own signs, and is refused when it is too short', async () => {
    const secret = `whsec_${Buffer.alloc(24, 7).toString('base64')}`
    await withWebhook({ secret }, async (id, created) => {
      expect(created).toMatchObject({ secret })
      expect((await rig.endpoints.credentialsOf(toEndpointId(id)))?.secrets).toEqual([secret])
    })
  })

  it('a thousand subscribers of the longest ids fit into a request, and no more', async () => {
    const ids = Array.from({ length: 1_001 }, (_, i) => `${String(i).padStart(149, 'u')}@example.net`)
    expect(ids[0]).toHaveLength(161)
    await withWebhook({ subscriber_ids: ids.slice(0, 1_000) }, async (id) => {
      const found = await asApp('GET', `/webhooks/${id}`)
      expect(found.body).toMatchObject({ subscriber_ids: ids.slice(0, 1_000) })
    })
    expect(await asApp('POST', '/webhooks', { url: HOOK_URL, subscriber_ids: ids })).toMatchObject({
      status: 400,
      body: { errors: [{ field: 'subscriber_ids', message: 'must have 1000 at most' }] },
    })
  })
})

/** Milliseconds within bounds, as a number of seconds. */
const seconds = (min: number, max: number) => fc.integer({ min, max }).map((ms) => ms / 1_000)
const text = (maxLength: number) =>
  fc.string({ unit: 'binary', maxLength }).filter((value) => !value.includes('\0') && value.length <= maxLength)
const pattern = fc.constantFrom('call.*', 'subscriber.*', 'order.*', 'number.*', ...EVENT_TYPES)
const url = fc
  .tuple(fc.webPath(), fc.webQueryParameters())
  .map(([path, query]) => `https://hooks.example.net${path}?${query}`)
  .filter((given) => globalThis.URL.parse(given)?.href === given)
const policy = fc.record(
  {
    ttl_seconds: seconds(1_000, 259_200_000),
    retry_delays_seconds: fc.array(seconds(100, 86_400_000), { minLength: 1, maxLength: 20 }),
    timeout_seconds: seconds(500, 15_000),
  },
  { requiredKeys: [] },
)
const webhook = fc.record(
  {
    url,
    failover_url: url,
    description: text(500),
    metadata: fc.dictionary(
      fc.stringMatching(/^[\w.-]{1,64}$/).filter((name) => !['constructor', 'prototype', '__proto__'].includes(name)),
      text(500),
      { maxKeys: 20, noNullPrototype: true },
    ),
    event_types: fc.array(pattern, { minLength: 1, maxLength: 50 }),
    subscriber_ids: fc.array(
      // oxlint-disable-next-line no-control-regex
      text(161).filter((id) => /^[^/\u0000-\u001f\u007f]+$/.test(id)),
      { minLength: 1, maxLength: 20 },
    ),
    directions: fc.subarray(['incoming', 'outgoing'], { minLength: 1 }),
    retry_policies: fc.dictionary(fc.oneof(pattern, fc.constant('*')), policy, { maxKeys: 10, noNullPrototype: true }),
    order_hold_seconds: seconds(0, 300_000),
    coalesce: fc.boolean(),
    max_in_flight: fc.integer({ min: 1, max: 50 }),
    rate_limit_per_second: fc.integer({ min: 1, max: 1_000 }),
    signatures: fc.constantFrom(['v1'], ['v1a'], ['v1', 'v1a'], ['v1a', 'v1']),
    ca_certificates: fc.constantFrom(cert, `# two\n${cert}${cert}`),
    enabled: fc.boolean(),
  },
  { requiredKeys: ['url'] },
)

describe('any valid settings', () => {
  it('are what is shown afterwards, registered at once or changed to', async () => {
    await fc.assert(
      fc.asyncProperty(webhook, webhook, async (first, second) => {
        await withWebhook(first, async (id) => {
          expect((await asApp('GET', `/webhooks/${id}`)).body).toMatchObject(first)
          const changed = await asApp('PATCH', `/webhooks/${id}`, second)
          expect(changed).toMatchObject({ status: 200, body: { ...first, ...second } })
          expect((await asApp('GET', `/webhooks/${id}`)).body).toMatchObject({ ...first, ...second })
        })
      }),
      { numRuns: 60 },
    )
  })
})
