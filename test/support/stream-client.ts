import { once } from 'node:events'
import * as v from 'valibot'
import { WebSocket } from 'ws'
import type { Position } from '../../src/core/position.ts'
import { PositionSchema } from '../../src/core/position.ts'

/** As on the wire, without the brands. */
export type StreamFilter = { readonly subscriber_ids?: readonly string[]; readonly event_types?: readonly string[] }

const DEADLINE_MS = 10_000

export const FrameSchema = v.looseObject({
  type: v.string(),
  recovered: v.optional(v.boolean()),
  reason: v.optional(v.unknown()),
  position: v.optional(PositionSchema),
  request_id: v.optional(v.string()),
  status: v.optional(v.number()),
  dropped: v.optional(v.number()),
  event: v.optional(v.string()),
  snapshot: v.optional(v.array(v.looseObject({ call_id: v.string(), state: v.string() }))),
  data: v.optional(
    v.looseObject({ n: v.optional(v.number()), state: v.optional(v.string()), call_id: v.optional(v.string()) }),
  ),
})
export type ReceivedFrame = v.InferOutput<typeof FrameSchema>

export type Closed = { readonly code: number; readonly reason: string }

/** A client of one stream over a real WebSocket that remembers everything it received. */
export class StreamClient {
  readonly socket: WebSocket
  readonly frames: ReceivedFrame[] = []
  readonly closed: Promise<Closed>
  /** Called with each frame as it comes. */
  onFrame: (frame: ReceivedFrame) => void = () => undefined
  /** Of those who wait for a frame, or for the end. */
  readonly #waiting = new Set<() => void>()

  private constructor(socket: WebSocket) {
    this.socket = socket
    socket.on('message', (data: Buffer) => {
      const frame = v.parse(FrameSchema, JSON.parse(data.toString()))
      this.frames.push(frame)
      this.onFrame(frame)
      this.#wake()
    })
    // A connection that is cut off also ends with 'close'.
    socket.on('error', () => undefined)
    this.closed = new Promise((resolve) => {
      socket.once('close', (code, reason) => {
        resolve({ code, reason: reason.toString() })
        this.#wake()
      })
    })
  }

  /** Of the frames received, but for pings, which come when it is time. */
  get types(): readonly string[] {
    return this.frames.map(({ type }) => type).filter((type) => type !== 'ping')
  }

  static async open(
    url: string,
    options: {
      readonly key?: string
      readonly protocols?: readonly string[]
      readonly autoPong?: boolean
      /** Trusted for a server with TLS. */
      readonly ca?: string
    },
  ): Promise<StreamClient> {
    const socket = new WebSocket(url.replace(/^http/, 'ws'), [...(options.protocols ?? [])], {
      headers: options.key === undefined ? {} : { authorization: `Bearer ${options.key}` },
      autoPong: options.autoPong ?? true,
      ...(options.ca !== undefined && { ca: options.ca }),
    })
    const client = new StreamClient(socket)
    await once(socket, 'open')
    return client
  }

  subscribe(after: Position | null, filter?: StreamFilter): void {
    this.send({ op: 'subscribe', after, ...(filter !== undefined && { filter }) })
  }

  send(message: object): void {
    this.socket.send(JSON.stringify(message))
  }

  /** The first frame, already there or still to come, that fits. */
  async frame(fits: (frame: ReceivedFrame) => boolean): Promise<ReceivedFrame> {
    await this.until(() => this.frames.some(fits))
    return v.parse(FrameSchema, this.frames.find(fits))
  }

  /** Waits for what frames, or the end of the connection, make true. */
  until(isTrue: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = () => {
        try {
          if (!isTrue()) return
          resolve()
        } catch (error) {
          reject(error)
        }
        settle()
      }
      const settle = () => {
        clearTimeout(deadline)
        this.#waiting.delete(look)
      }
      const deadline = setTimeout(() => {
        settle()
        reject(new Error(`not in time; received ${JSON.stringify(this.frames).slice(0, 2_000)}`))
      }, DEADLINE_MS)
      this.#waiting.add(look)
      look()
    })
  }

  #wake(): void {
    for (const look of this.#waiting) look()
  }

  /** The `n` of the events, in the order of arrival. */
  get numbers(): readonly (number | undefined)[] {
    return this.frames.filter(({ type }) => type === 'event').map(({ data }) => data?.n)
  }

  async disconnect(): Promise<void> {
    this.socket.terminate()
    await this.closed
  }
}
