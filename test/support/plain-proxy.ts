import { createServer, request } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/**
 * An HTTP proxy as there are many: it knows nothing of upgrades, and may pass an answer on only when it has all
 * of it.
 */
export class PlainProxy {
  readonly #target: URL
  readonly #isBuffering: boolean
  readonly #server: Server
  /** `method path` of what it was asked for, without the query. */
  readonly requests: string[] = []

  constructor(target: string, { isBuffering }: { readonly isBuffering: boolean }) {
    this.#target = new URL(target)
    this.#isBuffering = isBuffering
    this.#server = createServer((incoming, response) => this.#pass(incoming, response))
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return this
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #pass(incoming: IncomingMessage, response: ServerResponse): void {
    const { method = 'GET', url: path = '/', headers } = incoming
    this.requests.push(`${method} ${path.split('?')[0]}`)
    const { upgrade: _upgrade, connection: _connection, ...passed } = headers
    const { hostname, port } = this.#target
    const outgoing = request({ hostname, port, method, path, headers: passed }, (answer) => {
      if (this.#isBuffering) this.#passWhole(answer, response)
      else {
        response.writeHead(answer.statusCode ?? 502, answer.headers)
        response.flushHeaders()
        answer.pipe(response)
      }
    })
    outgoing.on('error', () => response.destroy())
    response.on('close', () => outgoing.destroy())
    incoming.pipe(outgoing)
  }

  #passWhole(answer: IncomingMessage, response: ServerResponse): void {
    const chunks: Buffer[] = []
    answer.on('data', (chunk: Buffer) => chunks.push(chunk))
    answer.on('end', () => {
      const { 'transfer-encoding': _encoding, ...headers } = answer.headers
      response.writeHead(answer.statusCode ?? 502, headers)
      response.end(Buffer.concat(chunks))
    })
    answer.on('error', () => response.destroy())
  }
}
