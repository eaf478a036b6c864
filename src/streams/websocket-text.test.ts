import { once } from 'node:events'
import * as fc from 'fast-check'
import { WebSocket, WebSocketServer } from 'ws'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { encodeWebSocketText } from './websocket-text.ts'

let server: WebSocketServer
/** What is written to the connection of the next client, which is then closed properly. */
let written: Buffer

beforeAll(async () => {
  server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  server.on('connection', (socket, { socket: wire }) => {
    wire.write(written)
    socket.close(1000)
  })
  await once(server, 'listening')
})
afterAll(() => server.close())

/** The text messages that a client makes of these bytes. */
async function receive(bytes: Buffer): Promise<readonly string[]> {
  written = bytes
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('not listening')
  const client = new WebSocket(`ws://127.0.0.1:${address.port}`)
  const texts: string[] = []
  client.on('message', (data: Buffer, isBinary) => texts.push(isBinary ? 'binary' : data.toString()))
  const [code]: unknown[] = await once(client, 'close')
  expect(code).toBe(1000)
  return texts
}

test.each([0, 1, 125, 126, 65_535, 65_536, 200_000])('a text of %i bytes is one message', async (length) => {
  const text = 'x'.repeat(length)
  const { message, payload } = encodeWebSocketText(text)
  expect(await receive(message)).toEqual([text])
  expect(payload.toString()).toBe(text)
})

test('messages put together are received one by one, whatever is in them', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.string({ unit: 'binary', maxLength: 300 }), { maxLength: 10 }), async (texts) => {
      const wellFormed = texts.map((text) => text.toWellFormed())
      const messages = wellFormed.map((text) => encodeWebSocketText(text).message)
      expect(await receive(Buffer.concat(messages))).toEqual(wellFormed)
    }),
    { numRuns: 50 },
  )
})
