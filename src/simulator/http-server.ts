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
export function readBody(message: IncomingMessage, bytesMax: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = []
    let size = 0
    message.on('data', (part: Buffer) => {
      size += part.length
      if (size <= bytesMax) parts.push(part)
      else reject(new GatewayError('body_too_large'))
    })
    message.once('end', () => resolve(Buffer.concat(parts).toString('utf8')))
    message.once('error', reject)
    message.once('close', () => {
      if (!message.readableEnded) reject(new GatewayError('invalid_request', { detail: 'the body ended early' }))
    })
  })
}
