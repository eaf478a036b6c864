/** The least that a broadcast can be with `ws`: one frame, made once, written to every connection; started by `Child`. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { WebSocketServer } from 'ws'
import { encodeWebSocketText } from '../../src/streams/websocket-text.ts'
import { answerCalls } from '../webhooks/rig/child.ts'
import { processFigures } from './process-figures.ts'

const server = createServer()
const webSockets = new WebSocketServer({ server, perMessageDeflate: false })
const wires = new Set<Socket>()
webSockets.on('connection', (webSocket, request) => {
  wires.add(request.socket)
  webSocket.on('error', () => undefined)
  webSocket.on('close', () => wires.delete(request.socket))
})

/** A frame as the gateway would make it, of the payload given. */
let message: Buffer = Buffer.alloc(0)

const calls = {
  /** Returns the port. `text` is what every frame holds. */
  async start(text: string): Promise<number> {
    ;({ message } = encodeWebSocketText(text))
    server.listen({ port: 0, host: '127.0.0.1', backlog: 1_024 })
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  },
  /** Sends so many frames to everyone, no faster than the slowest takes them. */
  async broadcast(frames: number): Promise<void> {
    for (let sent = 0; sent < frames; sent += 1) {
      for (const wire of wires) wire.write(message)
      await nextTurn()
      for (const wire of wires) if (wire.writableNeedDrain) await once(wire, 'drain')
    }
  },
  ...processFigures,
}

export type BareServerCalls = typeof calls

answerCalls(calls)
