import { createAdapter } from '@socket.io/redis-streams-adapter'
import type { Redis } from 'ioredis'
import { Server } from 'socket.io'

/** Where all clients are. */
export const ROOM = 'app'
const RECOVERABLE_MS = 120_000
/** As the gateway's logs. */
const STREAM_LENGTH_MAX = 20_000

/** One of several Socket.IO servers that share a Redis stream; clients that come back get what they missed. */
export const createSocketServer = (redis: Redis): Server =>
  new Server({
    adapter: createAdapter(redis, { maxLen: STREAM_LENGTH_MAX, onlyPlaintext: true }),
    connectionStateRecovery: { maxDisconnectionDuration: RECOVERABLE_MS },
    transports: ['websocket'],
    perMessageDeflate: false,
    serveClient: false,
  })
