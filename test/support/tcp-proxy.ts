import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'

/** One address whose server may be exchanged or unreachable, as behind a failover. */
export class TcpProxy implements AsyncDisposable {
  /** The port on this machine that connections lead to; undefined: they are refused at once. */
  target: number | undefined
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #port = 0

  private constructor(target: number) {
    this.target = target
    this.#server = createServer((socket) => this.#serve(socket))
  }

  static async start(target: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(target)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    const address = proxy.#server.address()
    proxy.#port = typeof address === 'object' && address !== null ? address.port : 0
    return proxy
  }

  get port(): number {
    return this.#port
  }

  /** Breaks all connections; new ones lead to `target`, or nowhere. */
  switchTo(target: number | undefined): void {
    this.target = target
    for (const socket of this.#sockets) socket.destroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.switchTo(undefined)
    this.#server.close()
    await once(this.#server, 'close')
  }

  #serve(socket: Socket): void {
    if (this.target === undefined) return void socket.destroy()
    const server = connect(this.target, '127.0.0.1')
    for (const [from, to] of [
      [socket, server],
      [server, socket],
    ] as const) {
      this.#sockets.add(from)
      from.on('error', () => to.destroy())
      from.on('close', () => {
        this.#sockets.delete(from)
        to.destroy()
      })
      from.pipe(to)
    }
  }
}
