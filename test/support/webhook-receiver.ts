import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingHttpHeaders, IncomingMessage, Server, ServerResponse } from 'node:http'
import * as v from 'valibot'

const SequencedPayload = v.object({ call_id: v.optional(v.string()), sequence_number: v.optional(v.string()) })

/** A request as it arrived. */
export type Received = {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
  /** When its body was complete, in monotonic milliseconds. */
  readonly at: number
}

/** Decides the answer; whatever it does not end, hangs. */
export type Answer = (res: ServerResponse, request: Received, count: number) => void

/** An HTTP server on a loopback port that remembers what it got and answers as told (200 unless told). */
export class WebhookReceiver {
  readonly received: Received[] = []
  readonly #server: Server
  #answer: Answer = (res) => res.writeHead(200).end()
  #connections = 0

  constructor() {
    this.#server = createServer((req, res) => void this.#receive(req, res))
    this.#server.on('connection', () => {
      this.#connections += 1
    })
  }

  /** Sockets accepted so far. */
  get connections(): number {
    return this.#connections
  }

  get url(): string {
    const address = this.#server.address()
    return `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`
  }

  async start(): Promise<this> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return this
  }

  answer(answer: Answer): this {
    this.#answer = answer
    return this
  }

  /** The `sequence_number`s of one call, in order of arrival. */
  sequencesOf(callId: string): number[] {
    return this.received
      .map(({ body }) => v.parse(v.pipe(v.string(), v.parseJson(), SequencedPayload), body))
      .filter(({ call_id }) => call_id === callId)
      .map(({ sequence_number }) => Number(sequence_number))
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    if (this.#server.listening) await once(this.#server, 'close')
  }

  async #receive(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    try {
      for await (const chunk of req) if (Buffer.isBuffer(chunk)) chunks.push(chunk)
    } catch {
      return
    }
    const request = {
      path: req.url ?? '',
      headers: req.headers,
      body: Buffer.concat(chunks).toString(),
      at: performance.now(),
    }
    this.received.push(request)
    this.#answer(res, request, this.received.length)
  }
}
