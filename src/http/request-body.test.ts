import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import * as fc from 'fast-check'
import { Hono } from 'hono'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { serveApp } from '../../test/support/serve-app.ts'
import type { HttpEnv } from './context.ts'
import { toProblemResponse } from './problem.ts'
import { readJsonBody } from './request-body.ts'

const LIMITS = { bytesMax: 1_000, timeoutMs: 300 }

const app = new Hono<HttpEnv>()
app.post('/', async (c) => c.json({ got: await readJsonBody(c, LIMITS) }))
app.onError((error) => toProblemResponse(error, 'request-1'))

let server: Awaited<ReturnType<typeof serveApp>>

beforeAll(async () => {
  server = await serveApp(app.fetch)
})
afterAll(() => server.stop())

async function open(head: readonly string[]): Promise<Socket> {
  const socket = connect(server.port, '127.0.0.1')
  await once(socket, 'connect')
  socket.on('error', () => undefined)
  socket.write(['POST / HTTP/1.1', 'Host: localhost', 'Connection: close', ...head, '', ''].join('\r\n'))
  return socket
}

/** The status line and the body of what the server answers before it closes. */
async function answerOf(socket: Socket): Promise<{ readonly status: number; readonly body: string }> {
  const answer = await text(socket)
  return { status: Number(answer.slice(9, 12)), body: answer.slice(answer.indexOf('\r\n\r\n') + 4) }
}

const post = (body: string, headers: Readonly<Record<string, string>> = {}) =>
  fetch(server.url, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json', ...headers },
  })

describe('over a real socket', () => {
  it('reads JSON that arrives in any pieces', async () => {
    const body = Buffer.from(JSON.stringify({ name: 'Zoë 🎉', list: [1, 2, 3] }))
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.nat(body.length), { maxLength: 4 }), async (cuts) => {
        const socket = await open(['Content-Type: application/json', `Content-Length: ${body.length}`])
        let from = 0
        for (const cut of [...cuts.toSorted((a, b) => a - b), body.length]) {
          await new Promise((resolve) => socket.write(body.subarray(from, cut), resolve))
          from = cut
        }
        const answer = await answerOf(socket)
        expect(answer.status).toBe(200)
        expect(answer.body).toContain('Zoë 🎉')
      }),
      { numRuns: 20 },
    )
  })

  it('refuses a length over the limit before a byte of the body is there', async () => {
    const socket = await open(['Content-Type: application/json', 'Content-Length: 1001'])
    expect(await answerOf(socket)).toMatchObject({ status: 413, body: expect.stringContaining('body_too_large') })
  })

  it('refuses a body of unknown length as soon as it is over the limit', async () => {
    const socket = await open(['Content-Type: application/json', 'Transfer-Encoding: chunked'])
    socket.write(`3e9\r\n${'x'.repeat(1_001)}\r\n`)
    expect(await answerOf(socket)).toMatchObject({ status: 413 })
  })

  it('takes exactly the limit', async () => {
    expect((await post(`"${'x'.repeat(998)}"`)).status).toBe(200)
    expect((await post(`"${'x'.repeat(999)}"`)).status).toBe(413)
  })

  it('gives up on a body that does not arrive', async () => {
    const socket = await open(['Content-Type: application/json', 'Content-Length: 10'])
    socket.write('{')
    expect(await answerOf(socket)).toMatchObject({ status: 408, body: expect.stringContaining('request_timeout') })
  })

  it('survives a client that leaves in the middle', async () => {
    const socket = await open(['Content-Type: application/json', 'Content-Length: 10'])
    socket.write('{')
    socket.destroy()
    expect((await post('{}')).status).toBe(200)
  })

  it.each([
    ['{"a":1', 'malformed_json'],
    ['{"a":1}{}', 'malformed_json'],
    ['{"a\\u0000b":1}', 'malformed_json'],
    ['["\\uDC00"]', 'malformed_json'],
    ['{"a":{"__proto__":1}}', 'invalid_request'],
    ['[{"constructor":1}]', 'invalid_request'],
    ['{"\\u005f_proto__":1}', 'invalid_request'],
  ])('refuses %j', async (body, reason) => {
    const response = await post(body)
    expect(response.status).toBe(400)
    expect(await response.text()).toContain(reason)
  })

  it('an empty body is none, for the operation to judge', async () => {
    const response = await post('')
    expect([response.status, await response.json()]).toEqual([200, {}])
  })

  it('refuses bytes that are not UTF-8', async () => {
    const socket = await open(['Content-Type: application/json', 'Content-Length: 3'])
    socket.write(Buffer.from([0x22, 0xff, 0x22]))
    expect(await answerOf(socket)).toMatchObject({ status: 400, body: expect.stringContaining('malformed_json') })
  })

  it('takes an escaped pair of surrogates, which is text', async () => {
    expect(await (await post('"\\ud83c\\udf89"')).json()).toEqual({ got: '🎉' })
  })

  it.each([
    ['application/json; charset=utf-8', 200],
    ['application/merge-patch+json', 200],
    ['APPLICATION/JSON', 200],
    ['text/plain', 415],
    ['application/x-www-form-urlencoded', 415],
    ['application/jsonp', 415],
  ])('a body of the type %s is answered %i', async (type, status) => {
    expect((await post('{}', { 'content-type': type })).status).toBe(status)
  })
})

const postDirectly = (body: Uint8Array<ArrayBuffer> | ReadableStream) =>
  app.request('/', { method: 'POST', body, duplex: 'half' })

it('without node-server the same bounds hold', async () => {
  expect((await postDirectly(Buffer.from('{"a":1}'))).status).toBe(200)
  expect((await postDirectly(Buffer.from(`"${'x'.repeat(999)}"`))).status).toBe(413)
})

const stall = () => new ReadableStream({ pull: () => new Promise(() => undefined) })

it('every body that stalls is too late, however a timer and a clock may differ', async () => {
  const answers = await Promise.all(Array.from({ length: 300 }, async () => postDirectly(stall())))
  expect(answers.filter(({ status }) => status !== 408)).toEqual([])
})
