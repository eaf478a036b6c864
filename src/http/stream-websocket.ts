import type { Duplex } from 'node:stream'
import type { Closing } from '../streams/close-codes.ts'
import { CLOSE_CODES, formatCloseReason } from '../streams/close-codes.ts'
import type { Frame, Sendable } from '../streams/frame.ts'
import type { Admission, Hub } from '../streams/hub.ts'
import type { Pace } from '../streams/pace.ts'
import { SUBPROTOCOL, TOKEN_SUBPROTOCOL_PREFIX } from '../streams/protocol.ts'
import type { Session } from '../streams/session.ts'
import type { Transport } from '../streams/transport.ts'
import { WEBSOCKET_PING } from '../streams/websocket-text.ts'

/** `readyState` of a WebSocket on which messages may be sent. */
const OPEN = 1
/** How long a client that floods us has to notice that it was closed. */
const FLOOD_CLOSE_MS = 1_000
/** How long a client that sends nothing more has to read what it was sent before. */
const END_TIMEOUT_MS = 5_000

const STREAM = Symbol('stream')

/** The part of a WebSocket of `ws` that a stream uses: only server.ts knows the package. */
interface StreamSocket {
  readonly readyState: number
  pong(data: Buffer): void
  pause(): void
  close(code: number, reason: string): void
  terminate(): void
  on(event: 'message', listener: (this: StreamSocket, data: unknown, isBinary: boolean) => void): unknown
  on(event: 'ping', listener: (this: StreamSocket, data: Buffer) => void): unknown
  on(event: 'pong' | 'close' | 'error', listener: (this: StreamSocket) => void): unknown
  /** Set here. */
  [STREAM]?: Stream
}

/** Set here. */
type Wire = Duplex & { [STREAM]?: Stream }

/** What belongs to a WebSocket: kept with it and its connection, so that all of them can share their listeners. */
type Stream = {
  readonly transport: WebSocketTransport
  readonly session: Session
  readonly closingPace: Pick<Pace, 'turn'>
  /** What `ws` does when the client sends nothing more: it ends our side, too. */
  readonly endWire: ((this: Duplex) => void) | undefined
}

/** A WebSocket and the connection under it. */
export type StreamConnection = {
  readonly socket: StreamSocket
  readonly wire: Wire
  /** Gives the end of a connection its turn. */
  readonly closingPace: Pick<Pace, 'turn'>
}

/**
 * A session's WebSocket. `ws` reads it, and writes its control frames; ours are whole messages already, and
 * go to the connection as they are, any number in one write. That is safe because `ws` writes each of its
 * frames at once, too, as long as nothing is compressed. Liveness is asked by ping frames, which every
 * client library answers by itself.
 */
class WebSocketTransport implements Transport {
  readonly kind = 'websocket'
  readonly #socket: StreamSocket
  readonly #wire: Duplex
  #hasAnswered = true

  constructor({ socket, wire }: Pick<StreamConnection, 'socket' | 'wire'>) {
    this.#socket = socket
    this.#wire = wire
  }

  get isCongested(): boolean {
    return this.#wire.writableNeedDrain
  }

  send({ websocket }: Sendable): void {
    if (this.#socket.readyState === OPEN) this.#wire.write(websocket)
  }

  onceReady(listener: () => void): void {
    this.#wire.once('drain', listener)
  }

  probe(ping: Frame | undefined): boolean {
    if (!this.#hasAnswered) return false
    this.#hasAnswered = false
    if (this.#socket.readyState === OPEN) this.#wire.write(ping?.websocketProbe ?? WEBSOCKET_PING)
    return true
  }

  /** The client has given the sign of life that {@link probe} asks for. */
  noteAnswer(): void {
    this.#hasAnswered = true
  }

  /** Answers a client that asks; not one that does not read, or the answers would pile up. */
  answer(data: Buffer): void {
    if (!this.isCongested && this.#socket.readyState === OPEN) this.#socket.pong(data)
  }

  close(closing: Closing): void {
    const { code } = CLOSE_CODES[closing.name]
    this.#socket.close(code, formatCloseReason(closing))
    if (closing.name !== 'too_many_messages') return
    // It is not read any more, so its own goodbye would not be seen either.
    this.#socket.pause()
    setTimeout(() => this.#socket.terminate(), FLOOD_CLOSE_MS).unref()
  }

  terminate(): void {
    this.#socket.terminate()
  }
}

/** Connects an open, authenticated WebSocket with a session of the hub. Throws what {@link Hub.open} throws. */
export function adoptWebSocket(connection: StreamConnection, admission: Admission, hub: Hub): void {
  const transport = new WebSocketTransport(connection)
  const { socket, wire, closingPace } = connection
  const session = hub.open(admission, transport)
  const stream: Stream = { transport, session, closingPace, endWire: takeEndListener(wire) }
  socket[STREAM] = stream
  wire[STREAM] = stream
  socket.on('message', onMessage)
  socket.on('ping', onPing)
  socket.on('pong', onPong)
  socket.on('close', onEnd)
  // 'close' follows; a message over the limit has been answered with 1009, broken framing with 1002.
  socket.on('error', onEnd)
  wire.on('end', onWireEnd)
}

/** Takes away from the connection what `ws` does at its end; nobody has listened to that after `ws`. */
function takeEndListener(wire: Wire): Stream['endWire'] {
  const listener = wire.listeners('end').at(-1)
  if (!isListener(listener)) return undefined
  wire.off('end', listener)
  return listener
}

const isListener = (value: unknown): value is (this: Duplex) => void => typeof value === 'function'

/** Nothing more is sent to who sends nothing more. */
function onWireEnd(this: Wire): void {
  const stream = this[STREAM]
  if (stream === undefined) return
  stream.session.end()
  // Not awaited: never rejects.
  void closeInTurn(this, stream)
}

/** Thousands may leave at once, and closing their connections is what that costs. */
async function closeInTurn(wire: Wire, { closingPace, endWire }: Stream): Promise<void> {
  await closingPace.turn()
  if (wire.destroyed) return
  endWire?.call(wire)
  // The client may not read what is still on its way to it, and nothing else would end that.
  if (wire.writableLength > 0) setTimeout(() => wire.destroy(), END_TIMEOUT_MS).unref()
}

function onMessage(this: StreamSocket, data: unknown, isBinary: boolean): void {
  const session = this[STREAM]?.session
  if (isBinary || !Buffer.isBuffer(data)) session?.inbox.refuse('messages must be text')
  else session?.inbox.receive(data.toString())
}

function onPing(this: StreamSocket, data: Buffer): void {
  if (this[STREAM]?.session.inbox.count() === true) this[STREAM].transport.answer(data)
}

function onPong(this: StreamSocket): void {
  if (this[STREAM]?.session.inbox.count() === true) this[STREAM].transport.noteAnswer()
}

function onEnd(this: StreamSocket): void {
  this[STREAM]?.session.end()
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
