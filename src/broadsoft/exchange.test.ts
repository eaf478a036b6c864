import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { Pool } from 'undici'
import { afterEach, expect, test } from 'vitest'
import { Deadline } from './deadline.ts'
import { exchange } from './exchange.ts'

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()))
})

const never = new AbortController().signal

/** A server, and one connection to it. */
async function connect(listener: RequestListener) {
  const server: Server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const pool = new Pool(`http://127.0.0.1:${port}`, { connections: 1, headersTimeout: 0, bodyTimeout: 0 })
  let connections = 0
  server.on('connection', () => (connections += 1))
  closing.push(async () => {
    await pool.destroy()
    server.closeAllConnections()
    server.close()
  })
  const ask = (path: string, { deadline = new Deadline(never, 5_000), bodyBytesMax = 1_000 } = {}) =>
    exchange(pool, { path, method: 'GET' }, { deadline, bodyBytesMax }).finally(() => deadline.dispose())
  return { ask, connections: () => connections }
}

test('an answer in many parts comes back whole, with status and headers', async () => {
  const { ask } = await connect((_request, response) => {
    response.writeHead(418, { 'x-kind': 'teapot' })
    response.write('one ')
    setImmediate(() => response.end('two'))
  })
  const { statusCode, headers, body } = await ask('/')
  expect([statusCode, headers['x-kind'], Buffer.from(body).toString()]).toEqual([418, 'teapot', 'one two'])
})

test('an interim answer is not the answer', async () => {
  const { ask } = await connect((_request, response) => {
    response.writeProcessing()
    response.end('done')
  })
  expect(await ask('/')).toMatchObject({ statusCode: 200 })
})

test('an answer over the bound is refused, and its connection is not used again', async () => {
  const { ask, connections } = await connect((request, response) => {
    response.write('x'.repeat(request.url === '/long' ? 1_001 : 1_000))
    if (request.url !== '/long') response.end()
  })
  await expect(ask('/long')).rejects.toMatchObject({ code: 'protocol_error' })
  expect((await ask('/just')).body.byteLength).toBe(1_000)
  expect(connections()).toBe(2)
})

test('a request that still waits for a connection ends with its time, and costs nobody a connection', async () => {
  const first = Promise.withResolvers<void>()
  const seen: string[] = []
  const { ask, connections } = await connect((request, response) => {
    seen.push(request.url ?? '')
    if (request.url === '/slow') void first.promise.then(() => response.end())
    else response.end()
  })
  const slow = ask('/slow')
  const hasty = ask('/hasty', { deadline: new Deadline(never, 30) })
  await expect(hasty).rejects.toThrow('no answer within 30 ms')
  first.resolve()
  await slow
  await ask('/next')
  expect({ seen, connections: connections() }).toEqual({ seen: ['/slow', '/next'], connections: 1 })
})

test('a request without an answer ends with its time, or with its parent, and its connection with it', async () => {
  const { ask, connections } = await connect((request, response) => {
    if (request.url === '/') response.end()
  })
  await expect(ask('/hangs', { deadline: new Deadline(never, 30) })).rejects.toThrow('no answer within 30 ms')
  const parent = new AbortController()
  const given = ask('/hangs', { deadline: new Deadline(parent.signal, 5_000) })
  parent.abort(new Error('given up'))
  await expect(given).rejects.toThrow('given up')
  await ask('/')
  expect(connections()).toBe(2)
})

test('nothing is sent when the time was over before', async () => {
  const { ask, connections } = await connect((_request, response) => response.end())
  const over = new Deadline(AbortSignal.abort(new Error('too late')), 5_000)
  await expect(ask('/', { deadline: over })).rejects.toThrow('too late')
  expect(connections()).toBe(0)
})

test('a connection that breaks in the middle of an answer is an error of the socket', async () => {
  const { ask } = await connect((request, response) => {
    response.writeHead(200, { 'content-length': '100' })
    response.write('half')
    setImmediate(() => request.socket.destroy())
  })
  await expect(ask('/')).rejects.toMatchObject({ code: expect.stringMatching(/UND_ERR_SOCKET|ECONNRESET/) })
})
