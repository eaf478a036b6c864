import { fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { gzipSync } from 'node:zlib'

/** One way to answer badly. */
type Misbehaviour = {
  readonly name: string
  readonly scheme?: 'https'
  /** What comes of an attempt, in one word. */
  readonly outcome: string
  /** Whether an attempt lasts until its deadline. */
  readonly lasts?: true
  /** Called when a request began to arrive; for https, when a socket was accepted. */
  readonly serve: (socket: Socket) => void
}

/** A misbehaving receiver, and where it listens. */
export type HostileReceiver = Pick<Misbehaviour, 'name' | 'outcome' | 'lasts'> & { readonly url: string }

/**
 * Starts one receiver of every kind, in a process of their own, so that what they cost is not taken for a
 * cost of the sender.
 */
export async function startHostileReceivers(): Promise<{
  readonly receivers: readonly HostileReceiver[]
  readonly stop: () => Promise<void>
}> {
  const child = fork(import.meta.filename, { execArgv: [] })
  const [receivers] = (await once(child, 'message')) as [readonly HostileReceiver[]]
  return {
    receivers,
    stop: async () => {
      child.disconnect()
      await once(child, 'exit')
    },
  }
}

const OK = 'HTTP/1.1 200 OK\r\n'
const CHUNKED = `${OK}transfer-encoding: chunked\r\n\r\n`

/** Ten million zeros in ten kilobytes. */
const BOMB = gzipSync(Buffer.alloc(10_000_000), { level: 9 })

/** Writes the same again and again, as fast as it is taken. */
function pour(socket: Socket, bytes: Buffer): void {
  const more = () => {
    while (!socket.destroyed && socket.write(bytes));
  }
  socket.on('drain', more)
  more()
}

function drip(socket: Socket, text: string, everyMs: number): void {
  const timer = setInterval(() => socket.write(text), everyMs)
  socket.on('close', () => clearInterval(timer))
}

const MISBEHAVIOURS: readonly Misbehaviour[] = [
  { name: 'says nothing', outcome: 'timeout', lasts: true, serve: () => undefined },
  {
    name: 'endless body',
    outcome: 'delivered',
    serve: (socket) => {
      socket.write(`${OK}\r\n`)
      pour(socket, Buffer.alloc(65_536, 'x'))
    },
  },
  {
    name: 'a byte every 100 ms',
    outcome: 'delivered',
    lasts: true,
    serve: (socket) => {
      socket.write(`${OK}content-length: 1000000\r\n\r\n`)
      drip(socket, '.', 100)
    },
  },
  {
    name: 'body that never goes on',
    outcome: 'delivered',
    lasts: true,
    serve: (socket) => socket.write(`${CHUNKED}2\r\nok\r\n`),
  },
  {
    name: 'header of 10 MB',
    outcome: 'bad_response',
    serve: (socket) => socket.write(`${OK}x-a: ${'a'.repeat(10_000_000)}\r\n\r\n`),
  },
  {
    name: 'a hundred thousand headers',
    outcome: 'bad_response',
    serve: (socket) => socket.write(`${OK}${'x-a: b\r\n'.repeat(100_000)}\r\n`),
  },
  {
    name: 'gzip bomb',
    outcome: 'delivered',
    serve: (socket) => {
      socket.write(`${OK}content-encoding: gzip\r\ncontent-length: ${BOMB.length}\r\n\r\n`)
      socket.write(BOMB)
    },
  },
  { name: 'no TLS handshake', scheme: 'https', outcome: 'timeout', lasts: true, serve: () => undefined },
  {
    name: 'http where TLS belongs',
    scheme: 'https',
    outcome: 'tls_error',
    serve: (socket) => socket.write(`${OK}content-length: 0\r\n\r\n`),
  },
  { name: 'reset before the status', outcome: 'connection_lost', serve: (socket) => socket.resetAndDestroy() },
  {
    name: 'reset after the headers',
    outcome: 'delivered',
    serve: (socket) => socket.write(`${OK}content-length: 100\r\n\r\n`, () => socket.resetAndDestroy()),
  },
  {
    name: 'status line that never ends',
    outcome: 'timeout',
    lasts: true,
    serve: (socket) => {
      socket.write('HTTP/1.1 200 ')
      drip(socket, 'O'.repeat(16_384), 10)
    },
  },
  {
    name: 'flood of 100s',
    outcome: 'bad_response',
    serve: (socket) => pour(socket, Buffer.from('HTTP/1.1 100 Continue\r\n\r\n'.repeat(500))),
  },
  {
    name: 'flood of 103s',
    outcome: 'timeout',
    lasts: true,
    serve: (socket) => drip(socket, 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n'.repeat(20), 10),
  },
  {
    name: 'answers that nobody asked for',
    outcome: 'delivered',
    serve: (socket) =>
      socket.write(
        `${OK}keep-alive: timeout=1000000\r\ncontent-length: 0\r\n\r\n${'HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n'.repeat(50)}`,
      ),
  },
  {
    name: 'body shorter than it says',
    outcome: 'delivered',
    serve: (socket) => socket.end(`${OK}content-length: 50\r\n\r\nab`),
  },
  {
    name: 'chunks that are none',
    outcome: 'delivered',
    serve: (socket) => socket.write(`${CHUNKED}zz\r\nok\r\n`),
  },
  { name: 'something else than http', outcome: 'bad_response', serve: (socket) => socket.write('SSH-2.0-x\r\n') },
]

/** Servers that do to whoever asks them everything that a receiver should not, on loopback ports of their own. */
class Servers {
  readonly #servers: Server[] = []
  readonly #sockets = new Set<Socket>()

  async start(): Promise<readonly HostileReceiver[]> {
    return Promise.all(
      MISBEHAVIOURS.map(async ({ serve, scheme, ...about }) => ({
        ...about,
        url: `${scheme ?? 'http'}://127.0.0.1:${await this.#listen(serve, scheme === 'https')}/`,
      })),
    )
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all(
      this.#servers.map(async (server) => {
        server.close()
        await once(server, 'close')
      }),
    )
  }

  async #listen(serve: Misbehaviour['serve'], atOnce: boolean): Promise<number> {
    const server = createServer((socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
      socket.on('error', () => undefined)
      if (atOnce) serve(socket)
      // A request may come in pieces, and another one later over the same socket.
      socket.on('data', (bytes) => {
        if (!atOnce && bytes.toString('latin1', 0, 5) === 'POST ') serve(socket)
      })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    this.#servers.push(server)
    const address = server.address()
    if (typeof address !== 'object' || address === null) throw new Error('the receiver does not listen')
    return address.port
  }
}

/** The process of the receivers: tells where they listen, and ends when its parent disconnects. */
async function runReceivers(): Promise<void> {
  const servers = new Servers()
  process.send?.(await servers.start())
  await once(process, 'disconnect')
  await servers.stop()
}

if (process.argv[1] === import.meta.filename) await runReceivers()
