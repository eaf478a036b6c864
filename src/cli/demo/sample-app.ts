import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type Server } from 'node:http'
import { WebSocket } from 'undici'
import { createSigningKey, verify } from '../../webhooks/signature.ts'
import { isRecord } from '../api-client.ts'

/** What the sample app was told, by which way. */
export type Heard = {
  readonly via: 'webhook' | 'stream'
  readonly event: string
  readonly payload: Readonly<Record<string, unknown>>
  readonly position?: unknown
}

const HEARD_MAX = 10_000
const BODY_BYTES_MAX = 64 * 1024

/**
 * A third-party app as a newcomer would write it: receives webhooks, verifies their signatures, and
 * follows the stream. It remembers what it heard, so that the demo can wait for it.
 */
export class SampleApp {
  readonly #heard: Heard[] = []
  readonly #listeners = new Set<(heard: Heard) => void>()
  readonly #server: Server
  #socket: WebSocket | undefined
  #secret: string | undefined

  constructor() {
    this.#server = createServer((req, res) => {
      this.#receive(req).then(
        (status) => res.writeHead(status).end(),
        () => res.writeHead(400).end(),
      )
    })
  }

  /** Listens for webhooks on a loopback port; returns the URL to register. */
  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    const address = this.#server.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    return `http://127.0.0.1:${port}/callhalf`
  }

  /** The secret that the registration answered: without it every webhook is refused. */
  trust(secret: string): void {
    this.#secret = secret
  }

  /** Opens the stream and resolves when its snapshot has arrived. */
  async follow(streamUrl: string, apiKey: string): Promise<Readonly<Record<string, unknown>>> {
    const socket = new WebSocket(streamUrl, { headers: { authorization: `Bearer ${apiKey}` } })
    this.#socket = socket
    const subscribed = Promise.withResolvers<Readonly<Record<string, unknown>>>()
    socket.addEventListener('open', () => socket.send(JSON.stringify({ op: 'subscribe', after: null })))
    socket.addEventListener('error', () => subscribed.reject(new Error('the stream could not be opened')))
    socket.addEventListener('close', ({ code }) => subscribed.reject(new Error(`the stream was closed with ${code}`)))
    socket.addEventListener('message', ({ data }) => {
      const frame: unknown = JSON.parse(String(data))
      if (!isRecord(frame)) return
      if (frame['type'] === 'subscribed') subscribed.resolve(frame)
      if (frame['type'] === 'event' && isRecord(frame['data'])) {
        this.#hear({
          via: 'stream',
          event: String(frame['event']),
          payload: frame['data'],
          position: frame['position'],
        })
      }
    })
    return subscribed.promise
  }

  /** Calls `listener` for everything heard from now on. */
  onHeard(listener: (heard: Heard) => void): void {
    this.#listeners.add(listener)
  }

  /** Resolves with the first thing heard, already or within `timeoutMs`, that satisfies `wanted`. */
  async waitFor(wanted: (heard: Heard) => boolean, timeoutMs: number, what: string): Promise<Heard> {
    const already = this.#heard.find(wanted)
    if (already !== undefined) return already
    const found = Promise.withResolvers<Heard>()
    const timer = setTimeout(() => found.reject(new Error(`not heard within ${timeoutMs} ms: ${what}`)), timeoutMs)
    const listener = (heard: Heard) => wanted(heard) && found.resolve(heard)
    this.#listeners.add(listener)
    try {
      return await found.promise
    } finally {
      clearTimeout(timer)
      this.#listeners.delete(listener)
    }
  }

  async close(): Promise<void> {
    this.#socket?.close()
    this.#server.close()
    this.#server.closeAllConnections()
    if (this.#server.listening) await once(this.#server, 'close')
  }

  async #receive(req: IncomingMessage): Promise<number> {
    const chunks: Buffer[] = []
    let bytes = 0
    for await (const chunk of req) {
      if (!Buffer.isBuffer(chunk)) continue
      bytes += chunk.length
      if (bytes > BODY_BYTES_MAX) return 413
      chunks.push(chunk)
    }
    const body = Buffer.concat(chunks).toString('utf8')
    if (!this.#isGenuine(req.headers, body)) return 401
    const payload: unknown = JSON.parse(body)
    if (!isRecord(payload)) return 400
    this.#hear({ via: 'webhook', event: String(req.headers['callhalf-event']), payload })
    return 200
  }

  #isGenuine(headers: IncomingHttpHeaders, body: string): boolean {
    if (this.#secret === undefined) return false
    const signed = {
      id: headerText(headers['webhook-id']),
      timestamp: headerText(headers['webhook-timestamp']),
      signature: headerText(headers['webhook-signature']),
    }
    const keys = [createSigningKey(this.#secret)]
    return verify(signed, body, { keys, nowSeconds: Math.floor(Date.now() / 1000) }) === 'valid'
  }

  #hear(heard: Heard): void {
    this.#heard.push(heard)
    if (this.#heard.length > HEARD_MAX) this.#heard.shift()
    for (const listener of this.#listeners) listener(heard)
  }
}

const headerText = (value: string | string[] | undefined): string | undefined =>
  Array.isArray(value) ? value.join(' ') : value
