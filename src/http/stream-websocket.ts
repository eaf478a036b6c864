import type { Closing } from '../streams/close-codes.ts'
import { CLOSE_CODES, formatCloseReason } from '../streams/close-codes.ts'
import type { Frame } from '../streams/frame.ts'
import type { Admission, Hub } from '../streams/hub.ts'
import { SUBPROTOCOL, TOKEN_SUBPROTOCOL_PREFIX } from '../streams/protocol.ts'
import type { Transport } from '../streams/transport.ts'

/** The part of a WebSocket of `ws` that a stream uses: only server.ts knows the package. */
export interface StreamSocket {
  readonly bufferedAmount: number
  send(data: Buffer, options: { readonly binary: boolean }, onFlushed: () => void): void
  ping(): void
  close(code: number, reason: string): void
  terminate(): void
  on(event: 'message', listener: (data: unknown, isBinary: boolean) => void): unknown
  on(event: 'pong' | 'close' | 'error', listener: () => void): unknown
}

/** A session's WebSocket. Liveness is asked by ping frames, which every client library answers by itself. */
class WebSocketTransport implements Transport {
  readonly kind = 'websocket'
  readonly #socket: StreamSocket
  #hasAnswered = true

  constructor(socket: StreamSocket) {
    this.#socket = socket
    socket.on('pong', () => {
      this.#hasAnswered = true
    })
  }

  get bufferedBytes(): number {
    return this.#socket.bufferedAmount
  }

  send(frame: Frame, onFlushed: () => void): void {
    this.#socket.send(frame.json, { binary: false }, onFlushed)
  }

  probe(): boolean {
    if (!this.#hasAnswered) return false
    this.#hasAnswered = false
    this.#socket.ping()
    return true
  }

  close(closing: Closing): void {
    this.#socket.close(CLOSE_CODES[closing.name].code, formatCloseReason(closing))
  }

  terminate(): void {
    this.#socket.terminate()
  }
}

/** Connects an open, authenticated WebSocket with a session of the hub. Throws `draining`. */
export function adoptWebSocket(socket: StreamSocket, admission: Admission, hub: Hub): void {
  const session = hub.open(admission, new WebSocketTransport(socket))
  socket.on('message', (data, isBinary) => {
    if (isBinary || !Buffer.isBuffer(data)) session.refuse('messages must be text')
    else session.receive(data.toString())
  })
  socket.on('close', () => session.end())
  // 'close' follows; a message over the limit has been answered with 1009, broken framing with 1002.
  socket.on('error', () => session.end())
}

/** What a client offers in `Sec-WebSocket-Protocol`: nothing, our protocol, or something else. */
export type OfferedProtocols = {
  readonly isAcceptable: boolean
  /** The token that a browser sends there, since it cannot send a header of its own. */
  readonly token: string | undefined
}

export function readProtocols(header: string | undefined): OfferedProtocols {
  const offered = (header ?? '').split(',').map((name) => name.trim())
  return {
    isAcceptable: header === undefined || offered.includes(SUBPROTOCOL),
    token: offered.find((name) => name.startsWith(TOKEN_SUBPROTOCOL_PREFIX))?.slice(TOKEN_SUBPROTOCOL_PREFIX.length),
  }
}
