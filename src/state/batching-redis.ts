import { Redis } from 'ioredis'

/**
 * A connection to Redis that sends the commands of one turn of the event loop in one write. ioredis writes each
 * command by itself, and the system call costs more than the rest of sending it; the replies to many commands
 * arrive in one read, so what they lead to is usually sent in one turn, too. An idle process sends at once:
 * nothing is between the command and the end of the turn.
 */
export class BatchingRedis extends Redis {
  override sendCommand(...args: Parameters<Redis['sendCommand']>): unknown {
    const socket = this.stream
    // There is none before the first connection.
    if (socket?.writableCorked === 0) {
      socket.cork()
      setImmediate(() => socket.uncork())
    }
    return super.sendCommand(...args)
  }
}
