import type { Server } from 'node:http'
import { createServer } from 'node:net'
import type { AddressInfo, Server as Listener, Socket } from 'node:net'
import { GatewayError } from '../core/errors.ts'
import type { Pace } from '../streams/pace.ts'

const TCP_KEEP_ALIVE_MS = 30_000
/** Connections that the system keeps for us while they wait to be taken. */
const BACKLOG = 1_024
const IDLE_CHECK_MS = 100

export type IntakeOptions = {
  /** Who speaks with those that connect; it does not listen by itself. */
  readonly server: Server
  /** For what connections cost that come at once. */
  readonly pace: Pick<Pace, 'turn'>
  /** Learns of failures after the start. */
  readonly onError: (error: Error) => void
}

/**
 * Takes connections for an HTTP server, a few in each turn of the event loop: left alone, Node takes all that wait and
 * reads their requests in one, which with thousands of streams that come back takes long enough to be heard in every
 * other. Nothing is read from those that wait here.
 */
export class Intake {
  readonly #server: Server
  readonly #pace: Pick<Pace, 'turn'>
  readonly #onError: (error: Error) => void
  readonly #listener: Listener
  readonly #sockets = new Set<Socket>()

  constructor({ server, pace, onError }: IntakeOptions) {
    this.#server = server
    this.#pace = pace
    this.#onError = onError
    // The options that Node's HTTP servers give to their own listeners.
    this.#listener = createServer({
      pauseOnConnect: true,
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: TCP_KEEP_ALIVE_MS,
    })
    const sockets = this.#sockets
    // One function for all: an idle stream is little more than what is remembered here.
    const forget = function (this: Socket): void {
      sockets.delete(this)
    }
    this.#listener.on('connection', (socket) => {
      sockets.add(socket)
      socket.on('close', forget)
      // Not awaited: never rejects.
      void this.#admit(socket)
    })
  }

  /** Undefined while it does not listen. */
  get address(): AddressInfo | undefined {
    const address = this.#listener.address()
    return typeof address === 'object' && address !== null ? address : undefined
  }

  /** Rejects with `internal` when the address cannot be listened on. A port of 0 is any free one. */
  async listen({ host, port }: { readonly host: string; readonly port: number }): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#listener.once('error', (cause) =>
        reject(new GatewayError('internal', { detail: `cannot listen on ${host}:${port}`, cause })),
      )
      this.#listener.listen({ host, port, backlog: BACKLOG }, resolve)
    })
    this.#listener.removeAllListeners('error')
    this.#listener.on('error', this.#onError)
    // It begins to look for requests that take too long when it listens, which it never does by itself.
    this.#server.emit('listening')
  }

  /** Takes no more connections; resolves when those there are have been closed, all of them at the deadline. */
  async close(deadline: AbortSignal): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#listener.close(() => resolve()))
    this.#server.close()
    // The server closes idle connections once, now; others become idle as they finish.
    const idleCheck = setInterval(() => this.#server.closeIdleConnections(), IDLE_CHECK_MS)
    const cut = () => {
      for (const socket of this.#sockets) socket.destroy()
    }
    if (deadline.aborted) cut()
    else deadline.addEventListener('abort', cut, { once: true })
    await closed
    clearInterval(idleCheck)
    deadline.removeEventListener('abort', cut)
  }

  async #admit(socket: Socket): Promise<void> {
    await this.#pace.turn()
    if (socket.destroyed) return
    this.#server.emit('connection', socket)
    socket.resume()
  }
}
