import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Webhook } from 'standardwebhooks'
import { WebSocket } from 'undici'
import * as v from 'valibot'
import { CallEventPayloadSchema, SubscriberEventPayloadSchema } from '../../src/core/call-event.ts'
import { addTenant, startInstallation, type Installation, type Tenant } from '../support/installation.ts'
import { until } from '../support/until.ts'

const ANN = { id: 'ann@example.net', number: '+15550100001', name: 'Ann Albers' }
const CALLER = '+15550199001'

let installation: Installation
let tenant: Tenant
let receiver: Server
/** Everything that came by webhook with a signature that the reference library accepts, in order. */
const webhooks: Record<string, unknown>[] = []
const refused: string[] = []
/** The `data` of every event of the stream, in order. */
const streamed: Record<string, unknown>[] = []
let socket: WebSocket

beforeAll(async () => {
  installation = await startInstallation()
  tenant = await addTenant(installation, [ANN])
  let verifier: Webhook | undefined
  receiver = createServer((req, res) => {
    const chunks: Buffer[] = []
    req.on('data', (chunk: Buffer) => chunks.push(chunk))
    req.on('end', () => {
      const body = Buffer.concat(chunks).toString('utf8')
      try {
        verifier?.verify(body, req.headers as Record<string, string>)
        webhooks.push(JSON.parse(body) as Record<string, unknown>)
      } catch (error) {
        refused.push(String(error))
      }
      res.writeHead(200).end()
    })
  })
  receiver.listen(0, '127.0.0.1')
  await once(receiver, 'listening')
  const address = receiver.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const { body } = await tenant.client.call('POST', tenant.path('/webhooks'), { url: `http://127.0.0.1:${port}/` })
  verifier = new Webhook((body as { secret: string }).secret)
  socket = new WebSocket(`${installation.gateway.url.replace('http', 'ws')}${tenant.path('/stream')}`, {
    headers: { authorization: `Bearer ${tenant.apiKey}` },
  })
  let isSubscribed = false
  socket.addEventListener('open', () => socket.send('{"op":"subscribe","after":null}'))
  socket.addEventListener('message', ({ data }) => {
    const frame = JSON.parse(String(data)) as { type: string; data?: Record<string, unknown> }
    if (frame.type === 'subscribed') isSubscribed = true
    if (frame.type === 'event' && frame.data !== undefined) streamed.push(frame.data)
  })
  await until('the stream to be subscribed', () => (isSubscribed ? true : undefined))
})

afterAll(async () => {
  socket.close()
  receiver.close()
  receiver.closeAllConnections()
  await installation.stop()
})

const eventOf = (list: readonly Record<string, unknown>[], callId: string, sequence: string) =>
  list.find((event) => event['call_id'] === callId && event['sequence_number'] === sequence)

/** Waits for one event of a call by webhook and by stream; both must be the same. */
async function hearBoth(callId: string, sequence: string): Promise<Record<string, unknown>> {
  const byWebhook = await until(`webhook ${sequence} of ${callId}`, () => eventOf(webhooks, callId, sequence))
  const byStream = await until(`stream event ${sequence} of ${callId}`, () => eventOf(streamed, callId, sequence))
  expect(byStream).toEqual(byWebhook)
  expect(refused).toEqual([])
  return byWebhook
}

async function ring(): Promise<string> {
  const path = `/users/${encodeURIComponent(ANN.id)}/incoming-calls`
  const { body } = await installation.control.call('POST', path, { from: CALLER, name: 'Zoë Öst' })
  return (body as { call_id: string }).call_id
}

const simulatedState = async (callId: string): Promise<string | undefined> => {
  const { body } = await installation.control.call('GET', '/calls')
  return (body as { calls: { call_id: string; state: string }[] }).calls.find((call) => call.call_id === callId)?.state
}

const callPath = (callId: string, suffix = ''): string => tenant.path(`/calls/${encodeURIComponent(callId)}${suffix}`)

test('a call that rings, is answered, held, resumed and ended by the app is told step by step', async () => {
  const callId = await ring()
  const ringing = await hearBoth(callId, '1')
  expect(ringing).toMatchObject({
    app_id: tenant.appId,
    subscriber_id: 'ann@example.net',
    subscriber_number: '+15550100001',
    subscriber_name: 'Ann Albers',
    remote_number: '+15550199001',
    remote_name: 'Zoë Öst',
    call_id: callId,
    sequence_number: '1',
    direction: 'incoming',
    state: 'ringing',
    timestamp: expect.any(Number),
  })
  expect(v.is(CallEventPayloadSchema, ringing)).toBe(true)

  expect((await tenant.client.call('PUT', callPath(callId, '/answer'))).status).toBe(204)
  expect(await hearBoth(callId, '2')).toMatchObject({ state: 'active', previous_state: 'ringing' })
  expect(await simulatedState(callId)).toBe('Active')

  expect((await tenant.client.call('PUT', callPath(callId, '/hold'))).status).toBe(204)
  expect(await hearBoth(callId, '3')).toMatchObject({ state: 'held' })
  expect(await simulatedState(callId)).toBe('Held')

  expect((await tenant.client.call('PUT', callPath(callId, '/resume'))).status).toBe(204)
  expect(await hearBoth(callId, '4')).toMatchObject({ state: 'active' })

  expect((await tenant.client.call('DELETE', callPath(callId))).status).toBe(204)
  expect(await hearBoth(callId, '5')).toMatchObject({ state: 'released' })
  expect(await simulatedState(callId)).toBeUndefined()
})

test('a ringing call ended by the app is over in the network, too', async () => {
  const callId = await ring()
  await hearBoth(callId, '1')
  await tenant.client.call('DELETE', callPath(callId))
  await until('the call to be released', () =>
    webhooks.find((e) => e['call_id'] === callId && e['state'] === 'released'),
  )
  expect(await simulatedState(callId)).toBeUndefined()
})

test('a placed call answers the fields of the document and rings the subscriber first', async () => {
  const { status, body } = await tenant.client.call('POST', tenant.path('/calls'), {
    subscriber_id: ANN.id,
    subscriber_number: ANN.number,
    remote_number: CALLER,
    subscriber_name: ANN.name,
    remote_name: 'Zilkr LLC',
  })
  const { call_id: callId } = body as { call_id: string }
  expect(status).toBe(201)
  expect(body).toEqual({
    subscriber_id: ANN.id,
    subscriber_number: ANN.number,
    remote_number: CALLER,
    subscriber_name: ANN.name,
    remote_name: 'Zilkr LLC',
    call_id: callId,
    direction: 'outgoing',
  })
  expect(await hearBoth(callId, '1')).toMatchObject({ state: 'initiating', direction: 'outgoing' })
  await installation.control.call('POST', `/calls/${encodeURIComponent(callId)}/local/pickup`)
  expect(await hearBoth(callId, '2')).toMatchObject({ state: 'alerting', remote_number: CALLER })
  const listed = (await tenant.client.call('GET', tenant.path('/calls'))).body
  expect(listed).toMatchObject([{ call_id: callId, state: 'alerting', direction: 'outgoing' }])
  await installation.control.call('POST', `/calls/${encodeURIComponent(callId)}/remote/answer`)
  await installation.control.call('POST', `/calls/${encodeURIComponent(callId)}/remote/hangup`)
  await until('the call to be released', () =>
    webhooks.find((e) => e['call_id'] === callId && e['state'] === 'released'),
  )
  expect((await tenant.client.call('GET', tenant.path('/calls'))).body).toEqual([])
})

test('a placed call whose id the network changes stays the call that the app placed', async () => {
  await installation.control.call('PUT', '/settings', { clickToDialChangesCallId: true })
  const { body } = await tenant.client.call('POST', tenant.path('/calls'), {
    subscriber_id: ANN.id,
    subscriber_number: ANN.number,
    remote_number: CALLER,
  })
  const { call_id: callId } = body as { call_id: string }
  await hearBoth(callId, '1')
  await installation.control.call('POST', `/calls/${encodeURIComponent(callId)}/local/pickup`)
  expect(await hearBoth(callId, '2')).toMatchObject({ state: 'alerting' })
  expect(await simulatedState(callId)).toBeUndefined()
  expect((await tenant.client.call('DELETE', callPath(callId))).status).toBe(204)
  expect(await hearBoth(callId, '3')).toMatchObject({ state: 'released' })
  expect((await tenant.client.call('GET', tenant.path('/calls'))).body).toEqual([])
  await installation.control.call('PUT', '/settings', { clickToDialChangesCallId: false })
})

test('the Subscriber Webhook tells the app of a new subscriber once', async () => {
  const bob = { id: 'bob@example.net', number: '+15550100002' }
  await installation.control.call('POST', '/users', { user_id: bob.id, number: bob.number })
  const path = `/admin/apps/${tenant.appId}/subscribers/${encodeURIComponent(bob.id)}`
  const assignment = { network_id: tenant.networkId, subscriber_number: bob.number, subscriber_account_id: 'site-7' }
  expect((await installation.admin.call('PUT', path, assignment)).status).toBe(201)
  expect((await installation.admin.call('PUT', path, assignment)).status).toBe(200)
  const told = await until('the Subscriber Webhook', () =>
    webhooks.find((payload) => payload['subscriber_id'] === bob.id && payload['call_id'] === undefined),
  )
  expect(told).toEqual({
    app_id: tenant.appId,
    subscriber_id: bob.id,
    subscriber_number: bob.number,
    subscriber_account_id: 'site-7',
    network_id: tenant.networkId,
  })
  expect(v.is(SubscriberEventPayloadSchema, told)).toBe(true)
  const callId = await ring()
  await hearBoth(callId, '1')
  await tenant.client.call('DELETE', callPath(callId))
  expect(webhooks.filter((payload) => payload['subscriber_id'] === bob.id)).toHaveLength(1)
})

test('calls that vanish in an application server failover end with a cause', async () => {
  const callId = await ring()
  await hearBoth(callId, '1')
  await installation.control.call('POST', '/failover', { resync: true })
  expect(await hearBoth(callId, '2')).toMatchObject({
    state: 'released',
    release_cause: 'reconciled',
    synthetic: true,
  })
  expect((await tenant.client.call('GET', tenant.path('/calls'))).body).toEqual([])
})
