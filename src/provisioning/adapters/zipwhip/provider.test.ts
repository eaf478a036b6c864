import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  describeNumberProvider,
  type FarFault,
  type ProviderUnderTest,
} from '../../../../test/conformance/number-provider.ts'
import {
  startZipwhipServer,
  type ZipwhipMischief,
  type ZipwhipServer,
} from '../../../../test/support/zipwhip-server.ts'
import { systemClock } from '../../../core/clock.ts'
import type { ProviderAction, ProviderContext, ProviderRequest } from '../../model/provider.ts'
import type { ZipwhipMethod } from './client.ts'
import { ZIPWHIP_CAPABILITIES, ZipwhipProvider } from './provider.ts'

const KEY = 'lgaMfmMCJ7I9Euz7kYpIDuSF'
const OTHER_KEY = 'XgaMfmMCJ7I9Euz7kYpIDuSF'
const KEYS = { [KEY]: 'acme', [OTHER_KEY]: 'globex' }

const FAULTS: Readonly<Record<FarFault, ZipwhipMischief>> = {
  lose_request: 'lose_request',
  lose_answer: 'lose_answer',
  throttle: { status: 429, headers: { 'retry-after': '2' }, body: '{"status_code":"429","error":"true"}' },
  refuse: { status: 403, body: '{"status_code":"403","status_desc":"Key not allowed for this call","error":"true"}' },
}

for (const method of ['GET', 'POST'] as const) {
  const start = async (): Promise<ProviderUnderTest> => {
    const server = await startZipwhipServer({ keys: KEYS, activationMs: 50 })
    const provider = createProvider(server.baseUrl, { method })
    await provider.start()
    let next = 0
    return {
      provider,
      productId: 'prd_text-enablement',
      beginning: 'enable',
      secrets: [KEY, 'abcabc123'],
      freshNumber: () => `+1206555${String((next += 1) + 2_000)}`,
      misbehave: (fault, requests) => Promise.resolve(server.misbehave(FAULTS[fault], requests)),
      behave: () => Promise.resolve(server.behave()),
      countLines: (e164) => Promise.resolve(server.lines.has(e164) ? 1 : 0),
      externalIdOf: (e164) => Promise.resolve(server.lines.get(e164)?.vendorId),
      stop: async () => {
        await provider.stop()
        await server.stop()
      },
    }
  }
  describeNumberProvider({ name: `zipwhip by ${method}`, capabilities: ZIPWHIP_CAPABILITIES, start })
}

describe('the zipwhip adapter', () => {
  let server: ZipwhipServer
  let provider: ZipwhipProvider
  let recorded: string[] = []
  beforeAll(async () => {
    server = await startZipwhipServer({ keys: KEYS, activationMs: 60_000 })
    provider = createProvider(server.baseUrl)
    await provider.start()
  })
  afterEach(() => {
    server.behave()
    recorded = []
  })
  afterAll(async () => {
    await provider.stop()
    await server.stop()
  })

  const context = (): ProviderContext => ({
    attempt: 1,
    signal: AbortSignal.timeout(5_000),
    record: ({ content }) => {
      recorded.push(content)
      return Promise.resolve()
    },
  })
  const execute = (request: ProviderRequest) => provider.execute(request, context())

  test('sends what the document says, under the names that it has', async () => {
    await execute(requestOf('enable', '+12065551201', { externalId: 'Acme_0123456' }))
    await execute(requestOf('change', '+12065551201', { externalId: 'Acme_7' }))
    await execute(requestOf('end', '+12065551201', { reason: 'Customer cancelled service.' }))
    expect(
      server.requests.slice(-3).map((each) => ({ ...each, parameters: Object.fromEntries(each.parameters) })),
    ).toEqual([
      {
        method: 'GET',
        path: '/api/20140925/provision/add',
        parameters: { api_key: KEY, phone_number: '+12065551201', vendor_customer_id: 'Acme_0123456' },
      },
      {
        method: 'GET',
        path: '/api/20140925/provision/update',
        parameters: { api_key: KEY, phone_number: '+12065551201', vendor_customer_id: 'Acme_7' },
      },
      {
        method: 'GET',
        path: '/api/20140925/provision/delete',
        parameters: { api_key: KEY, phone_number: '+12065551201', reason: 'Customer cancelled service.' },
      },
    ])
  })

  test('records the call without the key, and the answer without the password', async () => {
    await execute(requestOf('enable', '+12065551202'))
    expect(recorded[0]).toBe(`GET ${server.baseUrl.href}/provision/add?api_key=[api_key]&phone_number=%2B12065551202`)
    expect(recorded[1]).toContain('"status_code":"100"')
    expect(recorded[1]).toContain('"password":"[password]"')
  })

  test('waits until the account is activated', async () => {
    const request = requestOf('enable', '+12065551203')
    const taken = await execute(request)
    expect(taken).toMatchObject({ kind: 'accepted', ref: expect.any(String), pollAfterMs: 20 })
    expect(await provider.poll('t-1', request, context())).toMatchObject({ kind: 'accepted', ref: 't-1' })
    expect(await provider.find(request, context())).toMatchObject({ kind: 'accepted' })
    server.answerWith(answerOf({ status_code: 100, account_status: 'Account Activated' }))
    expect(await provider.poll('t-1', request, context())).toEqual({
      kind: 'answered',
      ref: 't-1',
      lines: [{ e164: '+12065551203', kind: 'done', providerRef: '+12065551203' }],
    })
    server.answerWith(answerOf({ status_code: 100, account_status: 'Unknown' }))
    expect(await provider.poll('t-1', request, context())).toMatchObject({ kind: 'retry' })
  })

  test.each([
    ['+12065550188', 'mobile_number', 'mobile'],
    ['+12065551204', 'provisioned_by_another', 'unknown'],
    ['+12065551205', 'provisioned_by_you', 'unknown'],
  ])('%s is judged as %s, and an order of it is rejected as that', async (e164, reason, lineType) => {
    server.lines.set('+12065551204', { org: 'globex', vendorId: undefined, activeAt: 0 })
    server.lines.set('+12065551205', { org: 'acme', vendorId: undefined, activeAt: 0 })
    expect(await provider.judgeEligibility(e164, context())).toMatchObject({ isEligible: false, reason, lineType })
    expect(await execute(requestOf('enable', e164))).toMatchObject({
      kind: 'answered',
      lines: [{ e164, kind: 'rejected', code: reason, message: expect.stringContaining('Ineligible') }],
    })
  })

  test.each([
    [
      { status: 500, body: 'no JSON' },
      { kind: 'unknown', reason: 'http_500' },
    ],
    [
      { status: 502, body: '<html>' },
      { kind: 'unknown', reason: 'http_502' },
    ],
    [
      { status: 200, body: '<html>' },
      { kind: 'unknown', reason: 'http_200' },
    ],
    [
      { status: 200, body: '{"status_code":null}' },
      { kind: 'unknown', reason: 'http_200' },
    ],
    [
      { status: 200, body: '{"status_code":"-1","error":"false"}' },
      { kind: 'unknown', reason: 'zipwhip_-1' },
    ],
    [
      { status: 200, body: 'x'.repeat(70_000) },
      { kind: 'unknown', reason: 'answer_too_large' },
    ],
    [
      { status: 404, body: 'not here' },
      { kind: 'refused', code: 'http_404' },
    ],
    [
      { status: 302, headers: { location: 'http://127.0.0.1:1/' }, body: '' },
      { kind: 'refused', code: 'http_302' },
    ],
    [
      { status: 200, body: '{"status_code":"777","error":"true"}' },
      { kind: 'refused', code: 'zipwhip_777' },
    ],
    [
      { status: 200, body: '{"status_code":" 409 ","error":true}' },
      { kind: 'retry', reason: 'in_process' },
    ],
    [
      { status: 429, body: 'slow down' },
      { kind: 'retry', reason: 'throttled' },
    ],
    [
      { status: 200, body: '{"status_code":100,"error":false}' },
      { kind: 'accepted', ref: '+12065551206' },
    ],
    [{ status: 200, body: '{"status_code":100.0,"error":"FALSE","extra":[1]}' }, { kind: 'accepted' }],
  ])('an answer of %j comes to %j', async (answer, result) => {
    server.answerWith(answer)
    expect(await execute(requestOf('enable', '+12065551206'))).toMatchObject(result)
  })

  test('an answer that repeats the key has it nowhere', async () => {
    const body = JSON.stringify({ status_code: '401', status_desc: `bad key ${KEY}`, error: 'true' })
    server.answerWith({ status: 401, body })
    const result = await execute(requestOf('enable', '+12065551207'))
    expect(result).toEqual({ kind: 'refused', code: 'zipwhip_401', message: 'bad key [api_key]' })
    expect(recorded.join('\n')).not.toContain(KEY)
  })

  test.each(['begin', 'port', 'move', 'change'] as const)('cannot %s without sending anything', async (action) => {
    const sent = server.requests.length
    expect(await execute(requestOf(action, '+12065551208'))).toMatchObject({ kind: 'refused', code: 'not_supported' })
    expect(server.requests).toHaveLength(sent)
  })

  test('a judgement that cannot be had is an error without the key', async () => {
    server.answerWith({ status: 503, body: KEY })
    const failure = await provider.judgeEligibility('+12065551209', context()).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'provider_unavailable', fields: { reason: 'http_503' } })
    server.answerWith(answerOf({ status_code: 401, error: 'true' }))
    await expect(provider.judgeEligibility('+12065551209', context())).rejects.toMatchObject({
      code: 'provider_refused',
      fields: { reason: 'zipwhip_401' },
    })
  })

  test('what could not be sent was not carried out', async () => {
    const unreachable = createProvider(new URL(`http://127.0.0.1:${await unusedPort()}/api/20140925`))
    await unreachable.start()
    const result = await unreachable.execute(requestOf('enable', '+12065551210'), context())
    expect(result).toEqual({ kind: 'retry', reason: 'ECONNREFUSED' })
    await unreachable.stop()
  })

  test('a connection that breaks leaves the outcome unknown', async () => {
    const breaking = createServer((socket) => socket.once('data', () => socket.destroy()))
    await new Promise<void>((resolve) => breaking.listen(0, '127.0.0.1', resolve))
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it listens on a port
    const { port } = breaking.address() as AddressInfo
    const broken = createProvider(new URL(`http://127.0.0.1:${port}/api/20140925`))
    await broken.start()
    const result = await broken.execute(requestOf('enable', '+12065551211'), context())
    expect(result).toEqual({ kind: 'unknown', reason: 'UND_ERR_SOCKET' })
    await broken.stop()
    await new Promise((resolve) => breaking.close(resolve))
  })
})

function createProvider(baseUrl: URL, over: { readonly method?: ZipwhipMethod } = {}): ZipwhipProvider {
  return new ZipwhipProvider({ baseUrl, apiKey: KEY, pollMs: 20, clock: systemClock, ...over })
}

const requestOf = (
  action: ProviderAction,
  e164: string,
  attributes: Readonly<Record<string, unknown>> = {},
): ProviderRequest => ({
  action,
  productId: 'prd_text-enablement',
  idempotencyKey: 'ful_1',
  lines: [{ e164, attributes }],
})

const answerOf = (body: object) => ({ status: 200, body: JSON.stringify(body) })

async function unusedPort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it listens on a port
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
