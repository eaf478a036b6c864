import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { ClientState, ConnectOptions, StreamClient } from '../../src/client/client.ts'
import { connect } from '../../src/client/client.ts'
import { addTenant, startInstallation, type Installation, type Tenant } from '../support/installation.ts'
import { PlainProxy } from '../support/plain-proxy.ts'
import { until } from '../support/until.ts'

const ANN = { id: 'ann@example.net', number: '+15550100001', name: 'Ann Albers' }
const BOB = { id: 'bob@example.net', number: '+15550100002', name: 'Bob Brandt' }
const CALLER = '+15550199001'
const DIAL = { subscriber_id: ANN.id, subscriber_number: ANN.number, remote_number: CALLER }

let installation: Installation
let tenant: Tenant
const cleanups: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  installation = await startInstallation()
  tenant = await addTenant(installation, [ANN, BOB])
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})
afterAll(async () => {
  await installation.stop()
})

async function open(options: Partial<ConnectOptions> = {}) {
  const states: ClientState[] = []
  const events: string[] = []
  const client = connect({
    url: installation.gateway.url,
    appId: tenant.appId,
    ...(options.getToken === undefined && { apiKey: tenant.apiKey }),
    onState: (state) => states.push(state),
    onEvent: (event) => events.push('call_id' in event.data ? `${event.event} ${event.data.call_id}` : event.event),
    ...options,
    limits: { backoffMinMs: 10, backoffMaxMs: 50, ...options.limits },
  })
  cleanups.push(() => client.close())
  await until('live', () => (client.state.name === 'live' ? true : undefined))
  return { client, states, events }
}

async function ring(user = ANN): Promise<string> {
  const path = `/users/${encodeURIComponent(user.id)}/incoming-calls`
  const { body } = await installation.control.call('POST', path, { from: CALLER })
  return (body as { call_id: string }).call_id
}

const stateBecomes = (client: StreamClient, id: string, state: string | undefined) =>
  until(`${id} to be ${state}`, () =>
    [...client.calls().values()].find(({ call_id }) => call_id === id)?.state === state ? true : undefined,
  )

async function getToken(): Promise<string> {
  const { body } = await tenant.client.call('POST', tenant.path('/stream-tokens'))
  return (body as { token: string }).token
}

async function proxied(isBuffering: boolean): Promise<PlainProxy> {
  const proxy = await new PlainProxy(installation.gateway.url, { isBuffering }).start()
  cleanups.push(() => proxy.stop())
  return proxy
}

describe.each(['sse', 'poll'] as const)('over %s', (transport) => {
  test('a call is answered, held, resumed and ended, and the mirror follows', async () => {
    const { client } = await open({ transports: [transport] })
    expect(client.state).toEqual({ name: 'live', recovered: false, transport })
    const id = await ring()
    await stateBecomes(client, id, 'ringing')
    await client.answer(id)
    await stateBecomes(client, id, 'active')
    await client.hold(id)
    await stateBecomes(client, id, 'held')
    await client.resume(id)
    await stateBecomes(client, id, 'active')
    await client.end(id)
    await stateBecomes(client, id, undefined)
  })

  test('commands are answered as over a WebSocket', async () => {
    const { client } = await open({ transports: [transport] })
    await expect(client.hold('callhalf-unknown:0')).rejects.toMatchObject({ status: 404, code: 'call_not_found' })
    const { call, isReplay } = await client.dial(DIAL, { idempotencyKey: `key of ${transport}` })
    expect(isReplay).toBe(false)
    expect(await client.dial(DIAL, { idempotencyKey: `key of ${transport}` })).toMatchObject({
      call: { call_id: call.call_id },
      isReplay: true,
    })
    await stateBecomes(client, call.call_id, 'initiating')
    await client.end(call.call_id)
    await stateBecomes(client, call.call_id, undefined)
  })

  test('the filter is changed while it is connected, and nothing that the new one wants is missed', async () => {
    const { client, events } = await open({ transports: [transport], filter: { subscriber_ids: [ANN.id] } })
    const ofBob = await ring(BOB)
    const ofAnn = await ring(ANN)
    await stateBecomes(client, ofAnn, 'ringing')
    expect(client.calls().size).toBe(1)
    await client.setFilter({ subscriber_ids: [BOB.id] })
    expect([...client.calls().values()].map(({ call_id }) => call_id)).toEqual([ofBob])
    await client.end(ofBob)
    await stateBecomes(client, ofBob, undefined)
    expect(events).toEqual([`call.ringing ${ofAnn}`, `call.released ${ofBob}`])
    await client.end(ofAnn)
  })

  test('a browser’s tokens are enough to read, and commands are refused with what to do', async () => {
    const { client } = await open({ transports: [transport], getToken })
    const id = await ring()
    await stateBecomes(client, id, 'ringing')
    await expect(client.answer(id)).rejects.toMatchObject({ status: 403, code: 'needs_websocket' })
    await tenant.client.call('DELETE', tenant.path(`/calls/${encodeURIComponent(id)}`))
    await stateBecomes(client, id, undefined)
  })

  test('a key that counts for nothing ends the client', async () => {
    const client = connect({
      url: installation.gateway.url,
      appId: tenant.appId,
      apiKey: 'nobody',
      transports: [transport],
    })
    cleanups.push(() => client.close())
    expect(await client.closed).toMatchObject({ ending: { name: 'refused', action: 'fix' } })
  })
})

test('behind a proxy that knows no upgrades the stream comes as server-sent events', async () => {
  const proxy = await proxied(false)
  const { client } = await open({ url: proxy.url })
  expect(client.state).toMatchObject({ name: 'live', transport: 'sse' })
  const id = await ring()
  await stateBecomes(client, id, 'ringing')
  await client.end(id)
  await stateBecomes(client, id, undefined)
})

test.each([
  ['a server', {}],
  ['a browser', { getToken }],
])('behind one that also collects answers, the events come to %s by long poll', async (_, credentials) => {
  const proxy = await proxied(true)
  const { client } = await open({ url: proxy.url, ...credentials, limits: { openTimeoutMs: 500 } })
  expect(client.state).toMatchObject({ name: 'live', transport: 'poll' })
  const id = await ring()
  await stateBecomes(client, id, 'ringing')
  await tenant.client.call('DELETE', tenant.path(`/calls/${encodeURIComponent(id)}`))
  await stateBecomes(client, id, undefined)
  expect(proxy.requests).toContain(`GET /apps/${tenant.appId}/events`)
})
