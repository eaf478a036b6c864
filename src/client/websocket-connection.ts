import type { Connection, ConnectionBase } from './connection.ts'
import type { Ending } from './endings.ts'
import { readEnding } from './endings.ts'
import type { ClientFrame } from './frames.ts'
import { SUBPROTOCOL, TOKEN_SUBPROTOCOL_PREFIX, parseFrame } from './frames.ts'

/** Sent when the client gives a connection up; whoever reads the gateway's or a proxy's log sees why. */
const GIVEN_UP = 4900
/** After an `error`, for the `close` that says more; some runtimes have none after a failed handshake. */
const CLOSE_AFTER_ERROR_MS = 1_000
/** For the peer's part in the closing handshake. */
const CLOSE_TIMEOUT_MS = 3_000
/** How often to look whether the peer has been silent, in parts of the allowed silence. */
const CHECKS_PER_SILENCE = 10

export type WebSocketConnectionOptions = ConnectionBase & {
  /** `wss://…/apps/{app_id}/stream` */
  readonly url: string
  readonly token: string
  readonly WebSocket: typeof WebSocket
}

/**
 * One WebSocket, from its opening to its end, whatever the reason. It counts as ended as soon as this side
 * knows: a peer that does not answer any more does not take part in a closing handshake either.
 */
export class WebSocketConnection implements Connection {
  readonly #options: WebSocketConnectionOptions
  readonly #socket: WebSocket
  readonly #timers = new Set<ReturnType<typeof setTimeout>>()
  #settle: (ending: Ending) => void = () => undefined
  #isEnded = false
  #heardAt = 0
  readonly ended: Promise<Ending>

  /** Throws what the WebSocket's constructor throws for a URL that it does not take. */
  constructor(options: WebSocketConnectionOptions) {
    this.#options = options
    const { url, token, WebSocket: Socket } = options
    this.ended = new Promise((resolve) => {
      this.#settle = resolve
    })
    this.#socket = new Socket(url, [SUBPROTOCOL, TOKEN_SUBPROTOCOL_PREFIX + token])
    this.#socket.addEventListener('open', () => this.#onOpen())
    this.#socket.addEventListener('message', ({ data }) => this.#onMessage(data))
    this.#socket.addEventListener('error', () => this.#after(CLOSE_AFTER_ERROR_MS, 'connection_lost'))
    this.#socket.addEventListener('close', ({ code, reason }) => this.#end(readEnding(code, reason)))
    this.#after(options.openTimeoutMs, 'open_timeout')
  }

  send(frame: ClientFrame): void {
    if (!this.#isEnded && this.#socket.readyState === this.#socket.OPEN) this.#socket.send(JSON.stringify(frame))
  }

  close(name = 'closed'): void {
    this.#end({ name, action: 'resume' })
    this.#hangUp(1000)
  }

  #onOpen(): void {
    this.#clearTimers()
    this.#heardAt = Date.now()
    this.#checkSilence()
    this.send(this.#options.subscribe)
  }

  #onMessage(data: unknown): void {
    if (this.#isEnded) return
    this.#heardAt = Date.now()
    try {
      const frame = parseFrame(String(data))
      if (frame !== undefined) this.#options.onFrame(frame)
    } catch {
      this.#giveUp('not_a_frame')
    }
  }

  /** By the wall clock, so that a machine that wakes from sleep notices at once. */
  #checkSilence(): void {
    const { silenceMs } = this.#options
    if (Date.now() - this.#heardAt >= silenceMs) return this.#giveUp('silent')
    this.#timers.add(setTimeout(() => this.#checkSilence(), silenceMs / CHECKS_PER_SILENCE))
  }

  #after(ms: number, name: string): void {
    if (!this.#isEnded) this.#timers.add(setTimeout(() => this.#giveUp(name), ms))
  }

  #giveUp(name: string): void {
    this.#end({ name, action: 'resume' })
    this.#hangUp(GIVEN_UP, name)
  }

  /** Of the usual implementations only that of the package `ws` can be cut off when the peer does not answer. */
  #hangUp(code: number, reason?: string): void {
    const socket: WebSocket & { readonly terminate?: () => void } = this.#socket
    socket.close(code, reason)
    if (socket.terminate === undefined || socket.readyState === socket.CLOSED) return
    const timer = setTimeout(() => socket.terminate?.(), CLOSE_TIMEOUT_MS)
    socket.addEventListener('close', () => clearTimeout(timer))
  }

  #end(ending: Ending): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#clearTimers()
    this.#settle(ending)
  }

  #clearTimers(): void {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
  }
}
