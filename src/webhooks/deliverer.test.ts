import { hasSubscribers } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { createDeliverer, TEST_SECRET } from '../../test/support/deliverer.ts'
import { DelivererRig, sendOnce, sendRound } from '../../test/support/deliverer-rig.ts'
import { WebhookReceiver } from '../../test/support/webhook-receiver.ts'
import { createAddressPolicy } from './address-policy.ts'
import type { AttemptReport } from './attempt.ts'
import { generateKeyPair, importPublicKey, verifyAsymmetric } from './asymmetric-signature.ts'
import { createSigningKey, generateSecret, toKeyring, verify } from './signature.ts'

const rig = new DelivererRig()
afterEach(() => rig.clean())

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
  rig.defer(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  })
  const address = server.address()
  return `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}/`
}

const timed = async <Result>(work: () => Promise<Result>): Promise<{ result: Result; ms: number }> => {
  const startedAt = performance.now()
  const result = await work()
  return { result, ms: performance.now() - startedAt }
}

test('a request has the payload byte for byte and every header, ours not to be replaced', async () => {
  const receiver = await rig.startReceiver()
  const payload = JSON.stringify({ name: 'Zoë 🎉', text: '\u2028' })
  await sendOnce(
    rig.start({ clock: { now: () => 1_614_265_330_999, monotonic: () => performance.now() } }),
    receiver.url,
    {
      payload,
      messageId: 'msg_7',
      number: 3,
      headers: { 'callhalf-event': 'call.held', 'callhalf-position': '7:1' },
      target: { headers: { 'x-api-key': 'secret', authorization: 'Bearer b' } },
    },
  )
  const [received] = receiver.received
  const { connection: _connection, host: _host, ...headers } = received?.headers ?? {}
  expect(received?.body).toBe(payload)
  const signature = headers['webhook-signature']
  expect(headers).toEqual({
    'accept-encoding': 'identity',
    authorization: 'Bearer b',
    'callhalf-attempt': '3',
    'callhalf-event': 'call.held',
    'callhalf-position': '7:1',
    'content-length': String(Buffer.byteLength(payload)),
    'content-type': 'application/json',
    'user-agent': 'Callhalf/test',
    'webhook-id': 'msg_7',
    'webhook-timestamp': '1614265330',
    'webhook-signature': signature,
    'x-api-key': 'secret',
  })
  expect(
    verify({ id: 'msg_7', timestamp: '1614265330', signature: String(signature) }, received?.body ?? '', {
      keys: [createSigningKey(TEST_SECRET)],
      nowSeconds: 1_614_265_330,
    }),
  ).toBe('valid')
})

test('every key of a rotation signs, and so does the private one', async () => {
  const receiver = await rig.startReceiver()
  const { privateKey, publicKey } = generateKeyPair()
  await sendOnce(rig.start(), receiver.url, {
    target: { keys: toKeyring([generateSecret(), TEST_SECRET, privateKey]) },
  })
  const [received] = receiver.received
  const signature = String(received?.headers['webhook-signature'])
  expect(signature).toMatch(/^v1,\S{44} v1,\S{44} v1a,\S{88}$/)
  const timestamp = String(received?.headers['webhook-timestamp'])
  expect(
    verifyAsymmetric({ id: 'msg_1', timestamp, signature }, received?.body ?? '', {
      key: importPublicKey(publicKey),
      nowSeconds: Number(timestamp),
    }),
  ).toBe('valid')
})

test('a report has the phases of a new connection, the address and the answer', async () => {
  const receiver = await rig.startReceiver((res) => res.writeHead(200).end('thank you'))
  const report = await sendOnce(rig.start(), receiver.url.replace('127.0.0.1', 'localhost'))
  expect(report).toMatchObject({
    target: 'primary',
    outcome: { kind: 'delivered', status: 200 },
    remoteAddress: '127.0.0.1',
    reused: false,
    response: 'thank you',
  })
  expect(Object.keys(report.timing)).toEqual(['dnsMs', 'connectMs', 'firstByteMs', 'totalMs'])
  const { dnsMs = -1, connectMs = -1, firstByteMs = -1, totalMs } = report.timing
  for (const phase of [dnsMs, connectMs, firstByteMs]) expect(phase).toBeGreaterThanOrEqual(0)
  expect(dnsMs + connectMs + firstByteMs).toBeLessThanOrEqual(totalMs + 0.2)
  expect(Math.abs(Date.now() - report.startedAt)).toBeLessThan(5_000)
})

test('sockets are reused, and the report says so', async () => {
  const receiver = await rig.startReceiver((res) => res.writeHead(200).end('thank you'))
  const deliverer = rig.start()
  const reports: AttemptReport[] = []
  for (let i = 0; i < 20; i += 1) reports.push(await sendOnce(deliverer, receiver.url))
  // The pool opens a second one if the first is not yet free when the next attempt starts.
  expect(receiver.connections).toBeLessThanOrEqual(2)
  expect(reports.filter(({ reused }) => reused === false)).toHaveLength(receiver.connections)
  expect(reports.filter(({ timing }) => timing.connectMs !== undefined)).toHaveLength(receiver.connections)
  expect(reports.every(({ remoteAddress }) => remoteAddress === '127.0.0.1')).toBe(true)
})

test('attempts at the same time are told apart', async () => {
  const receiver = await rig.startReceiver((res, { body }) => res.writeHead(200).end(body))
  const deliverer = rig.start()
  const payloads = Array.from({ length: 50 }, (_, index) => JSON.stringify({ index }))
  const reports = await Promise.all(payloads.map((payload) => sendOnce(deliverer, receiver.url, { payload })))
  expect(reports.map(({ response }) => response)).toEqual(payloads)
  expect(reports.filter(({ reused }) => reused === false)).toHaveLength(receiver.connections)
})

test('the first 4 kB of an answer are kept, without half characters and NULs', async () => {
  const receiver = await rig.startReceiver((res, { path }) => {
    res.writeHead(200).end(path === '/nul' ? 'a\0b' : `${'x'.repeat(4_095)}${'ä'.repeat(1_000)}`)
  })
  const deliverer = rig.start()
  expect((await sendOnce(deliverer, receiver.url)).response).toBe('x'.repeat(4_095))
  expect((await sendOnce(deliverer, `${receiver.url}/nul`)).response).toBe('a\uFFFDb')
  expect(receiver.connections).toBeLessThanOrEqual(2)
})

test('an endless body does not undo the 200 before it, and ends the socket', async () => {
  const receiver = await rig.startReceiver((res) => {
    res.writeHead(200)
    const more = () => {
      while (!res.destroyed && res.write('x'.repeat(65_536)));
    }
    res.on('drain', more)
    more()
  })
  const { result, ms } = await timed(() => sendOnce(rig.start(), receiver.url))
  expect(result).toMatchObject({ outcome: { kind: 'delivered', status: 200 }, response: 'x'.repeat(4_096) })
  expect(ms).toBeLessThan(1_000)
})

test('a dripping body is left after a second, with the status known', async () => {
  const receiver = await rig.startReceiver((res) => {
    res.writeHead(202)
    const drip = setInterval(() => res.write('.'), 50)
    res.on('close', () => clearInterval(drip))
  })
  const { result, ms } = await timed(() => sendOnce(rig.start(), receiver.url))
  expect(result.outcome).toEqual({ kind: 'delivered', status: 202 })
  expect(result.response).toMatch(/^\.+$/)
  expect(ms).toBeLessThan(1_500)
})

test('a body that breaks off does not undo the status before it', async () => {
  const url = await startRawServer((socket) => {
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc', () => socket.resetAndDestroy())
  })
  expect((await sendOnce(rig.start(), url)).outcome).toEqual({ kind: 'delivered', status: 200 })
})

test('a receiver that never answers is left at the deadline', async () => {
  const receiver = await rig.startReceiver(() => undefined)
  const { result, ms } = await timed(() => sendOnce(rig.start(), receiver.url, { timeoutMs: 300 }))
  expect(result).toMatchObject({ outcome: { kind: 'failed', reason: 'timeout' }, remoteAddress: '127.0.0.1' })
  expect(result.timing.firstByteMs).toBeUndefined()
  expect(ms).toBeGreaterThan(290)
  expect(ms).toBeLessThan(600)
})

test('headers that drip are left at the deadline', async () => {
  const url = await startRawServer((socket) => {
    socket.write('HTTP/1.1 200 OK\r\n')
    const drip = setInterval(() => socket.write('x-a: b\r\n'), 20)
    socket.on('close', () => clearInterval(drip))
  })
  const { result, ms } = await timed(() => sendOnce(rig.start(), url, { timeoutMs: 300 }))
  expect(result.outcome).toEqual({ kind: 'failed', reason: 'timeout' })
  expect(ms).toBeLessThan(600)
})

test('a name server that says nothing is part of the deadline', async () => {
  const deliverer = rig.start({ resolve: () => new Promise(() => undefined) })
  const { result, ms } = await timed(() => sendOnce(deliverer, 'https://slow.example.net/', { timeoutMs: 200 }))
  expect(result.outcome).toEqual({ kind: 'failed', reason: 'timeout' })
  expect(ms).toBeLessThan(500)
})

test('a connection that takes too long ends before a longer deadline', async () => {
  const deliverer = rig.start({ resolve: () => new Promise(() => undefined), connectTimeoutMs: 200 })
  const { result, ms } = await timed(() => sendOnce(deliverer, 'https://slow.example.net/', { timeoutMs: 10_000 }))
  expect(result.outcome).toEqual({ kind: 'failed', reason: 'timeout' })
  expect(ms).toBeLessThan(600)
})

test('a connection that comes after the deadline of its attempt serves the next one', async () => {
  const receiver = await rig.startReceiver()
  const resolving = Promise.withResolvers<readonly { readonly address: string; readonly family: 4 }[]>()
  const deliverer = rig.start({ resolve: () => resolving.promise })
  const url = receiver.url.replace('127.0.0.1', 'late.example.net')
  expect((await sendOnce(deliverer, url, { timeoutMs: 50, messageId: 'msg_late' })).outcome).toMatchObject({
    reason: 'timeout',
  })
  const next = sendOnce(deliverer, url, { messageId: 'msg_next' })
  resolving.resolve([{ address: '127.0.0.1', family: 4 }])
  expect((await next).outcome).toEqual({ kind: 'delivered', status: 200 })
  expect((await sendOnce(deliverer, url)).reused).toBe(true)
  expect(receiver.received.map(({ headers }) => headers['webhook-id'])).toEqual(['msg_next', 'msg_1'])
})

test.each([
  [
    'megabytes of headers',
    (socket: Socket) => socket.write(`HTTP/1.1 200 OK\r\nx: ${'a'.repeat(10_000_000)}\r\n\r\n`),
    'bad_response',
  ],
  ['something that is not HTTP', (socket: Socket) => socket.write('220 mail.example.net ESMTP\r\n'), 'bad_response'],
  ['a 100 that nobody asked for', (socket: Socket) => socket.write('HTTP/1.1 100 Continue\r\n\r\n'), 'bad_response'],
  ['nothing before closing', (socket: Socket) => socket.end(), 'connection_lost'],
  ['a reset', (socket: Socket) => socket.resetAndDestroy(), 'connection_lost'],
])('an answer of %s is a failure', async (_name, serve, reason) => {
  const url = await startRawServer((socket) => void serve(socket))
  expect((await sendOnce(rig.start(), url, { timeoutMs: 2_000 })).outcome).toEqual({ kind: 'failed', reason })
})

test('tens of thousands of headers in one piece do not hold up the process', async () => {
  const url = await startRawServer((socket) => socket.write(`HTTP/1.1 200 OK\r\n${'a:b\r\n'.repeat(26_000)}`))
  const deliverer = rig.start()
  const times: number[] = []
  for (let i = 0; i < 5; i += 1) {
    const { result, ms } = await timed(() => sendOnce(deliverer, url))
    expect(result.outcome).toEqual({ kind: 'failed', reason: 'bad_response' })
    times.push(ms)
  }
  expect(Math.min(...times)).toBeLessThan(25)
})

test('interim answers are passed over', async () => {
  const url = await startRawServer((socket) => {
    socket.write('HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n')
  })
  expect((await sendOnce(rig.start(), url)).outcome).toEqual({ kind: 'delivered', status: 204 })
})

test('an answer can disable, and its Retry-After is heard', async () => {
  const receiver = await rig.startReceiver((res, { path }) => {
    if (path === '/bye') res.writeHead(200, { 'webhook-delivery': 'disable' }).end()
    else res.writeHead(429, { 'retry-after': '7' }).end()
  })
  const deliverer = rig.start({ clock: { now: () => 1_000, monotonic: () => performance.now() } })
  expect((await sendOnce(deliverer, `${receiver.url}/bye`)).outcome).toEqual({ kind: 'gone', status: 200 })
  expect((await sendOnce(deliverer, receiver.url)).outcome).toEqual({
    kind: 'failed',
    reason: 'http_status',
    status: 429,
    throttled: true,
    notBefore: 8_000,
  })
})

test('a port that nobody listens on refuses, without telling where', async () => {
  const receiver = await new WebhookReceiver().start()
  const { url } = receiver
  await receiver.stop()
  const report = await sendOnce(rig.start(), url)
  expect(report).toMatchObject({ outcome: { kind: 'failed', reason: 'connect_refused' } })
  expect(report.remoteAddress).toBeUndefined()
})

test('receivers of one origin that hang do not keep the others of it from being sent to', async () => {
  const receiver = await rig.startReceiver((res, { path }) => {
    if (path === '/quick') res.writeHead(200).end()
  })
  const deliverer = rig.start()
  const stopping = new AbortController()
  const hanging = Array.from({ length: 300 }, () =>
    sendRound(deliverer, `${receiver.url}/slow`, { signal: stopping.signal }),
  )
  const quick = await sendOnce(deliverer, `${receiver.url}/quick`, { timeoutMs: 4_000 })
  expect(quick.outcome).toEqual({ kind: 'delivered', status: 200 })
  stopping.abort()
  expect((await Promise.all(hanging)).flat()).toEqual([])
})

test('nothing is sent that expired while somebody looked up whom to sign as', async () => {
  const receiver = await rig.startReceiver()
  expect(await sendRound(rig.start(), receiver.url, { expiresInMs: 0 })).toEqual([])
  expect(receiver.received).toEqual([])
})

test('an attempt cut off by the stop has no report', async () => {
  const receiver = await rig.startReceiver(() => undefined)
  const stopping = new AbortController()
  const reports = sendRound(rig.start(), receiver.url, { signal: stopping.signal })
  receiver.answer(() => stopping.abort())
  expect(await reports).toEqual([])
  expect(await sendRound(rig.start(), receiver.url, { signal: stopping.signal })).toEqual([])
})

test('after the stop nothing is sent, what was under way has no report, and nothing listens any more', async () => {
  const receiver = await rig.startReceiver(() => undefined)
  const deliverer = createDeliverer()
  expect(await sendRound(deliverer, receiver.url)).toEqual([])
  deliverer.start()
  expect(hasSubscribers('undici:client:sendHeaders')).toBe(true)
  const underWay = sendRound(deliverer, receiver.url)
  receiver.answer(() => void deliverer.stop())
  expect(await underWay).toEqual([])
  expect(await sendRound(deliverer, receiver.url)).toEqual([])
  expect(hasSubscribers('undici:client:sendHeaders')).toBe(false)
})

test('what cannot be sent is reported, not thrown', async () => {
  const receiver = await rig.startReceiver()
  const report = await sendOnce(rig.start(), receiver.url, { target: { headers: { 'x-a': 'b\r\nc: d' } } })
  expect(report.outcome).toEqual({ kind: 'failed', reason: 'error' })
  expect(receiver.received).toHaveLength(0)
})

test('localhost is reached when loopback is open and refused when it is not', async () => {
  const receiver = await rig.startReceiver()
  const url = receiver.url.replace('127.0.0.1', 'localhost')
  const open = rig.start({ policy: createAddressPolicy(['127.0.0.0/8', '::1/128']) })
  expect((await sendOnce(open, url)).outcome).toEqual({ kind: 'delivered', status: 200 })
  expect((await sendOnce(rig.start({ policy: createAddressPolicy([]) }), url)).outcome).toEqual({
    kind: 'failed',
    reason: 'blocked_address',
  })
})
