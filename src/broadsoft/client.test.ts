import type { IncomingMessage } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { createServer as createTcpServer } from 'node:net'
import { inspect } from 'node:util'
import { afterEach, describe, expect, test } from 'vitest'
import { callList, CHANNEL, errorInfo, HEARTBEAT } from '../../test/fixtures/xsi/documents.ts'
import type { Listener } from '../../test/support/nodes.ts'
import { TestNodes } from '../../test/support/nodes.ts'
import { createSelfSigned } from '../../test/support/self-signed.ts'
import { systemClock } from '../core/clock.ts'
import { GatewayError } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import { silentLogger } from '../core/logger.ts'
import type { XsiClientOptions } from './client.ts'
import { XsiClient } from './client.ts'

const CREDENTIALS = { username: 'admin@example.net', password: 'tr0ub4dor-very-secret' }
const AUTHORIZATION = 'Basic YWRtaW5AZXhhbXBsZS5uZXQ6dHIwdWI0ZG9yLXZlcnktc2VjcmV0'
const CALLS = '/com.broadsoft.xsi-actions/v2.0/user/ann@example.net/calls'
const CHANNEL_ADD = '/com.broadsoft.async/com.broadsoft.xsi-events/v2.0/channel'
const never = new AbortController().signal

const nodes = new TestNodes()
const clients: XsiClient[] = []
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close()
  await nodes.close()
})

const clientFor = (urls: readonly URL[], options: Partial<XsiClientOptions> = {}): XsiClient => {
  const client = new XsiClient({
    nodes: urls,
    credentials: CREDENTIALS,
    log: silentLogger,
    clock: systemClock,
    ...options,
  })
  clients.push(client)
  return client
}

const collect = async (body: AsyncIterable<Uint8Array>): Promise<string[]> => {
  const parts: string[] = []
  for await (const part of body) parts.push(Buffer.from(part).toString())
  return parts
}

const bodyOf = async (req: IncomingMessage): Promise<string> => {
  let body = ''
  for await (const part of req) body += String(part)
  return body
}

const errorOf = async (promise: Promise<unknown>): Promise<GatewayError> => {
  try {
    await promise
  } catch (error) {
    if (error instanceof GatewayError) return error
    throw error
  }
  throw new Error('nothing was thrown')
}

/** Answers the first request of every connection and resets the connection at the second. */
const resettingNode = async (log: string[]): Promise<URL> => {
  let connections = 0
  const server = createTcpServer((socket) => {
    connections += 1
    const name = `connection ${connections}`
    let requests = 0
    socket.on('error', () => undefined)
    socket.on('data', () => {
      requests += 1
      log.push(`${name} request ${requests}`)
      if (requests === 1) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n')
      else socket.resetAndDestroy()
    })
  })
  return nodes.start(server)
}

const guarded = async (isRight: () => boolean): Promise<{ readonly node: URL; readonly requests: string[] }> => {
  const requests: string[] = []
  const node = await nodes.serve((req, res) => {
    requests.push(req.headers.authorization ?? '')
    res.writeHead(isRight() ? 200 : 401).end()
  })
  return { node, requests }
}
const ask = (client: XsiClient): Promise<number> =>
  client.request({ method: 'GET', path: CALLS, signal: never }).then(({ status }) => status)

const secureNode = async (): Promise<{ readonly node: URL; readonly cert: string }> => {
  const { key, cert } = createSelfSigned()
  const { port } = await nodes.start(
    createTlsServer({ key, cert, ALPNProtocols: ['h2', 'http/1.1'] }, (req, res) => res.end(req.httpVersion)),
  )
  return { node: new URL(`https://127.0.0.1:${port}`), cert }
}

describe('requests', () => {
  test('carry the credentials and the body, and give back status and document', async () => {
    const seen: unknown[] = []
    const node = await nodes.serve(async (req, res) => {
      seen.push(req.method, req.url, req.headers.authorization, req.headers['content-type'], await bodyOf(req))
      res.setHeader('content-type', 'application/xml;charset=UTF-8')
      res.end(callList('callhalf-1:0'))
    })
    const response = await clientFor([node]).request({
      method: 'POST',
      path: `${CALLS}?a=%2B1`,
      body: '<X/>',
      signal: never,
    })
    expect(seen).toEqual(['POST', `${CALLS}?a=%2B1`, AUTHORIZATION, 'application/xml; charset=UTF-8', '<X/>'])
    expect(response).toMatchObject({ status: 200, node, document: { type: 'calls', callIds: ['callhalf-1:0'] } })
  })

  test.each([
    [
      'an ErrorInfo',
      403,
      errorInfo('110862'),
      { type: 'error-info', errorCode: '110862', summary: 'Something is wrong' },
    ],
    ['an HTML page', 503, '<html><body>Busy<br></body></html>', undefined],
    ['no body', 404, '', undefined],
  ])('an error with %s is an answer', async (_, status, body, document) => {
    const node = await nodes.serve((__, res) => res.writeHead(status, { 'retry-after': '7' }).end(body))
    const response = await clientFor([node]).request({ method: 'GET', path: CALLS, signal: never })
    expect(response.status).toBe(status)
    expect(response.retryAfterSeconds).toBe(7)
    expect(response.document).toEqual(document)
  })

  test('an answer over the bound is refused without reading the rest', async () => {
    let sent = 0
    const node = await nodes.serve((_, res) => {
      const more = (): void => {
        sent += 65_536
        if (!res.destroyed && sent < 1_000_000_000) res.write(Buffer.alloc(65_536, 'x'), more)
      }
      more()
    })
    const error = await errorOf(
      clientFor([node], { bodyBytesMax: 1_000_000 }).request({ method: 'GET', path: CALLS, signal: never }),
    )
    expect(error.code).toBe('protocol_error')
    expect(sent).toBeLessThan(100_000_000)
  })

  test.each<[string, Listener]>([
    ['never answers', () => undefined],
    ['never ends its answer', (_, res) => void res.write('<Calls')],
    [
      'drips its answer',
      (_, res) => {
        const timer = setInterval(() => res.write(' '), 10)
        res.on('close', () => clearInterval(timer))
      },
    ],
  ])('a node that %s is given up at the deadline', async (_, listener) => {
    const client = clientFor([await nodes.serve(listener)])
    const error = await errorOf(client.request({ method: 'GET', path: CALLS, signal: never, timeoutMs: 100 }))
    expect(error).toMatchObject({ code: 'provider_unavailable', retryAfterSeconds: 5 })
    expect(String(error.cause)).toContain('no answer within 100 ms')
  })

  test('end when the caller aborts', async () => {
    const controller = new AbortController()
    const node = await nodes.serve(() => controller.abort())
    const error = await errorOf(clientFor([node]).request({ method: 'GET', path: CALLS, signal: controller.signal }))
    expect(error.code).toBe('provider_unavailable')
  })

  test('end when the client is closed, and none is sent after that', async () => {
    let requests = 0
    const reached = Promise.withResolvers<void>()
    const client = clientFor([
      await nodes.serve(() => {
        requests += 1
        reached.resolve()
      }),
    ])
    const first = errorOf(client.request({ method: 'GET', path: CALLS, signal: never }))
    await reached.promise
    await client.close()
    expect((await first).code).toBe('provider_unavailable')
    const second = await errorOf(client.request({ method: 'GET', path: CALLS, signal: never }))
    expect([second.code, second.fields]).toEqual(['provider_unavailable', { sent: false }])
    expect(requests).toBe(1)
  })

  test('that are given up before they are sent say so', async () => {
    const { node, requests } = await guarded(() => true)
    const client = clientFor([node])
    await ask(client)
    const error = await errorOf(client.request({ method: 'POST', path: CALLS, signal: AbortSignal.abort() }))
    expect([error.code, error.fields]).toEqual(['provider_unavailable', { sent: false }])
    expect(requests).toHaveLength(1)
  })
})

describe('the first requests, which go one at a time', () => {
  test('have their time from their own start: one to a good node does not fail with one to a hung node', async () => {
    const hung = await nodes.serve(() => undefined)
    const good = await nodes.serve((_, res) => res.end())
    const client = clientFor([hung, good], { timeoutMs: 150 })
    const [first, second] = await Promise.allSettled([
      client.request({ node: hung, method: 'GET', path: CALLS, signal: never }),
      client.request({ node: good, method: 'GET', path: CALLS, signal: never }),
    ])
    expect([first.status, second.status]).toEqual(['rejected', 'fulfilled'])
  })

  test('are not sent when they are given up while they wait, and say so', async () => {
    const reached = Promise.withResolvers<void>()
    let requests = 0
    const node = await nodes.serve(() => {
      requests += 1
      reached.resolve()
    })
    const client = clientFor([node])
    const first = errorOf(client.request({ method: 'GET', path: CALLS, signal: never }))
    await reached.promise
    const controller = new AbortController()
    const second = errorOf(client.request({ method: 'POST', path: CALLS, signal: controller.signal }))
    controller.abort()
    expect((await second).fields).toEqual({ sent: false })
    await client.close()
    await first
    expect(requests).toBe(1)
  })
})

describe('broken connections', () => {
  test('an idempotent request that meets a closing connection is sent once more on a new one', async () => {
    const log: string[] = []
    const client = clientFor([await resettingNode(log)])
    // The pool frees a connection a moment after the answer, so the reuse may come some requests later.
    for (let i = 0; i < 20 && !log.some((line) => line.endsWith('request 2')); i += 1) {
      expect((await client.request({ method: 'PUT', path: CALLS, signal: never })).status).toBe(200)
    }
    expect(log.at(-2)).toBe('connection 1 request 2')
    expect(log.at(-1)).toMatch(/^connection \d+ request 1$/)
  })

  test('a request that must not be repeated never uses a connection that was used before', async () => {
    const log: string[] = []
    const client = clientFor([await resettingNode(log)])
    await client.request({ method: 'GET', path: CALLS, signal: never })
    await client.request({ method: 'POST', path: CALLS, signal: never })
    await client.request({ method: 'POST', path: CALLS, signal: never })
    expect(log).toEqual(['connection 1 request 1', 'connection 2 request 1', 'connection 3 request 1'])
  })

  test('a request that must not be repeated fails when the connection breaks after it was sent', async () => {
    let requests = 0
    const node = await nodes.serve((req) => {
      requests += 1
      req.socket.resetAndDestroy()
    })
    const other = await nodes.serve((_, res) => res.end())
    const client = clientFor([node, other])
    expect((await errorOf(client.request({ method: 'POST', path: CALLS, signal: never }))).code).toBe(
      'provider_unavailable',
    )
    expect(requests).toBe(1)
  })

  test('a node that is down is passed over, and asked last for a while', async () => {
    const dead = await nodes.dead()
    const live = await nodes.serve((_, res) => res.end())
    const client = clientFor([dead, live])
    expect((await client.request({ method: 'POST', path: CALLS, signal: never })).node).toBe(live)
    expect((await client.request({ method: 'GET', path: CALLS, signal: never })).node).toBe(live)
  })

  test('a node that does not answer in time is asked last for a while, too', async () => {
    const hung = await nodes.serve(() => undefined)
    const live = await nodes.serve((_, res) => res.end())
    const client = clientFor([hung, live], { timeoutMs: 60 })
    expect((await errorOf(client.request({ method: 'GET', path: CALLS, signal: never }))).code).toBe(
      'provider_unavailable',
    )
    expect((await client.request({ method: 'GET', path: CALLS, signal: never })).node).toBe(live)
  })

  test('a request that may have arrived at the first node is not called unsent because the second one is down', async () => {
    const breaking = await nodes.serve((req) => void req.socket.resetAndDestroy())
    const client = clientFor([breaking, await nodes.dead()])
    const error = await errorOf(client.request({ method: 'PUT', path: CALLS, signal: never }))
    expect([error.code, error.fields]).toEqual(['provider_unavailable', {}])
  })

  test('a request to a certain node goes nowhere else', async () => {
    const dead = await nodes.dead()
    const live = await nodes.serve((_, res) => res.end())
    const error = await errorOf(
      clientFor([dead, live]).request({ node: dead, method: 'GET', path: CALLS, signal: never }),
    )
    expect(error.code).toBe('provider_unavailable')
    expect(String(error.cause)).toContain('ECONNREFUSED')
  })
})

describe('cookies', () => {
  test('of a node come back to it on requests and streams, and to no other node', async () => {
    const seen: string[] = []
    const node = (name: string): Promise<URL> =>
      nodes.serve((req, res) => {
        seen.push(`${name} ${req.headers.cookie ?? '-'}`)
        res.setHeader('set-cookie', `JSESSIONID=${name}; Path=/com.broadsoft.xsi-events; HttpOnly`).end()
      })
    const a = await node('a')
    const b = await node('b')
    const client = clientFor([a, b])
    const path = '/com.broadsoft.xsi-events/v2.0/channel/c/heartbeat'
    await (await client.openStream({ node: a, path: CHANNEL_ADD, body: '<Channel/>', signal: never })).close()
    await client.request({ node: a, method: 'PUT', path, signal: never })
    await client.request({ node: b, method: 'PUT', path, signal: never })
    await client.request({ node: b, method: 'PUT', path, signal: never })
    await client.request({ node: a, method: 'GET', path: CALLS, signal: never })
    expect(seen).toEqual(['a -', 'a JSESSIONID=a', 'b -', 'b JSESSIONID=b', 'a -'])
  })
})

describe('redirects', () => {
  test.each([301, 302, 307, 308])('a %i is followed with the same method, body and credentials', async (status) => {
    const seen: unknown[] = []
    const target = await nodes.serve(async (req, res) => {
      seen.push(req.method, req.url, req.headers.authorization, await bodyOf(req))
      res.end()
    })
    const first = await nodes.serve((_, res) =>
      res.writeHead(status, { location: `${target.origin}/moved?x=1` }).end('moved'),
    )
    const client = clientFor([first], { allowedHosts: [target.host] })
    const response = await client.request({ method: 'POST', path: CALLS, body: '<X/>', signal: never })
    expect(seen).toEqual(['POST', '/moved?x=1', AUTHORIZATION, '<X/>'])
    expect(response.status).toBe(200)
    expect(response.node.origin).toBe(target.origin)
  })

  test('to a host that is not allowed is refused, and the host is sent nothing', async () => {
    let requests = 0
    const target = await nodes.serve((_, res) => {
      requests += 1
      res.end()
    })
    const first = await nodes.serve((_, res) =>
      res.writeHead(302, { location: `http://localhost:${target.port}/` }).end(),
    )
    const error = await errorOf(clientFor([first]).request({ method: 'GET', path: CALLS, signal: never }))
    expect(error.code).toBe('provider_refused')
    expect(requests).toBe(0)
  })

  test('a fourth one is refused', async () => {
    let requests = 0
    const node = await nodes.serve((req, res) => {
      requests += 1
      res.writeHead(302, { location: `${req.url}x` }).end()
    })
    const error = await errorOf(clientFor([node]).request({ method: 'GET', path: CALLS, signal: never }))
    expect(error.code).toBe('provider_refused')
    expect(requests).toBe(4)
  })

  test('a stream follows, and says which node holds it', async () => {
    const target = await nodes.serve((_, res) => void res.write(CHANNEL))
    const first = await nodes.serve((_, res) =>
      res.writeHead(302, { location: `${target.origin}${CHANNEL_ADD}` }).end(),
    )
    const stream = await clientFor([first, target]).openStream({
      node: first,
      path: CHANNEL_ADD,
      body: '<Channel/>',
      signal: never,
    })
    expect(stream.node.origin).toBe(target.origin)
    await stream.close()
  })
})

describe('refused credentials', () => {
  test('are tried twice, then nothing is sent any more', async () => {
    const { node, requests } = await guarded(() => false)
    const client = clientFor([node])
    expect(await ask(client)).toBe(401)
    expect(client.isLockedOut).toBe(true)
    expect((await errorOf(ask(client))).code).toBe('provider_unauthorized')
    expect((await errorOf(client.openStream({ node, path: CHANNEL_ADD, body: '', signal: never }))).code).toBe(
      'provider_unauthorized',
    )
    expect(requests).toHaveLength(2)
  })

  test('are tried twice by fifty requests at once, too', async () => {
    const { node, requests } = await guarded(() => false)
    const client = clientFor([node])
    await Promise.allSettled(Array.from({ length: 50 }, () => ask(client)))
    expect(requests).toHaveLength(2)
  })

  test('that were refused once only are good', async () => {
    let refusals = 1
    const { node, requests } = await guarded(() => refusals-- <= 0)
    const client = clientFor([node])
    expect(await ask(client)).toBe(200)
    expect(client.isLockedOut).toBe(false)
    expect(requests).toHaveLength(2)
  })

  test('are tried again after a reset', async () => {
    let isRight = false
    const { node, requests } = await guarded(() => isRight)
    const client = clientFor([node])
    await ask(client)
    isRight = true
    client.resetCredentials()
    expect(await ask(client)).toBe(200)
    expect(requests).toHaveLength(3)
  })

  test('appear in no error, no log line and no inspection', async () => {
    const lines: unknown[] = []
    const record = (fields: object, message: string): void => void lines.push(fields, message)
    const log: Logger = { debug: record, info: record, warn: record, error: record, child: () => log }
    const refusing = await nodes.serve((_, res) =>
      res.writeHead(401, { 'set-cookie': 'JSESSIONID=cookie-very-secret' }).end(),
    )
    const broken = await nodes.start(
      createTcpServer((socket) => {
        socket.on('error', () => undefined)
        socket.on('data', () =>
          socket.end('HTTP/1.1 200 OK\r\nSet-Cookie: a=cookie-very-secret\r\nContent-Length: x\r\n\r\n'),
        )
      }),
    )
    const redirecting = await nodes.serve((_, res) =>
      res.writeHead(302, { location: 'https://evil.example.net/' }).end(),
    )
    const urls = [broken, redirecting, await nodes.dead(), refusing]
    const client = clientFor(urls, { log })
    const errors: unknown[] = []
    for (const node of urls) {
      errors.push(
        await client.request({ node, method: 'PUT', path: CALLS, signal: never }).catch((error: unknown) => error),
      )
      errors.push(
        await client.openStream({ node, path: CHANNEL_ADD, body: '', signal: never }).catch((error: unknown) => error),
      )
    }
    const text = inspect([errors.filter((error) => error instanceof Error), lines, client], {
      depth: 12,
      showHidden: true,
    })
    expect(errors.filter((error) => error instanceof Error)).toHaveLength(7)
    for (const secret of [CREDENTIALS.password, AUTHORIZATION.slice(6), 'cookie-very-secret'])
      expect(text).not.toContain(secret)
  })
})

describe('streams', () => {
  test('hand on bytes as they come, and end with the node’s', async () => {
    let answer: ((bytes: string | undefined) => void) | undefined
    const node = await nodes.serve((_, res) => {
      res.writeHead(200, { 'content-type': 'text/xml;charset=UTF-8' }).write(CHANNEL)
      answer = (bytes) => (bytes === undefined ? res.end() : res.write(bytes))
    })
    const stream = await clientFor([node]).openStream({ node, path: CHANNEL_ADD, body: '<Channel/>', signal: never })
    expect(stream).toMatchObject({ status: 200, charset: 'UTF-8', node })
    const received: string[] = []
    for await (const bytes of stream.body) {
      received.push(String(bytes))
      answer?.(received.length === 1 ? HEARTBEAT : undefined)
    }
    expect(received).toEqual([CHANNEL, HEARTBEAT])
    await stream.close()
  })

  test('survive a silence longer than the limit for their headers', async () => {
    let write: (() => void) | undefined
    const node = await nodes.serve((_, res) => {
      res.flushHeaders()
      write = () => res.write(HEARTBEAT)
    })
    const stream = await clientFor([node], { timeoutMs: 60 }).openStream({
      node,
      path: CHANNEL_ADD,
      body: '',
      signal: never,
    })
    setTimeout(() => write?.(), 200)
    for await (const bytes of stream.body) {
      expect(String(bytes)).toBe(HEARTBEAT)
      break
    }
    await stream.close()
  })

  test('are given up when no headers come', async () => {
    const node = await nodes.serve(() => undefined)
    const error = await errorOf(
      clientFor([node], { timeoutMs: 60 }).openStream({ node, path: CHANNEL_ADD, body: '', signal: never }),
    )
    expect(error.code).toBe('provider_unavailable')
  })

  test('reject with provider_unavailable when the connection breaks', async () => {
    const node = await nodes.serve((req, res) => {
      res.write(CHANNEL, () => req.socket.resetAndDestroy())
    })
    const stream = await clientFor([node]).openStream({ node, path: CHANNEL_ADD, body: '', signal: never })
    const error = await errorOf(collect(stream.body))
    expect(error.code).toBe('provider_unavailable')
    await stream.close()
  })

  test.each(['close', 'abort', 'client'] as const)('end on %s, and so does the connection', async (how) => {
    const closed = Promise.withResolvers<void>()
    const node = await nodes.serve((req, res) => {
      req.socket.on('close', () => closed.resolve())
      res.write(CHANNEL)
    })
    const controller = new AbortController()
    const client = clientFor([node])
    const stream = await client.openStream({ node, path: CHANNEL_ADD, body: '', signal: controller.signal })
    const ended = errorOf(collect(stream.body))
    if (how === 'close') await stream.close()
    else if (how === 'abort') controller.abort()
    else await client.close()
    await closed.promise
    expect((await ended).code).toBe('provider_unavailable')
  })

  test('a refusal is read whole and leaves no stream', async () => {
    const closed = Promise.withResolvers<void>()
    const node = await nodes.serve((req, res) => {
      req.socket.on('close', () => closed.resolve())
      res.writeHead(403, { 'retry-after': '9' }).end(errorInfo('110842'))
    })
    const stream = await clientFor([node]).openStream({ node, path: CHANNEL_ADD, body: '', signal: never })
    expect(stream).toMatchObject({
      status: 403,
      retryAfterSeconds: 9,
      document: { type: 'error-info', errorCode: '110842' },
    })
    expect(await collect(stream.body)).toEqual([])
    await closed.promise
  })
})

describe('HTTPS', () => {
  test('a node whose certificate nobody vouches for is sent nothing', async () => {
    const { node } = await secureNode()
    const error = await errorOf(clientFor([node]).request({ method: 'GET', path: CALLS, signal: never }))
    expect(error.code).toBe('provider_unavailable')
    expect(String(error.cause)).toContain('DEPTH_ZERO_SELF_SIGNED_CERT')
  })

  test('a node is reached with the network’s own CA', async () => {
    const { node, cert } = await secureNode()
    const client = clientFor([node], { ca: cert })
    expect((await client.request({ method: 'GET', path: CALLS, signal: never })).status).toBe(200)
    const stream = await client.openStream({ node, path: CHANNEL_ADD, body: '', signal: never })
    expect(await collect(stream.body)).toEqual(['1.1'])
    await stream.close()
  })
})
