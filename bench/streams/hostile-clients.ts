/** A process with clients that mean harm; started by `Child`. */
import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { constants, setPriority } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { answerCalls } from '../webhooks/rig/child.ts'
import type { Server } from './clients.ts'
import { RawClient } from './raw-client.ts'

type Attack = { readonly server: Server; readonly lanes: number; readonly seconds: number }

/** As a client in a tight loop would, without using up the machine that it shares with the server. */
const PAUSE_MS = 20
const GARBAGE_WAIT_MS = 200
const FLOOD_MESSAGES = 2_000
const FLOOD_WAIT_MS = 1_500

const untilClosed = (socket: Socket, ms: number): Promise<unknown> =>
  Promise.race([new Promise((resolve) => socket.once('close', resolve)), delay(ms)])

/** Opens a stream as it should be, for a misuse of it. */
async function openStream({ port, path, headers = {} }: Server): Promise<RawClient> {
  const client = new RawClient({
    port,
    path,
    headers,
    onText: () => undefined,
    isWhole: () => false,
    onClose: () => undefined,
  })
  await client.opened
  return client
}

const GARBAGE: readonly ((server: Server) => Promise<Socket>)[] = [
  // Not HTTP.
  async ({ port }) => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.write(randomBytes(512))
    return socket
  },
  // Not WebSocket frames.
  async (server) => {
    const { socket } = await openStream(server)
    socket.write(randomBytes(512))
    return socket
  },
  // A frame that claims to be huge.
  async (server) => {
    const { socket } = await openStream(server)
    socket.write(Buffer.from([0x81, 0xff, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]))
    return socket
  },
  // Not the protocol.
  async (server) => {
    const client = await openStream(server)
    client.send('{"op":"subscribe","after":{"epoch":[],"offset":-1}}')
    return client.socket
  },
  // JSON without end.
  async (server) => {
    const client = await openStream(server)
    client.send('['.repeat(30_000))
    return client.socket
  },
]

async function repeat({ lanes, seconds }: Attack, attack: (index: number) => Promise<void>): Promise<string> {
  const until = performance.now() + seconds * 1_000
  let attacks = 0
  const lane = async () => {
    while (performance.now() < until) {
      await attack(attacks++).catch(() => undefined)
      await delay(PAUSE_MS)
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  return `${attacks} times`
}

const calls = {
  /** Leaves the processors to others first, as if it were on another machine. */
  giveWay(): void {
    setPriority(constants.priority.PRIORITY_BELOW_NORMAL)
  },
  garbage: (attack: Attack): Promise<string> =>
    repeat(attack, async (index) => {
      const socket = await GARBAGE[index % GARBAGE.length]?.(attack.server)
      if (socket === undefined) return
      socket.on('error', () => undefined)
      await untilClosed(socket, GARBAGE_WAIT_MS)
      socket.destroy()
    }),
  /** Valid messages, thousands at a time. */
  flood: (attack: Attack): Promise<string> =>
    repeat(attack, async () => {
      const client = await openStream(attack.server)
      client.send('{"op":"subscribe","after":null}')
      for (let sent = 0; sent < FLOOD_MESSAGES && !client.socket.destroyed; sent += 1) {
        client.send('{"op":"filter","filter":null}')
      }
      await untilClosed(client.socket, FLOOD_WAIT_MS)
      client.destroy()
    }),
}

export type HostileCalls = typeof calls

answerCalls(calls)
