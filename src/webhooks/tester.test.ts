import { afterEach, beforeEach, expect, test } from 'vitest'
import { createEndpoint } from '../../test/support/sample-endpoint.ts'
import { WebhookReceiver } from '../../test/support/webhook-receiver.ts'
import { EVENT_TYPES } from '../core/app-event.ts'
import { systemClock } from '../core/clock.ts'
import type { EndpointCredentials } from '../core/endpoint.ts'
import { createAddressPolicy } from './address-policy.ts'
import { CredentialCache } from './credential-cache.ts'
import { Deliverer } from './deliverer.ts'
import { createResolver } from './resolver.ts'
import { createSigningKey, generateSecret, verify } from './signature.ts'
import { Tester } from './tester.ts'
import type { TesterOptions } from './tester.ts'

const SECRET = generateSecret()
const receiver = new WebhookReceiver()
const failover = new WebhookReceiver()
let deliverer: Deliverer
let credentials: Pick<EndpointCredentials, 'secrets' | 'headers'> | undefined

beforeEach(async () => {
  await receiver.start()
  await failover.start()
  receiver.received.length = 0
  failover.received.length = 0
  receiver.answer((res) => res.writeHead(200).end('thanks'))
  credentials = { secrets: [SECRET], headers: { 'x-tenant': 'blue' } }
  deliverer = new Deliverer({
    policy: createAddressPolicy(['127.0.0.0/8']),
    resolve: createResolver({ timeoutMs: 1_000, localNames: true }),
    clock: systemClock,
    userAgent: 'Callhalf/test',
  })
  deliverer.start()
})
afterEach(async () => {
  await deliverer.stop()
  await receiver.stop()
  await failover.stop()
})

const createTester = (options: Partial<TesterOptions> = {}) =>
  new Tester({
    deliverer,
    credentials: {
      of: (owner) => {
        const credentialsOf = () => Promise.resolve(credentials && { ...owner, ...credentials })
        return new CredentialCache({ credentialsOf }, systemClock).of(owner)
      },
    },
    clock: systemClock,
    random: Math.random,
    ...options,
  })

test('a sample is sent as an event is, signed, and marked as a test by one header', async () => {
  const result = await createTester().send(createEndpoint({ url: `${receiver.url}/hook` }), 'call.ringing')
  const [request] = receiver.received
  expect(receiver.received).toHaveLength(1)
  expect(request?.path).toBe('/hook')
  expect(JSON.parse(request?.body ?? '')).toEqual(result.payload)
  expect(result).toMatchObject({ type: 'call.ringing', payload: { event: 'call.ringing', app_id: 'app-1' } })
  expect(request?.headers).toMatchObject({
    'content-type': 'application/json',
    'callhalf-test': '1',
    'callhalf-event': 'call.ringing',
    'callhalf-sequence': '1',
    'callhalf-attempt': '1',
    'callhalf-position': 'test:0',
    'callhalf-call-id': expect.stringMatching(/^callhalf-sample-[a-z0-9]{20}:0$/),
    'webhook-id': result.deliveryId,
    'x-tenant': 'blue',
  })
  const expires = Number(request?.headers['callhalf-expires'])
  expect(Math.abs(expires - (Date.now() + 30_000))).toBeLessThan(5_000)
  const headers = {
    id: String(request?.headers['webhook-id']),
    timestamp: String(request?.headers['webhook-timestamp']),
    signature: String(request?.headers['webhook-signature']),
  }
  const judged = verify(headers, request?.body ?? '', {
    keys: [createSigningKey(SECRET)],
    nowSeconds: Date.now() / 1_000,
  })
  expect(judged).toBe('valid')
  expect(result.attempts).toEqual([
    {
      number: 1,
      startedAt: expect.any(Number),
      target: 'primary',
      outcome: 'delivered',
      status: 200,
      timing: expect.objectContaining({ totalMs: expect.any(Number), firstByteMs: expect.any(Number) }),
      remoteAddress: '127.0.0.1',
      reused: false,
      response: 'thanks',
    },
  ])
})

test('every event type can be tested', async () => {
  const tester = createTester()
  const endpoint = createEndpoint({ url: receiver.url })
  const types: readonly string[] = EVENT_TYPES
  for (const type of types) await tester.send(endpoint, type)
  expect(receiver.received.map(({ headers }) => headers['callhalf-event'])).toEqual(types)
  expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size).toBe(types.length)
})

test('a refusal is a result and is not repeated', async () => {
  receiver.answer((res) => res.writeHead(500).end('no'))
  const { attempts } = await createTester().send(createEndpoint({ url: receiver.url }), 'call.released')
  expect(attempts).toMatchObject([{ outcome: 'http_status', status: 500, response: 'no' }])
  expect(receiver.received).toHaveLength(1)
})

test('the failover URL is tried as for an event, and both attempts are told', async () => {
  const { url } = receiver
  await receiver.stop()
  const endpoint = createEndpoint({ url, failoverUrl: failover.url })
  const { attempts } = await createTester().send(endpoint, 'call.active')
  expect(attempts).toMatchObject([
    { number: 1, target: 'primary', outcome: 'connect_refused' },
    { number: 2, target: 'failover', outcome: 'delivered', status: 200 },
  ])
  expect(failover.received[0]?.headers).toMatchObject({ 'callhalf-test': '1', 'callhalf-target': 'failover' })
})

test('a receiver that does not answer ends the test by its deadline', async () => {
  receiver.answer(() => undefined)
  const startedAt = performance.now()
  const { attempts } = await createTester({ timeoutMs: 300 }).send(createEndpoint({ url: receiver.url }), 'call.held')
  expect(attempts).toMatchObject([{ outcome: 'timeout' }])
  expect(performance.now() - startedAt).toBeLessThan(3_000)
})

test('an endpoint that has not been verified, was removed, or cannot have such an event is sent nothing', async () => {
  const tester = createTester()
  const unverified = createEndpoint({ url: receiver.url, verified: false })
  await expect(tester.send(unverified, 'call.ringing')).rejects.toMatchObject({ code: 'webhook_unverified' })
  const endpoint = createEndpoint({ url: receiver.url })
  await expect(tester.send(endpoint, 'call.*')).rejects.toMatchObject({ code: 'invalid_request' })
  credentials = undefined
  await expect(tester.send(endpoint, 'call.ringing')).rejects.toMatchObject({ code: 'webhook_not_found' })
  expect(receiver.received).toEqual([])
})

test('while the gateway stops, it says so', async () => {
  await deliverer.stop()
  const sending = createTester().send(createEndpoint({ url: receiver.url }), 'call.ringing')
  await expect(sending).rejects.toMatchObject({ code: 'draining' })
})
