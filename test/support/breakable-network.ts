import { connect, createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'

/** A network between a client and a server that can swallow what is sent, or break. */
export class BreakableNetwork {
  /** Of the server that new connections lead to. */
  port: number
  readonly #server: Server
  readonly #pairs = new Set<readonly [Socket, Socket]>()

  constructor(port: number) {
    this.port = port
    this.#server = createServer((client) => {
      const server = connect(this.port, '127.0.0.1')
      const pair = [client, server] as const
      this.#pairs.add(pair)
      for (const socket of pair) {
        socket.on('error', () => undefined)
        socket.on('close', () => {
          this.#pairs.delete(pair)
          for (const other of pair) other.destroy()
        })
      }
      client.pipe(server)
      server.pipe(client)
    })
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return this
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** From now on nothing gets through the connections that there are, and nobody is told. */
  swallow(): void {
    for (const [client, server] of this.#pairs) {
      client.unpipe(server)
      server.unpipe(client)
      client.resume()
      server.resume()
    }
  }

  /** Breaks the connections that there are. */
  break(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.resetAndDestroy()
  }

  async stop(): Promise<void> {
    this.break()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}
