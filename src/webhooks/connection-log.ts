import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Socket } from 'node:net'
import type { Clock } from '../core/clock.ts'

/** How a socket came to be; milliseconds. */
export type Connection = {
  /** Monotonic. */
  readonly openedAt: number
  readonly dnsMs?: number
  readonly connectMs: number
  readonly tlsMs?: number
  readonly remoteAddress: string
}

/** That a request has been written to a socket, at a monotonic time. */
export type Sending = { readonly at: number; readonly connection: Connection | undefined; readonly isFirst: boolean }

/** undici tells of every request here in the moment it writes its head: `{request, headers, socket}`. */
const CHANNEL = 'undici:client:sendHeaders'

/**
 * Tells over which connection a request went. undici does not tell the sender, but in the moment that it
 * writes a request it publishes request and socket together in a diagnostics channel: directly after it has
 * called the sender's `onRequestStart`, with nothing in between. So the one that said last what it expects is
 * the sender, and that the request's `body` is the very buffer that it handed in proves it.
 */
export class ConnectionLog {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #connections = new WeakMap<Socket, { readonly connection: Connection; isUsed: boolean }>()
  #expected: { readonly body: Uint8Array; readonly sender: (sending: Sending) => void } | undefined
  readonly #receive = (message: unknown): void => {
    const expected = this.#expected
    this.#expected = undefined
    if (expected === undefined || typeof message !== 'object' || message === null) return
    if (!('request' in message) || !('socket' in message) || !(message.socket instanceof Socket)) return
    const { request, socket } = message
    if (typeof request !== 'object' || request === null || !('body' in request)) return
    if (request.body !== expected.body) return
    const known = this.#connections.get(socket)
    expected.sender({ at: this.#clock.monotonic(), connection: known?.connection, isFirst: known?.isUsed === false })
    if (known !== undefined) known.isUsed = true
  }

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock
  }

  start(): void {
    subscribe(CHANNEL, this.#receive)
  }

  stop(): void {
    unsubscribe(CHANNEL, this.#receive)
  }

  /** Remembers how a socket was opened. */
  add(socket: Socket, connection: Connection): void {
    this.#connections.set(socket, { connection, isUsed: false })
  }

  /** Calls `sender` if the request that is written next has this body. */
  expect(body: Uint8Array, sender: (sending: Sending) => void): void {
    this.#expected = { body, sender }
  }
}
