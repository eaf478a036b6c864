import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ADMIN_KEY, ApiRig } from '../../test/support/api-rig.ts'
import type { RigTenant } from '../../test/support/api-rig.ts'
import { toCallId } from '../core/ids.ts'

let rig: ApiRig
let tenant: RigTenant

beforeAll(async () => {
  rig = await ApiRig.start()
  tenant = await rig.addTenant()
  rig.provider.script.execute = () => Promise.resolve({ callId: toCallId('callhalf-1:0'), trackingId: 'track-1' })
})
afterAll(() => rig.stop())

/** Text that has broken servers before, and any other. */
const text = fc.oneof(
  { weight: 3, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) },
  fc.constantFrom(
    '\0',
    '%00',
    '..',
    '__proto__',
    'constructor',
    'ü',
    '\ud800',
    "' OR 1=1 --",
    '{{7*7}}',
    'a\r\nx: y',
    '9'.repeat(400),
  ),
)
const json = fc.jsonValue({ maxDepth: 4 })

/** Every operation, its path parameters replaced by the tenant's ids, by well-formed or by wild ones. */
const pathOf = (pattern: string) => {
  const known: Readonly<Record<string, string>> = {
    app_id: tenant.appId,
    network_id: tenant.networkId,
    subscriber_id: tenant.subscriberId,
  }
  const segments = pattern.split('/').map((segment) => {
    if (!segment.startsWith(':')) return fc.constant(segment)
    const mine = known[segment.slice(1)]
    const wild = text.map((value) => encodeURIComponent(value.toWellFormed()))
    return mine === undefined ? wild : fc.oneof({ weight: 2, arbitrary: fc.constant(encodeURIComponent(mine)) }, wild)
  })
  return fc.tuple(...segments).map((parts) => parts.join('/'))
}
/** Deletions of the tenant itself would end the test's own premises. */
const isHarmless = (method: string, pattern: string) =>
  !(method === 'DELETE' && /:(app_id|network_id|subscriber_id)$/.test(pattern)) && pattern !== '/apps/:app_id/stream'

const operations = () =>
  rig.app.routes
    .filter(({ method, path }) => method !== 'ALL' && isHarmless(method, path))
    .map(({ method, path }) => ({ method, path }))

const bodies = fc.oneof(
  json.map((value) => JSON.stringify(value)),
  text.map((value) => value.toWellFormed()),
  fc
    .record(
      {
        name: fc.oneof(text, json),
        subscriber_id: fc.oneof(fc.constant('user1@example.net'), text, json),
        subscriber_number: fc.oneof(fc.constant('+15550000001'), text, json),
        remote_number: fc.oneof(fc.constant('+15129104114'), fc.constant('1002'), text, json),
        network_id: fc.oneof(text, json),
        url: fc.oneof(fc.webUrl({ validSchemes: ['https'] }), text),
        adapter: fc.oneof(fc.constant('scripted'), text),
        config: fc.oneof(json, fc.dictionary(text, json)),
        event_types: json,
      },
      { requiredKeys: [] },
    )
    .map((value) => JSON.stringify(value)),
)
const headerText = text.map((value) => value.replaceAll(/[^\x20-\x7e\x80-\xff]/g, '').trim())
const headers = fc.record(
  {
    'content-type': fc.oneof(fc.constant('application/json'), headerText),
    'idempotency-key': headerText,
    'x-request-id': headerText,
    'last-event-id': headerText,
    accept: headerText,
  },
  { requiredKeys: [] },
)

describe('whatever is sent', () => {
  it('every operation answers as documented: never a 500, always a problem document', { timeout: 60_000 }, async () => {
    const request = fc.constantFrom(...operations()).chain(({ method, path }) =>
      fc.record({
        method: fc.constant(method),
        path: pathOf(path),
        query: fc.option(fc.webQueryParameters(), { nil: undefined }),
        body: fc.option(bodies, { nil: undefined }),
        headers,
        key: fc.constantFrom(ADMIN_KEY, tenant.key, 'wrong-key', undefined),
      }),
    )
    await fc.assert(
      fc.asyncProperty(request, async ({ method, path, query, body, headers: sent, key }) => {
        const { status } = await rig.request(method, query === undefined ? path : `${path}?${query}`, {
          headers: sent,
          ...(key !== undefined && { key }),
          ...(method !== 'GET' && body !== undefined && { body }),
        })
        expect(status).toBeLessThan(500)
      }),
      { numRuns: 600 },
    )
  })

  it('any path and method is a 404 or a 405 with the methods it has', async () => {
    const method = fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'HEAD')
    const segment = fc.oneof(
      fc.constantFrom('apps', 'admin', 'calls', 'docs', 'openapi.json', 'networks', 'subscribers', ''),
      text.map((value) => encodeURIComponent(value.toWellFormed())),
    )
    const path = fc.array(segment, { maxLength: 6 }).map((segments) => `/${segments.join('/')}`)
    await fc.assert(
      fc.asyncProperty(method, path, async (name, target) => {
        const response = await rig.app.request(target, { method: name })
        const { status } = response
        expect([200, 400, 401, 404, 405, 415]).toContain(status)
        const hasAllow = /^[A-Z]+(, [A-Z]+)*$/.test(response.headers.get('allow') ?? '')
        const isProblem = response.headers.get('content-type') === 'application/problem+json'
        expect([status, hasAllow, isProblem]).toEqual([status, status === 405, status >= 400])
      }),
      { numRuns: 500 },
    )
  })

  it('without a key nothing changes', async () => {
    const before = await Promise.all([rig.networks.list(), rig.apps.list()])
    const commands = rig.provider.commands.length
    const request = fc
      .constantFrom(...operations().filter(({ method }) => method !== 'GET'))
      .chain(({ method, path }) => fc.record({ method: fc.constant(method), path: pathOf(path), body: bodies }))
    await fc.assert(
      fc.asyncProperty(request, async ({ method, path, body }) => {
        // Empty and dot segments lead to other routes or none.
        expect([400, 401, 404, 405]).toContain((await rig.request(method, path, { body })).status)
      }),
      { numRuns: 200 },
    )
    expect(await Promise.all([rig.networks.list(), rig.apps.list()])).toEqual(before)
    expect(rig.provider.commands.length).toBe(commands)
  })
})

describe('routing', () => {
  it('an unknown route is a 404', async () => {
    expect(await rig.request('GET', '/nothing')).toMatchObject({ status: 404, body: { code: 'route_not_found' } })
    expect((await rig.request('GET', '/apps/x/calls/')).status).toBe(404)
  })

  it('a method that a route lacks is a 405 with Allow, whoever asks', async () => {
    const answer = await rig.request('POST', `/apps/${tenant.appId}/calls/callhalf-1:0`)
    expect(answer).toMatchObject({
      status: 405,
      body: { code: 'method_not_allowed', allowed: ['HEAD', 'GET', 'DELETE'] },
    })
    expect(answer.headers.get('allow')).toBe('HEAD, GET, DELETE')
  })

  it('HEAD answers like GET without a body', async () => {
    const response = await rig.app.request('/healthz', { method: 'HEAD' })
    expect([response.status, await response.text()]).toEqual([200, ''])
  })

  it('every answer has a request id and security headers; a sane id is kept, another replaced', async () => {
    const kept = await rig.request('GET', '/healthz', { headers: { 'x-request-id': 'trace-1:2.3_4' } })
    expect(kept.headers.get('x-request-id')).toBe('trace-1:2.3_4')
    const replaced = await rig.request('GET', '/nothing', { headers: { 'x-request-id': 'two words' } })
    expect(replaced.headers.get('x-request-id')).toMatch(/^[\da-f-]{36}$/)
    expect(replaced.body).toMatchObject({ request_id: replaced.headers.get('x-request-id') })
    for (const { headers: sent } of [kept, replaced]) {
      expect(sent.get('x-content-type-options')).toBe('nosniff')
      expect(sent.get('cache-control')).toBe('no-store')
      expect(sent.get('content-security-policy')).toBe("default-src 'none'; frame-ancestors 'none'")
      expect(sent.get('x-frame-options')).toBe('DENY')
    }
  })

  it('a failure inside is a 500 that shows nothing of it', async () => {
    rig.provider.script.execute = () => Promise.reject(new Error('SELECT password FROM networks'))
    const answer = await rig.app.request(`/apps/${tenant.appId}/calls`, {
      method: 'POST',
      headers: { authorization: `Bearer ${tenant.key}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        subscriber_id: 'user1@example.net',
        subscriber_number: '+15550000001',
        remote_number: '1002',
      }),
    })
    expect(answer.status).toBe(500)
    const problem: unknown = await answer.json()
    expect(problem).toEqual({
      type: 'urn:callhalf:problem:internal',
      title: 'Something went wrong',
      status: 500,
      code: 'internal',
      request_id: answer.headers.get('x-request-id'),
    })
  })
})
