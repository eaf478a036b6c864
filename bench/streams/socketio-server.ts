/**
 * Socket.IO as it is run on several machines: events come from another process through the Redis streams
 * adapter, and clients that come back get what they missed; started by `Child`.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Redis } from 'ioredis'
import type { Server } from 'socket.io'
import { answerCalls } from '../webhooks/rig/child.ts'
import { processFigures } from './process-figures.ts'
import { createSocketServer, ROOM } from './socketio.ts'

const server = createServer()
let redis: Redis | undefined
let io: Server | undefined

const calls = {
  /** Returns the port. */
  async start(socketPath: string): Promise<number> {
    redis = new Redis({ path: socketPath })
    io = createSocketServer(redis)
    io.attach(server)
    io.on('connection', (socket) => void socket.join(ROOM))
    server.listen({ port: 0, host: '127.0.0.1', backlog: 1_024 })
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  },
  ...processFigures,
}

export type SocketioServerCalls = typeof calls

answerCalls(calls, async () => {
  await io?.close()
  redis?.disconnect()
})
