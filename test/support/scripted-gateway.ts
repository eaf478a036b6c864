import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import * as v from 'valibot'
import type { WebSocket } from 'ws'
import { WebSocketServer } from 'ws'
import { until } from './until.ts'

const MessageSchema = v.looseObject({ op: v.string(), request_id: v.optional(v.string()) })
type ClientMessage = v.InferOutput<typeof MessageSchema>

/** One stream that a client opened: what it sent, and the means to answer. */
class ScriptedStream {
  readonly token: string
  readonly messages: ClientMessage[] = []
  readonly socket: WebSocket
  readonly #closed: Promise<number>

  constructor(socket: WebSocket, token: string) {
    this.socket = socket
    this.token = token
    socket.on('message', (data: Buffer) => this.messages.push(v.parse(MessageSchema, JSON.parse(data.toString()))))
    this.#closed = new Promise((resolve) => socket.once('close', resolve))
  }

  send(frame: object | string): void {
    this.socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame))
  }

  /** The `index`-th message of this client. */
  message(index: number): Promise<ClientMessage> {
    return until(`message ${index}`, () => this.messages[index])
  }

  close(code: number, reason?: object): void {
    this.socket.close(code, reason === undefined ? '' : JSON.stringify(reason))
  }

  /** With which code the client closed. */
  get closed(): Promise<number> {
    return this.#closed
  }
}

/**
 * A gateway that says what the test wants: tokens that are good for one stream, and streams without a will of
 * their own. For what the real one does only rarely, or never.
 */
export class ScriptedGateway {
  readonly streams: ScriptedStream[] = []
  /** Authorization headers of the requests for tokens. */
  readonly tokenRequests: (string | undefined)[] = []
  /** Instead of a token. */
  tokenAnswer: { readonly status: number; readonly headers?: Record<string, string> } | undefined
  /** Instead of the upgrade. */
  refusesUpgrades = false
  readonly #server: Server
  readonly #webSockets = new WebSocketServer({ noServer: true, handleProtocols: () => 'callhalf.v1' })
  readonly #unused = new Set<string>()

  constructor() {
    this.#server = createServer((request, response) => this.#answer(request, response))
    this.#server.on('upgrade', (request, socket, head) => {
      const token = /callhalf\.token\.([^,\s]+)/.exec(request.headers['sec-websocket-protocol'] ?? '')?.[1] ?? ''
      if (this.refusesUpgrades || !this.#unused.delete(token)) {
        socket.end('HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n')
        return
      }
      this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => {
        this.streams.push(new ScriptedStream(webSocket, token))
      })
    })
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return this
  }

  async stop(): Promise<void> {
    for (const { socket } of this.streams) socket.terminate()
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** A token, as the client's own server would get it. */
  issue(): string {
    const token = `token-${this.#unused.size}-${crypto.randomUUID()}`
    this.#unused.add(token)
    return token
  }

  /** The `index`-th stream, with its subscribe frame. */
  async stream(index: number): Promise<ScriptedStream> {
    const stream = await until(`stream ${index}`, () => this.streams[index])
    await stream.message(0)
    return stream
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    this.tokenRequests.push(request.headers.authorization)
    if (this.tokenAnswer !== undefined) {
      const { status, headers = {} } = this.tokenAnswer
      response.writeHead(status, { 'content-type': 'application/problem+json', ...headers })
      response.end(JSON.stringify({ status, code: 'scripted' }))
      return
    }
    response.writeHead(201, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ token: this.issue(), expires_in_ms: 30_000 }))
  }
}
