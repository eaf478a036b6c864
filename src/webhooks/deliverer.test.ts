import { once } from 'node:events'
import { createServer as createTlsServer } from 'node:https'
import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { createSelfSigned } from '../../test/support/self-signed.ts'
import { createDeliverer } from '../../test/support/webhook-engine.ts'
import { WebhookReceiver } from '../../test/support/webhook-receiver.ts'
import type { Answer } from '../../test/support/webhook-receiver.ts'
import { createAddressPolicy } from './address-policy.ts'
import type { Deliverer, DelivererOptions } from './deliverer.ts'
import { createSigningKey, generateSecret } from './signature.ts'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})

const start = (options: Partial<DelivererOptions> = {}): Deliverer => {
  const deliverer = createDeliverer(options)
  deliverer.start()
  cleanups.push(() => deliverer.stop())
  return deliverer
}

const startReceiver = async (answer?: Answer) => {
  const receiver = await new WebhookReceiver().start()
  if (answer !== undefined) receiver.answer(answer)
  cleanups.push(() => receiver.stop())
  return receiver
}

/** A server that speaks bytes, for answers that node:http would not write. */
const startRawServer = async (serve: (socket: Socket) => void): Promise<string> => {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.once('data', () => serve(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanups.push(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  })
  const address = server.address()
  return `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}/`
}

const key = createSigningKey(generateSecret())
const post = (deliverer: Deliverer, url: string, signal = new AbortController().signal) =>
  deliverer.attempt(
    { url, keys: [key], messageId: 'msg_1', position: '7:1', type: 'call.ringing', number: 1, payload: '{"a":1}' },
    signal,
  )

const timed = async <Result>(work: () => Promise<Result>): Promise<{ result: Result; ms: number }> => {
  const startedAt = performance.now()
  const result = await work()
  return { result, ms: performance.now() - startedAt }
}

test('sockets are reused', async () => {
  const receiver = await startReceiver((res) => res.writeHead(200).end('thank you'))
  const deliverer = start()
  for (let i = 0; i < 20; i += 1)
    expect(await post(deliverer, receiver.url)).toEqual({ kind: 'delivered', status: 200 })
  // The pool opens a second one if the first is not yet free when the next attempt starts.
  expect(receiver.connections).toBeLessThanOrEqual(2)
})

test('an endless body does not undo the 200 before it, and ends the socket', async () => {
  const receiver = await startReceiver((res) => {
    res.writeHead(200)
    const more = () => {
      while (!res.destroyed && res.write('x'.repeat(65_536)));
    }
    res.on('drain', more)
    more()
  })
  const { result, ms } = await timed(() => post(start(), receiver.url))
  expect(result).toEqual({ kind: 'delivered', status: 200 })
  expect(ms).toBeLessThan(1_000)
})

test('a dripping body is left after a second, with the status known', async () => {
  const receiver = await startReceiver((res) => {
    res.writeHead(202)
    const drip = setInterval(() => res.write('.'), 50)
    res.on('close', () => clearInterval(drip))
  })
  const { result, ms } = await timed(() => post(start(), receiver.url))
  expect(result).toEqual({ kind: 'delivered', status: 202 })
  expect(ms).toBeLessThan(1_500)
})

test('a receiver that never answers is left at the deadline', async () => {
  const receiver = await startReceiver(() => undefined)
  const { result, ms } = await timed(() => post(start({ deadlineMs: 300 }), receiver.url))
  expect(result).toEqual({ kind: 'failed', reason: 'timeout' })
  expect(ms).toBeGreaterThan(290)
  expect(ms).toBeLessThan(600)
})

test('headers that drip are left at the deadline', async () => {
  const url = await startRawServer((socket) => {
    socket.write('HTTP/1.1 200 OK\r\n')
    const drip = setInterval(() => socket.write('x-a: b\r\n'), 20)
    socket.on('close', () => clearInterval(drip))
  })
  const { result, ms } = await timed(() => post(start({ deadlineMs: 300 }), url))
  expect(result).toEqual({ kind: 'failed', reason: 'timeout' })
  expect(ms).toBeLessThan(600)
})

test.each([
  [
    'megabytes of headers',
    (socket: Socket) => socket.write(`HTTP/1.1 200 OK\r\nx: ${'a'.repeat(10_000_000)}\r\n\r\n`),
    'bad_response',
  ],
  ['something that is not HTTP', (socket: Socket) => socket.write('220 mail.example.net ESMTP\r\n'), 'bad_response'],
  ['nothing before closing', (socket: Socket) => socket.end(), 'connection_lost'],
  ['a reset', (socket: Socket) => socket.resetAndDestroy(), 'connection_lost'],
])('an answer of %s is a failure', async (_name, serve, reason) => {
  const url = await startRawServer((socket) => void serve(socket))
  expect(await post(start({ deadlineMs: 2_000 }), url)).toEqual({ kind: 'failed', reason })
})

test('a port that nobody listens on refuses, without telling where', async () => {
  const receiver = await new WebhookReceiver().start()
  const { url } = receiver
  await receiver.stop()
  expect(await post(start(), url)).toEqual({ kind: 'failed', reason: 'connect_refused' })
})

test('an attempt cut off by the stop has no outcome', async () => {
  const receiver = await startReceiver(() => undefined)
  const stopping = new AbortController()
  const outcome = post(start(), receiver.url, stopping.signal)
  receiver.answer(() => stopping.abort())
  expect(await outcome).toBeUndefined()
})

test('localhost is reached when loopback is open and refused when it is not', async () => {
  const receiver = await startReceiver()
  const url = receiver.url.replace('127.0.0.1', 'localhost')
  expect(await post(start({ policy: createAddressPolicy(['127.0.0.0/8', '::1/128']) }), url)).toMatchObject({
    kind: 'delivered',
  })
  expect(await post(start({ policy: createAddressPolicy([]) }), url)).toEqual({
    kind: 'failed',
    reason: 'blocked_address',
  })
})

test('a certificate that nobody vouches for is not trusted', async () => {
  let requests = 0
  const server = createTlsServer(createSelfSigned(), (_req, res) => {
    requests += 1
    res.end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanups.push(async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  })
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  expect(await post(start(), `https://127.0.0.1:${port}/`)).toEqual({ kind: 'failed', reason: 'tls_error' })
  expect(requests).toBe(0)
})

test('every key of a rotation signs', async () => {
  const receiver = await startReceiver()
  const keys = [createSigningKey(generateSecret()), key]
  await start().attempt(
    { url: receiver.url, keys, messageId: 'msg_1', position: '7:1', type: 'call.ringing', number: 1, payload: '{}' },
    new AbortController().signal,
  )
  expect(receiver.received[0]?.headers['webhook-signature']).toMatch(/^v1,\S{44} v1,\S{44}$/)
})
