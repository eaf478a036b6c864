import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ApiRig } from '../../test/support/api-rig.ts'
import type { RigTenant } from '../../test/support/api-rig.ts'
import { systemClock } from '../core/clock.ts'
import { GatewayError } from '../core/errors.ts'
import { toAppId, toCallId } from '../core/ids.ts'
import { silentLogger } from '../core/logger.ts'
import type { CommandFrame } from '../streams/commands.ts'
import { StreamCommands } from './stream-commands.ts'

let rig: ApiRig
let tenant: RigTenant
let other: RigTenant
let commands: StreamCommands

beforeAll(async () => {
  rig = await ApiRig.start()
  tenant = await rig.addTenant()
  other = await rig.addTenant()
  commands = new StreamCommands({ calls: rig.control, clock: systemClock, log: silentLogger })
  await rig.observe(tenant, callOf('live', 'active'))
  await rig.observe(tenant, callOf('ended', 'active'))
  await rig.observe(tenant, callOf('ended', 'released'))
  await rig.observe(other, callOf('foreign', 'active'))
})
afterAll(() => rig.stop())
beforeEach(() => {
  rig.provider.script.execute = () => Promise.resolve(undefined)
})

const callOf = (id: string, state: 'active' | 'released') => ({
  callId: toCallId(id),
  state,
  direction: 'incoming' as const,
  remoteNumber: '+15129104114',
  trackingId: `track-${id}`,
  startedAt: 1_700_000_000_000,
})

/** The parts of an answer that must be the same whichever way it was asked for. */
type Answer = { status: number; body: unknown; isReplay: boolean; retryAfterSeconds: number | undefined }

async function overHttp(method: string, suffix: string, body?: unknown, key?: string): Promise<Answer> {
  const answer = await rig.request(method, `/apps/${tenant.appId}${suffix}`, {
    key: tenant.key,
    ...(body !== undefined && { body }),
    ...(key !== undefined && { headers: { 'idempotency-key': key } }),
  })
  const retryAfter = answer.headers.get('retry-after')
  return {
    status: answer.status,
    body: withRequestId(answer.body),
    isReplay: answer.headers.get('idempotent-replayed') === 'true',
    retryAfterSeconds: retryAfter === null ? undefined : Number(retryAfter),
  }
}

async function overStream(op: CommandFrame['op'], fields: Readonly<Record<string, unknown>>): Promise<Answer> {
  const command: CommandFrame = { ...fields, op, request_id: 'r1' }
  const reply = await commands.run({ appId: toAppId(tenant.appId), keyId: 'key-1' }, command)
  return {
    status: reply.status,
    body: reply.problem ?? reply.body,
    isReplay: reply.isReplay === true,
    retryAfterSeconds: reply.retryAfterMs === undefined ? undefined : reply.retryAfterMs / 1000,
  }
}

const withRequestId = (body: unknown): unknown =>
  typeof body === 'object' && body !== null && 'request_id' in body ? { ...body, request_id: 'r1' } : body

describe('a command over a stream is answered as over HTTP', () => {
  it.each([
    ['one that the network takes', 'hold', 'live', 204],
    ['one that the state does not allow', 'resume', 'live', 409],
    ['one on a call that has ended', 'end', 'ended', 404],
    ['one on a call that never was', 'end', 'nothing', 404],
    ['one on a call of another app', 'end', 'foreign', 404],
  ] as const)('%s', async (_, op, callId, status) => {
    const method = op === 'end' ? 'DELETE' : 'PUT'
    const expected = await overHttp(method, `/calls/${callId}${op === 'end' ? '' : `/${op}`}`)
    const before = rig.provider.commands.length
    expect(await overStream(op, { call_id: callId })).toEqual(expected)
    expect(expected.status).toBe(status)
    expect(rig.provider.commands.length - before).toBe(status === 204 ? 1 : 0)
  })

  it.each([
    ['provider_refused', 502, undefined],
    ['provider_unavailable', 503, 7],
    ['too_many_requests', 429, 3],
    ['internal', 500, undefined],
  ] as const)('when the network says %s', async (code, status, retryAfterSeconds) => {
    const options = { fields: { provider_code: '6006' }, ...(retryAfterSeconds !== undefined && { retryAfterSeconds }) }
    rig.provider.script.execute = () => Promise.reject(new GatewayError(code, options))
    const expected = await overHttp('PUT', '/calls/live/hold')
    expect(await overStream('hold', { call_id: 'live' })).toEqual(expected)
    expect(expected).toMatchObject({ status, retryAfterSeconds })
  })
})

const body = () => ({ subscriber_id: tenant.subscriberId, subscriber_number: '+15550000001', remote_number: '1002' })

describe('a call placed over a stream', () => {
  it('is answered as over HTTP, and not dialled twice with one key, whichever way it was asked for first', async () => {
    rig.provider.script.execute = () => Promise.resolve({ callId: toCallId('dialled-1'), trackingId: 'track' })
    const placed = await overHttp('POST', '/calls', body(), 'key-1')
    const before = rig.provider.sent('dial').length
    expect(await overStream('dial', { idempotency_key: 'key-1', ...body() })).toEqual({ ...placed, isReplay: true })
    expect(placed).toMatchObject({ status: 201, body: { call_id: 'dialled-1' } })
    expect(rig.provider.sent('dial').length).toBe(before)
    const first = await overStream('dial', { idempotency_key: 'key-2', ...body() })
    expect(first).toMatchObject({ status: 201, isReplay: false })
    expect(await overHttp('POST', '/calls', body(), 'key-2')).toEqual({ ...first, isReplay: true })
    expect(rig.provider.sent('dial').length).toBe(before + 1)
    const mismatch = { ...body(), remote_number: '1003' }
    const refused = await overHttp('POST', '/calls', mismatch, 'key-2')
    expect(await overStream('dial', { idempotency_key: 'key-2', ...mismatch })).toEqual(refused)
    expect(refused.status).toBe(422)
  })

  it.each([
    ['a number that is not the assigned one', { subscriber_number: '+15559999999' }],
    ['a number that cannot be dialled', { remote_number: 'x' }],
    ['an unknown field', { colour: 'red' }],
    ['nobody to call', { remote_number: undefined }],
    ['another app’s subscriber', { subscriber_id: 'user2@example.net' }],
  ])('with %s is refused with the same problem', async (_, change) => {
    const expected = await overHttp('POST', '/calls', { ...body(), ...change })
    expect(await overStream('dial', { ...JSON.parse(JSON.stringify({ ...body(), ...change })) })).toEqual(expected)
    expect([400, 404]).toContain(expected.status)
  })

  it('with an unusable key is refused, naming the field', async () => {
    expect(await overStream('dial', { idempotency_key: '', ...body() })).toMatchObject({
      status: 400,
      body: {
        code: 'invalid_request',
        request_id: 'r1',
        errors: [{ field: 'idempotency_key', message: 'must have 1 to 255 printable ASCII characters' }],
      },
    })
  })
})

it('a command that says too little or too much is a 400 that names the field', async () => {
  expect(await overStream('answer', {})).toMatchObject({
    status: 400,
    body: { code: 'invalid_request', errors: [{ field: 'call_id', message: 'is required' }] },
  })
  expect(await overStream('answer', { call_id: 'live', force: true })).toMatchObject({
    status: 400,
    body: { errors: [{ field: 'force', message: 'is not a known field' }] },
  })
})
