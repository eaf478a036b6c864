import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ApiRig, COMMAND_TIMEOUT_MS } from '../../test/support/api-rig.ts'
import type { RigTenant } from '../../test/support/api-rig.ts'
import type { Call } from '../core/call.ts'
import { GatewayError } from '../core/errors.ts'
import type { ErrorCode } from '../core/errors.ts'
import { toAppId, toCallId, toSubscriberId } from '../core/ids.ts'

/** The command's deadline and the grace after it, in which the first request may still be at work. */
const IN_PROGRESS_MS = COMMAND_TIMEOUT_MS + 5_000

let rig: ApiRig
let tenant: RigTenant

beforeAll(async () => {
  rig = await ApiRig.start()
})
afterAll(() => rig.stop())
beforeEach(async () => {
  tenant = await rig.addTenant()
  rig.provider.commands.length = 0
  rig.provider.script.execute = () => Promise.resolve({ callId: toCallId('callhalf-1:0'), trackingId: 'track-1' })
})

const place = (key: string, remoteNumber = '+15129104114') =>
  rig.request('POST', `/apps/${tenant.appId}/calls`, {
    key: tenant.key,
    headers: { 'idempotency-key': key },
    body: {
      subscriber_id: tenant.subscriberId,
      subscriber_number: tenantNumber(),
      remote_number: remoteNumber,
    },
  })

const tenantNumber = (): string => {
  const [assignment] = rig.directory.assignmentsOfApp(toAppId(tenant.appId))
  return assignment?.subscriberNumber ?? ''
}

const dials = (): number => rig.provider.sent('dial').length

const failWith = (code: ErrorCode, fields: Readonly<Record<string, unknown>> = {}) => {
  rig.provider.script.execute = () => Promise.reject(new GatewayError(code, { fields }))
}

/** As if the process had been killed between the network's work and its answer. */
const crashWhileDialling = async (key: string): Promise<number> => {
  failWith('provider_unavailable')
  expect(await place(key)).toMatchObject({ status: 503, body: { code: 'provider_unavailable' } })
  expect(dials()).toBe(1)
  return rig.now
}

const outgoing = (id: string, startedAt: number, more: Partial<Call> = {}): Call => ({
  callId: toCallId(id),
  state: 'alerting',
  direction: 'outgoing',
  remoteNumber: '+15129104114',
  trackingId: `track ${id}`,
  startedAt,
  ...more,
})

describe('a key used many times', () => {
  it('20 requests at once dial once: one is answered, the others are told to wait', async () => {
    const { promise: answer, resolve } = Promise.withResolvers<object>()
    rig.provider.script.execute = () => answer
    const requests = Array.from({ length: 20 }, () => place('storm'))
    const rejected = await Promise.race(requests)
    expect(rejected).toMatchObject({ status: 409, body: { code: 'idempotency_in_progress' } })
    expect(Number(rejected.headers.get('retry-after'))).toBeGreaterThan(0)
    resolve({ callId: toCallId('callhalf-7:0'), trackingId: 'track-7' })
    const statuses = (await Promise.all(requests)).map(({ status }) => status)
    expect(statuses.toSorted((a, b) => a - b)).toEqual([201, ...Array.from({ length: 19 }, () => 409)])
    expect(dials()).toBe(1)

    const retries = await Promise.all(Array.from({ length: 20 }, () => place('storm')))
    for (const retry of retries) {
      expect(retry).toMatchObject({ status: 201, body: { call_id: 'callhalf-7:0' } })
      expect(retry.headers.get('idempotent-replayed')).toBe('true')
    }
    expect(dials()).toBe(1)
  })

  it.each<readonly [ErrorCode, number, object]>([
    ['provider_refused', 502, {}],
    ['provider_unauthorized', 502, {}],
    ['subscriber_not_found', 404, {}],
    ['provider_unavailable', 503, { sent: false }],
  ])('after %s the call was surely not placed, so a retry dials', async (code, status, fields) => {
    failWith(code, { ...fields })
    expect(await place('retry me')).toMatchObject({ status, body: { code } })
    rig.provider.script.execute = () => Promise.resolve({ callId: toCallId('callhalf-2:0'), trackingId: 'track-2' })
    const retry = await place('retry me')
    expect(retry).toMatchObject({ status: 201, body: { call_id: 'callhalf-2:0' } })
    expect(retry.headers.get('idempotent-replayed')).toBeNull()
    expect(dials()).toBe(2)
  })

  it('while the first may be at work, a retry is a 409 and dials nothing', async () => {
    await crashWhileDialling('early')
    rig.advance(IN_PROGRESS_MS - 1_000)
    expect(await place('early')).toMatchObject({ status: 409, body: { code: 'idempotency_in_progress' } })
    expect(dials()).toBe(1)
  })
})

describe('a request that was interrupted', () => {
  it('is answered with the call that it made, once that is reported', async () => {
    const startedAt = await crashWhileDialling('reported')
    await rig.observe(tenant, outgoing('callhalf-3:0', startedAt + 50))
    rig.advance(IN_PROGRESS_MS)
    const retry = await place('reported')
    expect(retry).toMatchObject({ status: 201, body: { call_id: 'callhalf-3:0', remote_number: '+15129104114' } })
    expect(retry.headers.get('idempotent-replayed')).toBe('true')
    expect(dials()).toBe(1)
    expect(rig.provider.sent('list').length).toBe(0)

    await rig.observe(tenant, outgoing('callhalf-3:0', startedAt + 50, { state: 'released' }))
    expect(await place('reported')).toMatchObject({ status: 201, body: { call_id: 'callhalf-3:0' } })
  })

  it('is answered with the call that the network has, when our state lacks it', async () => {
    const startedAt = await crashWhileDialling('listed')
    rig.advance(IN_PROGRESS_MS)
    rig.provider.script.execute = () => Promise.resolve([outgoing('callhalf-4:0', startedAt)])
    expect(await place('listed')).toMatchObject({ status: 201, body: { call_id: 'callhalf-4:0' } })
    expect(dials()).toBe(1)
  })

  it('with no such call anywhere is a 409 for ever, and is never dialled again', async () => {
    const startedAt = await crashWhileDialling('lost')
    await rig.observe(tenant, outgoing('somebody else', startedAt + 50, { remoteNumber: '+15129104115' }))
    rig.advance(IN_PROGRESS_MS)
    rig.provider.script.execute = () => Promise.resolve([])
    for (const attempt of [1, 2, 3]) {
      const retry = await place('lost')
      expect([attempt, retry.status, retry.body]).toMatchObject([
        attempt,
        409,
        { code: 'idempotency_outcome_unknown', detail: expect.stringContaining('new key') },
      ])
    }
    expect(dials()).toBe(1)
    rig.provider.script.execute = () => Promise.resolve({ callId: toCallId('callhalf-5:0'), trackingId: 'track-5' })
    expect((await place('a new key')).status).toBe(201)
    expect(dials()).toBe(2)
  })

  it('while the network cannot be asked stays open', async () => {
    await crashWhileDialling('down')
    rig.advance(IN_PROGRESS_MS)
    expect(await place('down')).toMatchObject({ status: 503, body: { code: 'provider_unavailable' } })
    rig.provider.script.execute = () => Promise.resolve([])
    expect(await place('down')).toMatchObject({ status: 409, body: { code: 'idempotency_outcome_unknown' } })
    expect(dials()).toBe(1)
  })

  it('by a timeout after it was sent is not dialled again either', async () => {
    rig.provider.script.execute = (_command, signal) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    expect((await place('slow')).status).toBe(503)
    rig.advance(IN_PROGRESS_MS)
    rig.provider.script.execute = () => Promise.resolve([])
    expect((await place('slow')).status).toBe(409)
    expect(dials()).toBe(1)
  })

  it('is resolved in the same way when the claim was left by a killed process', async () => {
    const request = JSON.stringify({
      operation: 'dial',
      networkId: tenant.networkId,
      subscriberId: toSubscriberId(tenant.subscriberId),
      remoteNumber: '+15129104114',
    })
    expect(await rig.idempotency.claim(toAppId(tenant.appId), 'killed', request)).toEqual({ kind: 'first' })
    await rig.observe(tenant, outgoing('callhalf-6:0', rig.now))
    rig.advance(IN_PROGRESS_MS)
    expect(await place('killed')).toMatchObject({ status: 201, body: { call_id: 'callhalf-6:0' } })
    expect(dials()).toBe(0)
  })
})
