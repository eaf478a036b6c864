import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ApiRig } from '../../test/support/api-rig.ts'
import type { RigTenant } from '../../test/support/api-rig.ts'
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
