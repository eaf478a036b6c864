import { io, type Socket } from 'socket.io-client'
import { waitUntil } from '../webhooks/rig/wait.ts'

const MISSED_TIMEOUT_MS = 10_000

/**
 * Whether Socket.IO's own client gets from a server what was emitted while it was away: otherwise the server does
 * less than it is compared for. `emit` sends one event to everyone.
 */
export async function recoversItsClients(port: number, emit: () => Promise<void>): Promise<boolean> {
  const client = io(`http://127.0.0.1:${port}`, { transports: ['websocket'], reconnectionDelay: 200 })
  let events = 0
  client.on('event', () => (events += 1))
  try {
    await hears(client, 'connect')
    // Only a client that has had an event knows where it is. The first ones may come before the servers listen.
    await waitUntil('a Socket.IO client to see an event', () => emit().then(() => events > 0))
    const before = events
    await loseConnection(client)
    await emit()
    await hears(client, 'connect')
    await waitUntil('a Socket.IO client to see what it missed', () => events > before, { timeoutMs: MISSED_TIMEOUT_MS })
    return client.recovered
  } finally {
    client.close()
  }
}

async function loseConnection(client: Socket): Promise<void> {
  const lost = hears(client, 'disconnect')
  client.io.engine.close()
  await lost
}

const hears = (client: Socket, event: 'connect' | 'disconnect'): Promise<void> =>
  new Promise((resolve) => client.once(event, () => resolve()))
