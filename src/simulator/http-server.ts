import { once } from 'node:events'
import type { IncomingMessage, Server } from 'node:http'
import { GatewayError } from '../core/errors.ts'

/** Listens and returns the port; rejects when the port is taken. */
export async function listenOn(server: Server, at: { readonly host: string; readonly port: number }): Promise<number> {
  server.listen(at.port, at.host)
  await once(server, 'listening')
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : at.port
}

/** The body as text. Throws GatewayError `body_too_large`. */
export async function readBody(message: IncomingMessage, bytesMax: number): Promise<string> {
  const parts: Buffer[] = []
  let size = 0
  for await (const part of message) {
    if (!Buffer.isBuffer(part)) continue
    size += part.length
    if (size > bytesMax) throw new GatewayError('body_too_large')
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}
