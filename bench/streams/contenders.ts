import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { Child } from '../webhooks/rig/child.ts'
import { paced } from '../webhooks/rig/wait.ts'
import { Appender, nextPayload } from './appender.ts'
import type { BareServerCalls } from './bare-server.ts'
import type { CallhalfServerCalls } from './callhalf-server.ts'
import type { ClientsCalls, Server } from './clients.ts'
import { createSocketServer, ROOM } from './socketio.ts'
import { recoversItsClients } from './socketio-check.ts'
import type { SocketioServerCalls } from './socketio-server.ts'
import type { Memory } from './process-figures.ts'

/** What sending so many frames took; processor time is that of the server's process. */
export type Broadcast = { readonly frames: number; readonly seconds: number; readonly cpuUs: number }

const CLIENT_PROCESSES = 2
const POLL_MS = 5
const STALL_MS = 60_000
const SERVER_ARGV = ['--expose-gc']

type Parts = {
  readonly name: string
  readonly process: ServerProcess
  readonly server: Server
  /** Has the server send so many events to every client. */
  readonly emit: (events: number) => Promise<void>
  readonly close: () => Promise<void>
}

type ServerProcess = {
  call(name: 'usage'): Promise<number>
  call(name: 'memory'): Promise<Memory>
  end(signal: 'SIGTERM'): Promise<number>
}

/** A server that fans events out, and its clients. */
export class Contender implements AsyncDisposable {
  readonly name: string
  readonly #parts: Parts
  readonly #clients: readonly Child<ClientsCalls>[]
  #connected = 0

  constructor(parts: Parts) {
    this.name = parts.name
    this.#parts = parts
    this.#clients = Array.from({ length: CLIENT_PROCESSES }, () => startClients(`${parts.name} clients`))
  }

  get server(): Server {
    return this.#parts.server
  }

  get connected(): number {
    return this.#connected
  }

  /** Opens connections until there are so many; resolves with how many a second that were. */
  async connect(count: number): Promise<number> {
    const missing = count - this.#connected
    const shares = this.#clients.map((_client, index) => Math.floor((missing + index) / this.#clients.length))
    const startedAt = performance.now()
    const { server } = this.#parts
    await Promise.all(this.#clients.map((client, index) => client.call('open', { server, count: shares[index] ?? 0 })))
    this.#connected = count
    return (missing * 1_000) / (performance.now() - startedAt)
  }

  /** All at once: whatever batching there is may show. */
  burst(events: number): Promise<Broadcast> {
    return this.#measure(events, () => this.#parts.emit(events))
  }

  /** One event after the other. */
  async atPace(perSecond: number, seconds: number): Promise<Broadcast> {
    const emitting: Promise<void>[] = []
    return this.#measure(Math.round(perSecond * seconds), async () => {
      await paced({ perSecond, seconds }, () => emitting.push(this.#parts.emit(1)))
      await Promise.all(emitting)
    })
  }

  memory(): Promise<Memory> {
    return this.#parts.process.call('memory')
  }

  async cut(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.call('cut')))
    this.#connected = 0
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.end('SIGTERM')))
    await this.#parts.close()
    await this.#parts.process.end('SIGTERM')
  }

  async #measure(events: number, emit: () => Promise<void>): Promise<Broadcast> {
    const frames = events * this.#connected
    const wanted = (await this.#frames()) + frames
    const usedBefore = await this.#parts.process.call('usage')
    const startedAt = performance.now()
    const emitting = emit()
    for (let received = 0; received < wanted;) {
      received = await this.#frames()
      if (performance.now() - startedAt > STALL_MS)
        throw new Error(`${this.name}: ${wanted - received} frames are missing`)
      await delay(POLL_MS)
    }
    await emitting
    const seconds = (performance.now() - startedAt) / 1_000
    return { frames, seconds, cpuUs: (await this.#parts.process.call('usage')) - usedBefore }
  }

  async #frames(): Promise<number> {
    const counts = await Promise.all(this.#clients.map((client) => client.call('frames')))
    return counts.reduce((sum, count) => sum + count, 0)
  }
}

export const startClients = (name: string): Child<ClientsCalls> =>
  new Child<ClientsCalls>(import.meta.resolve('./clients.ts'), { name })

/** What is needed to append to the log that the gateway's hub reads. */
export type CallhalfContender = Contender & { readonly appender: Appender; readonly socketPath: string }

/** The gateway's hub and HTTP server; the events come from its log in Redis. */
export async function startCallhalf(): Promise<CallhalfContender> {
  const child = new Child<CallhalfServerCalls>(import.meta.resolve('./callhalf-server.ts'), { execArgv: SERVER_ARGV })
  const { socketPath, app, subscriberId, port, path, headers } = await child.call('start')
  const appender = new Appender({ socketPath, app, subscriberId })
  const contender = new Contender({
    name: 'callhalf',
    process: child,
    server: { dialect: 'callhalf', port, path, headers },
    emit: (events) => appender.append(events),
    close: async () => appender.close(),
  })
  return Object.assign(contender, { appender, socketPath })
}

/** `ws` sending one frame that is made once. */
export async function startBare(): Promise<Contender> {
  const child = new Child<BareServerCalls>(import.meta.resolve('./bare-server.ts'), { execArgv: SERVER_ARGV })
  const appId = '00000000-0000-4000-8000-000000000000'
  const data = nextPayload({ appId, subscriberId: `${appId}@example.net`, index: 0 })
  const position = { epoch: '1700000000000000', offset: 10_000 }
  const text = JSON.stringify({ type: 'event', event: data.event, position, data })
  const port = await child.call('start', text)
  let sending = Promise.resolve()
  return new Contender({
    name: 'bare ws',
    process: child,
    server: { dialect: 'bare', port, path: '/' },
    emit: (events) => (sending = sending.then(() => child.call('broadcast', events))),
    close: () => Promise.resolve(),
  })
}

/**
 * Socket.IO with its Redis streams adapter and connection state recovery; the events come from this process.
 * Rejects when its own client is not served as it should be.
 */
export async function startSocketio(socketPath: string): Promise<Contender> {
  const child = new Child<SocketioServerCalls>(import.meta.resolve('./socketio-server.ts'), { execArgv: SERVER_ARGV })
  const port = await child.call('start', socketPath)
  const redis = new Redis({ path: socketPath })
  const emitter = createSocketServer(redis)
  const appId = '00000000-0000-4000-8000-000000000000'
  let emitted = 0
  const emit = async (events: number) => {
    for (let left = events; left > 0; left -= 1) {
      emitter.to(ROOM).emit('event', nextPayload({ appId, subscriberId: `${appId}@example.net`, index: emitted++ }))
    }
  }
  const close = async () => {
    // Not the whole server: it has never listened.
    await emitter.of('/').adapter.close()
    redis.disconnect()
  }
  if (!(await recoversItsClients(port, () => emit(1)))) throw new Error('Socket.IO recovers nothing')
  return new Contender({
    name: 'socket.io',
    process: child,
    server: { dialect: 'socket.io', port, path: '/socket.io/?EIO=4&transport=websocket' },
    emit,
    close,
  })
}
