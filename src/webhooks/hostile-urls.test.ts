import { once } from 'node:events'
import { createServer } from 'node:net'
import type { Server } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createDeliverer, messageOf, targetAt } from '../../test/support/deliverer.ts'
import type { TargetOptions } from '../../test/support/deliverer.ts'
import { fakeResolver, hostileUrls } from '../../test/support/hostile-urls.ts'
import { RecordingNet } from '../../test/support/recording-net.ts'
import { createSelfSigned } from '../../test/support/self-signed.ts'
import { WebhookReceiver } from '../../test/support/webhook-receiver.ts'
import { isGatewayError } from '../core/errors.ts'
import { createAddressPolicy } from './address-policy.ts'
import type { Deliverer, DelivererOptions } from './deliverer.ts'
import { checkEndpointUrl } from './registration.ts'

const closed = createAddressPolicy([])
let listener: Server
let connections = 0
let port = 0
let net: RecordingNet
const deliverers: Deliverer[] = []

beforeEach(async () => {
  connections = 0
  net = new RecordingNet()
  listener = createServer((socket) => {
    connections += 1
    socket.on('error', () => undefined)
    socket.destroy()
  })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const address = listener.address()
  port = typeof address === 'object' && address !== null ? address.port : 0
})
afterEach(async () => {
  for (const deliverer of deliverers.splice(0)) await deliverer.stop()
  listener.close()
  await once(listener, 'close')
})

/** The deliverer of production, over a network that writes down what it is asked to dial. */
const start = (options: Partial<DelivererOptions> = {}): Deliverer => {
  const deliverer = createDeliverer({ policy: closed, resolve: fakeResolver(), build: net.build, ...options })
  deliverer.start()
  deliverers.push(deliverer)
  return deliverer
}

const send = (deliverer: Deliverer, url: string, target: TargetOptions = {}) =>
  deliverer.attempt(targetAt(url, target), messageOf({ timeoutMs: 2_000 }), new AbortController().signal)

const lastOutcome = async (deliverer: Deliverer, url: string, target?: TargetOptions) => {
  const outcome = (await send(deliverer, url, target)).at(-1)?.outcome
  return outcome?.kind === 'failed' ? outcome.reason : outcome?.kind
}

/** The URLs of the table that a way of sending does not refuse as it should. */
const slipping = async (judge: (url: string) => Promise<unknown>): Promise<readonly string[]> => {
  const slipped: string[] = []
  for (const url of hostileUrls(port)) {
    const outcome = await judge(url)
    if (outcome !== 'blocked_address' && outcome !== 'dns_error') slipped.push(`${url}: ${String(outcome)}`)
  }
  return slipped
}

test('there are at least 120 hostile URLs, each another', () => {
  const urls = hostileUrls(port)
  expect(new Set(urls).size).toBe(urls.length)
  expect(urls.length).toBeGreaterThanOrEqual(120)
})

test('no hostile URL is accepted at registration, and none of them opens a socket when it is sent to', async () => {
  const registered = await slipping((url) =>
    checkEndpointUrl(url, { policy: closed, resolve: fakeResolver() }).then(
      () => 'accepted',
      (error: unknown) => (isGatewayError(error, 'webhook_url_refused') ? 'blocked_address' : error),
    ),
  )
  expect(registered).toEqual([])
  const deliverer = start()
  expect(await slipping((url) => lastOutcome(deliverer, url))).toEqual([])
  // A retry finds another state of the pools than the first attempt.
  expect(await slipping((url) => lastOutcome(deliverer, url))).toEqual([])
  expect(net.dialled).toEqual([])
  expect(connections).toBe(0)
})

test('no hostile URL opens a socket as a failover URL', async () => {
  const deliverer = start()
  const judge = (failoverUrl: string) => lastOutcome(deliverer, 'https://missing.example.net/', { failoverUrl })
  expect(await slipping(judge)).toEqual([])
  expect(net.dialled).toEqual([])
  expect(connections).toBe(0)
})

test('no hostile URL opens a socket for an endpoint with its own authorities', async () => {
  const deliverer = start()
  const { cert: caCertificates } = createSelfSigned()
  expect(await slipping((url) => lastOutcome(deliverer, url, { caCertificates }))).toEqual([])
  expect(net.dialled).toEqual([])
  expect(connections).toBe(0)
})

test('when the operator opens loopback, nothing but that and what is public is dialled', async () => {
  const deliverer = start({ policy: createAddressPolicy(['127.0.0.0/8']) })
  for (const url of hostileUrls(port)) await send(deliverer, url)
  // One name of the table has a loopback and a public address: nothing is wrong with that any more.
  expect(new Set(net.dialled)).toEqual(
    new Set(['127.0.0.1', '127.255.255.254', '::ffff:7f00:1', '::ffff:127.0.0.1', '8.8.8.8']),
  )
  expect(connections).toBeGreaterThan(10)
})

test('what is public is dialled, at the address that was judged', async () => {
  const deliverer = start()
  expect(await lastOutcome(deliverer, 'https://public.example.net/')).toBe('connect_refused')
  expect(await lastOutcome(deliverer, 'https://9.9.9.9/')).toBe('connect_refused')
  expect(net.dialled).toEqual(['8.8.8.8', '2606:4700::1111', '9.9.9.9'])
})

test('a name that turns to a private address after registration is not connected to', async () => {
  const resolve = fakeResolver()
  const url = `https://flips.example.net:${port}/`
  await expect(checkEndpointUrl(url, { policy: closed, resolve })).resolves.toBe(url)
  expect(await lastOutcome(start({ resolve }), url)).toBe('blocked_address')
  expect(net.dialled).toEqual([])
  expect(connections).toBe(0)
})

test('a name that turns to a private address between two attempts is not connected to the second time', async () => {
  const deliverer = start()
  const url = `https://flips.example.net:${port}/`
  expect(await lastOutcome(deliverer, url)).toBe('connect_refused')
  expect(await lastOutcome(deliverer, url)).toBe('blocked_address')
  expect(net.dialled).toEqual(['8.8.8.8'])
  expect(connections).toBe(0)
})

test.each([301, 302, 303, 307, 308])('a %d to a private address is a failure and is not followed', async (status) => {
  const receiver = await new WebhookReceiver().start()
  const targets = [
    `http://127.0.0.1:${port}/`,
    'http://169.254.169.254/latest/meta-data/',
    'https://10.0.0.1/',
    '//10.1',
  ]
  const deliverer = start({ policy: createAddressPolicy(['127.0.0.0/8']) })
  for (const location of targets) {
    receiver.answer((res) => res.writeHead(status, { location, refresh: `0; url=${location}` }).end())
    expect(await lastOutcome(deliverer, receiver.url)).toBe('redirect')
  }
  expect(receiver.received).toHaveLength(4)
  expect(new Set(net.dialled)).toEqual(new Set(['127.0.0.1']))
  expect(connections).toBe(0)
  await receiver.stop()
})

test('a socket whose peer is not an address that was judged is closed before anything is sent', async () => {
  const receiver = await new WebhookReceiver().start()
  const elsewhere = new URL(receiver.url)
  // As if the network had led the connection elsewhere.
  const deliverer = start({
    build: (options) => {
      const connect = net.build(options)
      return (target, callback) =>
        connect({ ...target, protocol: 'http:', hostname: '127.0.0.1', port: elsewhere.port }, callback)
    },
  })
  expect(await lastOutcome(deliverer, 'https://public.example.net/')).toBe('blocked_address')
  expect(receiver.received).toHaveLength(0)
  await receiver.stop()
})
