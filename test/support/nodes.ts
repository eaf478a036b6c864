import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import type { Server, Socket } from 'node:net'
import { createServer as createTcpServer } from 'node:net'

export type Listener = (req: IncomingMessage, res: ServerResponse) => unknown

const portOf = (server: Server): number => {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server has no port')
  return address.port
}

const listen = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })

const close = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve())
  })

/** Servers on 127.0.0.1 that stand for a provider's nodes, each on a port of its own. */
export class TestNodes {
  readonly #servers: { readonly server: Server; readonly sockets: ReadonlySet<Socket> }[] = []

  /** Starts an HTTP server; `listener` may be async. */
  serve(listener: Listener): Promise<URL> {
    return this.start(createServer((req, res) => void listener(req, res)))
  }

  /** Starts any server; the URL's scheme is http. */
  async start(server: Server): Promise<URL> {
    const sockets = new Set<Socket>()
    server.on('connection', (socket: Socket) => {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
    })
    await listen(server)
    this.#servers.push({ server, sockets })
    return new URL(`http://127.0.0.1:${portOf(server)}`)
  }

  /** A URL where nothing listens. */
  async dead(): Promise<URL> {
    const server = createTcpServer()
    await listen(server)
    const port = portOf(server)
    await close(server)
    return new URL(`http://127.0.0.1:${port}`)
  }

  /** Stops all of them and breaks their connections. */
  async close(): Promise<void> {
    for (const { server, sockets } of this.#servers.splice(0)) {
      for (const socket of sockets) socket.destroy()
      await close(server)
    }
  }
}
