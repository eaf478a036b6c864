import { once } from 'node:events'
import type { Socket } from 'node:net'
import { connect as connectTcp } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { request } from 'undici'
import * as v from 'valibot'
import { WebSocket } from 'ws'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { StreamClient } from '../../test/support/stream-client.ts'
import { ADMIN_KEY, StreamRig } from '../../test/support/stream-rig.ts'
import { upgradeRequest } from '../../test/support/upgrade-request.ts'
import { useRedis } from '../../test/support/use-redis.ts'

const redis = useRedis()
let rig: StreamRig

beforeAll(async () => {
  rig = new StreamRig(redis)
  rig.web.get('/hello', (c) => c.text('hello'))
  await rig.start()
})
afterAll(() => rig.stop())

type Answer = { readonly head: string; readonly body: string }

/** Sends bytes as they are and reads until the server closes. */
async function sendRaw(text: string, of = rig): Promise<Answer> {
  const { hostname, port } = new URL(of.server.url)
  const socket = connectTcp(Number(port), hostname)
  socket.write(text)
  let received = ''
  socket.on('data', (chunk) => {
    received += chunk.toString()
  })
  await once(socket, 'close')
  const [head = '', body = ''] = received.split('\r\n\r\n')
  return { head, body }
}

describe('an upgrade', () => {
  test('without credentials gets 401 as a problem document and a closed connection', async () => {
    const { head, body } = await sendRaw(upgradeRequest(`/apps/${rig.addApp().appId}/stream`))
    expect(head).toMatch(/^HTTP\/1\.1 401 Unauthorized\r\n/)
    expect(head).toContain('content-type: application/problem+json')
    expect(head).toContain('www-authenticate: Bearer realm="callhalf"')
    expect(head).toContain('connection: close')
    expect(JSON.parse(body)).toMatchObject({ status: 401, code: 'unauthorized' })
  })

  test('with the key of another app gets 404, as if there were no such app', async () => {
    const [app, other] = [rig.addApp(), rig.addApp()]
    const { body } = await sendRaw(
      upgradeRequest(`/apps/${app.appId}/stream`, { Authorization: `Bearer ${other.key}` }),
    )
    expect(JSON.parse(body)).toMatchObject({ status: 404, code: 'app_not_found' })
  })

  test.each([
    ['elsewhere', '/apps/x/calls', {}, 404, 'route_not_found'],
    ['of a path that is not valid', '/apps/%E0%A4%A/stream', {}, 404, 'route_not_found'],
    ['with other subprotocols only', '/apps/x/stream', { 'Sec-WebSocket-Protocol': 'mqtt' }, 400, 'invalid_request'],
    ['without any valid token', '/apps/x/stream?token=abc', {}, 401, 'unauthorized'],
  ])('%s is refused with a problem document', async (_, path, headers, status, code) => {
    const { head, body } = await sendRaw(upgradeRequest(path, headers))
    expect(head).toContain(`HTTP/1.1 ${status} `)
    expect(JSON.parse(body)).toMatchObject({ status, code })
  })

  test('of a WebSocket version that nobody speaks is refused after authentication', async () => {
    const app = rig.addApp()
    const { body } = await sendRaw(
      upgradeRequest(`/apps/${app.appId}/stream`, {
        Authorization: `Bearer ${app.key}`,
        'Sec-WebSocket-Version': '7',
      }),
    )
    expect(JSON.parse(body)).toMatchObject({ status: 400, code: 'invalid_request' })
  })

  test('does not negotiate compression, even when it is offered', async () => {
    const app = rig.addApp()
    const socket = new WebSocket(rig.streamUrl(app).replace('http', 'ws'), {
      headers: { authorization: `Bearer ${app.key}` },
      perMessageDeflate: true,
    })
    await once(socket, 'open')
    expect(socket.extensions).toBe('')
    socket.terminate()
  })

  test('to anything but a WebSocket is answered as a normal request', async () => {
    const { head, body } = await sendRaw(
      'GET /hello HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n',
    )
    expect(head).toMatch(/^HTTP\/1\.1 200 OK/)
    expect(body).toContain('hello')
  })
})

const issue = async (app: { readonly appId: string; readonly key: string }): Promise<string> => {
  const { statusCode, body } = await request(`${rig.server.url}/apps/${app.appId}/stream-tokens`, {
    method: 'POST',
    headers: { authorization: `Bearer ${app.key}` },
  })
  if (statusCode !== 201) throw new Error(`no token: ${statusCode}`)
  const answer = v.parse(
    v.strictObject({ token: v.pipe(v.string(), v.regex(/^[\w-]{43}$/)), expires_in_ms: v.literal(30_000) }),
    await body.json(),
  )
  return answer.token
}

describe('a stream token', () => {
  test('opens one stream as a subprotocol, which is not echoed, and no second one', async () => {
    const app = rig.addApp()
    const token = await issue(app)
    const protocols = ['callhalf.v1', `callhalf.token.${token}`]
    const client = await StreamClient.open(rig.streamUrl(app), { protocols })
    expect(client.socket.protocol).toBe('callhalf.v1')
    client.subscribe(null)
    await client.frame(({ type }) => type === 'subscribed')
    await expect(StreamClient.open(rig.streamUrl(app), { protocols })).rejects.toThrow('401')
    await client.disconnect()
  })

  test('opens one stream from the query', async () => {
    const app = rig.addApp()
    const url = `${rig.streamUrl(app)}?token=${await issue(app)}`
    const client = await StreamClient.open(url, {})
    await expect(StreamClient.open(url, {})).rejects.toThrow('401')
    await client.disconnect()
  })

  test('of a key that was revoked after it was issued opens none', async () => {
    const app = rig.addApp()
    const token = await issue(app)
    rig.revokeKey(app)
    await expect(StreamClient.open(`${rig.streamUrl(app)}?token=${token}`, {})).rejects.toThrow('401')
  })

  test('issued with the admin key opens one stream', async () => {
    const app = rig.addApp()
    const url = `${rig.streamUrl(app)}?token=${await issue({ ...app, key: ADMIN_KEY })}`
    const client = await StreamClient.open(url, {})
    client.subscribe(null)
    expect(await client.frame(({ type }) => type === 'subscribed')).toMatchObject({ recovered: false })
    await client.disconnect()
  })

  test('of one app does not open the stream of another', async () => {
    const [app, other] = [rig.addApp(), rig.addApp()]
    const token = await issue(app)
    await expect(StreamClient.open(`${rig.streamUrl(other)}?token=${token}`, {})).rejects.toThrow('401')
  })

  test('used by many at once opens one stream', async () => {
    const app = rig.addApp()
    const token = await issue(app)
    const attempts = await Promise.all(Array.from({ length: 20 }, () => rig.tokens.redeem(app.appId, token)))
    expect(attempts.filter(Boolean)).toHaveLength(1)
  })

  test('is kept for 30 s, and only as a hash', async () => {
    const app = rig.addApp()
    const token = await issue(app)
    const client = redis.connect()
    const keys = await client.keys('ch:stream-token:*')
    const lives = await Promise.all(keys.map((key) => client.pttl(key)))
    expect(keys.some((key) => key.includes(token))).toBe(false)
    expect(lives.length).toBeGreaterThan(0)
    expect(lives.every((ms) => ms > 0 && ms <= 30_000)).toBe(true)
  })
})

describe('what is not HTTP', () => {
  test('is answered with a problem document', async () => {
    const { head, body } = await sendRaw('NONSENSE\r\n\r\n')
    expect(head).toMatch(/^HTTP\/1\.1 400 Bad Request/)
    expect(JSON.parse(body)).toMatchObject({ status: 400, code: 'invalid_request' })
  })

  test('and header fields beyond 16 KiB are refused with 431', async () => {
    const { head, body } = await sendRaw(`GET /hello HTTP/1.1\r\nHost: a\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n`)
    expect(head).toMatch(/^HTTP\/1\.1 431 /)
    expect(JSON.parse(body)).toMatchObject({ status: 431, code: 'headers_too_large' })
  })
})

describe('a request that Node itself would refuse without a body', () => {
  test.each([
    ['HTTP/1.1 without Host', 'GET /hello HTTP/1.1\r\n\r\n', 400, 'invalid_request'],
    [
      'an expectation that nobody knows',
      'GET /hello HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n',
      417,
      'expectation_failed',
    ],
    [
      'an upgrade without Host',
      upgradeRequest('/apps/x/stream').replace('Host: gateway.example.net\r\n', ''),
      400,
      'invalid_request',
    ],
  ])('%s gets a problem document', async (_, text, status, code) => {
    const { head, body } = await sendRaw(text)
    expect(head).toContain(`HTTP/1.1 ${status} `)
    expect(head).toContain('content-type: application/problem+json')
    expect(JSON.parse(body)).toMatchObject({ status, code })
  })

  test('HTTP/1.0 without Host, as health checks send it, is answered', async () => {
    const { head, body } = await sendRaw('GET /hello HTTP/1.0\r\n\r\n')
    expect(head).toMatch(/^HTTP\/1\.1 200 OK/)
    expect(body).toBe('hello')
  })
})

describe('pages of other origins', () => {
  const ours = 'https://crm.example.net'
  let own: StreamRig
  beforeAll(async () => {
    own = await new StreamRig(redis, { origins: [ours] }).start()
  })
  afterAll(() => own.stop())

  test.each([
    ['an allowed one', ours, 101],
    ['an allowed one in capitals', 'https://CRM.example.net', 101],
    ['another one', 'https://evil.example.net', 403],
    ['one that only begins alike', `${ours}.evil.example.net`, 403],
    ['one without a name', 'null', 403],
  ])('%s: a WebSocket gets %i', async (_, origin, status) => {
    const app = own.addApp()
    const headers = { Authorization: `Bearer ${app.key}`, Origin: origin, 'Sec-WebSocket-Version': '13' }
    const { hostname, port } = new URL(own.server.url)
    const socket = connectTcp(Number(port), hostname)
    socket.write(upgradeRequest(`/apps/${app.appId}/stream`, headers))
    const [data]: unknown[] = await once(socket, 'data')
    expect(String(data)).toContain(`HTTP/1.1 ${status} `)
    expect(String(data).includes('origin_refused')).toBe(status === 403)
    socket.destroy()
  })

  test('server-sent events are refused as well, or may be read by the page', async () => {
    const app = own.addApp()
    const headers = { authorization: `Bearer ${app.key}`, accept: 'text/event-stream' }
    const refused = await request(own.streamUrl(app), { headers: { ...headers, origin: 'https://evil.example.net' } })
    expect(await refused.body.json()).toMatchObject({ code: 'origin_refused', status: 403 })
    const opened = await request(own.streamUrl(app), { headers: { ...headers, origin: ours } })
    expect(opened.statusCode).toBe(200)
    expect(opened.headers).toMatchObject({ 'access-control-allow-origin': ours, vary: 'origin' })
    opened.body.destroy()
    opened.body.on('error', () => undefined)
  })

  test('a token is not used up by a page that may not use it', async () => {
    const app = own.addApp()
    const { token } = await own.tokens.issue({ appId: app.appId, keyId: app.keyId })
    const url = `${own.streamUrl(app)}?token=${token}`
    const headers = { accept: 'text/event-stream' }
    const refused = await request(url, { headers: { ...headers, origin: 'https://evil.example.net' } })
    expect(refused.statusCode).toBe(403)
    await refused.body.dump()
    const opened = await request(url, { headers: { ...headers, origin: ours } })
    expect(opened.statusCode).toBe(200)
    opened.body.destroy()
    opened.body.on('error', () => undefined)
  })

  test('what is no browser sends no origin and is not asked for one', async () => {
    const app = own.addApp()
    const client = await StreamClient.open(own.streamUrl(app), { key: app.key })
    expect(client.socket.readyState).toBe(WebSocket.OPEN)
    await client.disconnect()
  })
})

describe('stopping', () => {
  test('lets a request finish, closes idle connections and streams, and takes no more', async () => {
    const own = new StreamRig(redis)
    const arrived = Promise.withResolvers<void>()
    const finish = Promise.withResolvers<void>()
    own.web.get('/slow', async (c) => {
      arrived.resolve()
      await finish.promise
      return c.text('done')
    })
    await own.start()
    const app = own.addApp()
    const stream = await StreamClient.open(own.streamUrl(app), { key: app.key })
    const url = own.server.url
    const slow = request(`${url}/slow`)
    await arrived.promise
    const stopped = own.server.stop(AbortSignal.timeout(10_000))
    expect(await stream.closed).toMatchObject({ code: 4001 })
    await expect(request(`${url}/slow`)).rejects.toThrow('ECONNREFUSED')
    finish.resolve()
    expect(await (await slow).body.text()).toBe('done')
    await stopped
    await own.stop()
  })

  test('goes on for the drain delay, so that whoever spreads requests can stop sending them here', async () => {
    const own = new StreamRig(redis, { drainDelayMs: 600 })
    own.web.get('/hello', (c) => c.text('hello'))
    await own.start()
    const app = own.addApp()
    const stream = await StreamClient.open(own.streamUrl(app), { key: app.key })
    const url = own.server.url
    const startedAt = performance.now()
    const stopped = own.server.stop(AbortSignal.timeout(10_000))
    expect(await (await request(`${url}/hello`)).body.text()).toBe('hello')
    expect(stream.socket.readyState).toBe(WebSocket.OPEN)
    expect(await stream.closed).toMatchObject({ code: 4001 })
    expect(performance.now() - startedAt).toBeGreaterThan(590)
    await stopped
    await expect(request(`${url}/hello`)).rejects.toThrow('ECONNREFUSED')
    await own.stop()
  })

  test('does not delay beyond the deadline', async () => {
    const own = await new StreamRig(redis, { drainDelayMs: 60_000 }).start()
    const startedAt = performance.now()
    await own.server.stop(AbortSignal.timeout(50))
    expect(performance.now() - startedAt).toBeLessThan(10_000)
    await own.stop()
  })

  test('cuts off what is not finished at the deadline', async () => {
    const own = new StreamRig(redis)
    const arrived = Promise.withResolvers<void>()
    own.web.get('/never', async () => {
      arrived.resolve()
      return new Promise<Response>(() => undefined)
    })
    await own.start()
    const never = request(`${own.server.url}/never`).then(
      () => 'answered',
      (error: unknown) => String(error),
    )
    await arrived.promise
    await own.server.stop(AbortSignal.timeout(300))
    expect(await never).toContain('other side closed')
    await own.stop()
  })

  test('a port that is taken is an error that names it', async () => {
    const { port } = new URL(rig.server.url)
    const { HttpServer } = await import('./server.ts')
    const second = new HttpServer({
      acceptsStreams: true,
      fetch: rig.web.fetch,
      streams: { hub: rig.hub, authenticator: Object.create(null) },
      host: '127.0.0.1',
      port: Number(port),
      closingPace: { turn: () => Promise.resolve() },
      log: (await import('../core/logger.ts')).silentLogger,
    })
    await expect(second.start()).rejects.toThrow(`cannot listen on 127.0.0.1:${port}`)
  })
})

const answerTo = async (socket: Socket): Promise<string> => String((await once(socket, 'data'))[0])

test('of clients that come all at once as many wait as may; the others are sent away until different times', async () => {
  const busy = await new StreamRig(redis, { openingsWaitingMax: 30 }).start()
  const app = busy.addApp()
  const { hostname, port } = new URL(busy.server.url)
  const upgrade = upgradeRequest(`/apps/${app.appId}/stream`, { Authorization: `Bearer ${app.key}` })
  const sockets = Array.from({ length: 300 }, () => connectTcp(Number(port), hostname))
  // Connections are accepted one by one, which paces them, too: these are accepted when they have had an answer.
  const accepted = sockets.map(answerTo)
  for (const socket of sockets) socket.write('GET /nothing HTTP/1.1\r\nHost: gateway.example.net\r\n\r\n')
  await Promise.all(accepted)
  const heads = sockets.map(answerTo)
  for (const socket of sockets) socket.write(upgrade)
  const answers = await Promise.all(heads)
  const refused = answers.filter((head) => head.startsWith('HTTP/1.1 503 '))
  const letIn = answers.filter((head) => head.startsWith('HTTP/1.1 101 '))
  expect(letIn.length + refused.length).toBe(300)
  expect(letIn.length).toBeGreaterThanOrEqual(30)
  expect(refused.length).toBeGreaterThan(50)
  expect(refused.every((head) => head.includes('"code":"overloaded"'))).toBe(true)
  const waits = refused.map((head) => Number(/^retry-after: (\d+)\r$/m.exec(head)?.[1]))
  expect(new Set(waits)).toEqual(new Set([1, 2, 3, 4, 5]))
  expect(await busy.metric('callhalf_stream_refusals_total', { reason: 'overloaded' })).toBe(refused.length)
  for (const socket of sockets) socket.destroy()
  await busy.stop()
})

/** A client that has left, and whose connection waits for its turn to be closed. */
async function leave() {
  const turn = Promise.withResolvers<void>()
  const asked = Promise.withResolvers<void>()
  const closingPace = {
    turn: () => {
      asked.resolve()
      return turn.promise
    },
  }
  const own = await new StreamRig(redis, { closingPace }).start()
  const app = own.addApp()
  const { hostname, port } = new URL(own.server.url)
  const socket = connectTcp(Number(port), hostname)
  socket.write(upgradeRequest(`/apps/${app.appId}/stream`, { Authorization: `Bearer ${app.key}` }))
  expect(await answerTo(socket)).toMatch(/^HTTP\/1\.1 101 /)
  const isClosed = once(socket, 'close')
  socket.end()
  await asked.promise
  return { own, socket, isClosed, giveTurn: turn.resolve }
}

describe('a client that has left', () => {
  test('has no session any more, and its connection is closed in its turn', async () => {
    const { own, socket, isClosed, giveTurn } = await leave()
    expect(await own.metric('callhalf_stream_sessions', { transport: 'websocket' })).toBe(0)
    expect(socket.closed).toBe(false)
    giveTurn()
    await isClosed
    await own.stop()
  })

  test('may be cut off before its turn', async () => {
    const { own, isClosed, giveTurn } = await leave()
    await own.server.stop(AbortSignal.abort())
    await isClosed
    giveTurn()
    await nextTurn()
    expect(await own.metric('callhalf_stream_sessions', { transport: 'websocket' })).toBe(0)
    await own.stop()
  })
})

test('a client that has sent its last, and does not read what is left for it, is cut off', async () => {
  const own = await new StreamRig(redis).start()
  const app = own.addApp()
  const { hostname, port } = new URL(own.server.url)
  const socket = connectTcp(Number(port), hostname)
  socket.write(upgradeRequest(`/apps/${app.appId}/stream`, { Authorization: `Bearer ${app.key}` }))
  expect(await answerTo(socket)).toMatch(/^HTTP\/1\.1 101 /)
  const subscribe = '{"op":"subscribe","after":null}'
  // Masked with zeros.
  socket.write(Buffer.concat([Buffer.from([0x81, 0x80 + subscribe.length, 0, 0, 0, 0]), Buffer.from(subscribe)]))
  expect(await answerTo(socket)).toContain('"type":"subscribed"')
  socket.pause()
  // More than the system holds for one that does not read.
  await own.append(app, 1, 32 * 1024 * 1024)
  await vi.waitFor(async () => expect(await own.metric('callhalf_stream_frames_sent_total')).toBe(2))
  socket.end()
  await vi.waitFor(async () => expect(await own.metric('callhalf_stream_sessions')).toBe(0))
  // It ends when all connections have, and would wait for a minute.
  await own.server.stop(AbortSignal.timeout(60_000))
  socket.destroy()
  await own.stop()
})

test('a client that does not read its answer is cut off, a stream on which nothing happens is not', async () => {
  const own = new StreamRig(redis, { stalledMs: 300 })
  const cutOff = Promise.withResolvers<void>()
  own.web.get('/large', (c) => {
    c.env.incoming?.socket.once('close', () => cutOff.resolve())
    // More than the system holds for one that does not read.
    return c.body(Buffer.alloc(32 * 1024 * 1024))
  })
  await own.start()
  const stream = await StreamClient.open(own.streamUrl(own.addApp()), { key: ADMIN_KEY })
  stream.subscribe(null)
  await stream.frame(({ type }) => type === 'subscribed')
  const { hostname, port } = new URL(own.server.url)
  const socket = connectTcp(Number(port), hostname)
  socket.write('GET /large HTTP/1.1\r\nHost: gateway.example.net\r\n\r\n')
  await cutOff.promise
  socket.destroy()
  expect(stream.socket.readyState).toBe(WebSocket.OPEN)
  await stream.disconnect()
  await own.stop()
})
