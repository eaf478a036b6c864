import type { Position } from '../core/position.ts'
import { formatPosition } from '../core/position.ts'

/** The types of frames that {@link Frame} carries; `protocol.ts` says what is in them. */
export type FrameType = 'subscribed' | 'event' | 'gap' | 'snapshot' | 'ping'

/**
 * A frame on its way to clients, serialised once for all of the app's: every WebSocket sends `json` itself,
 * every SSE response a copy of `sse`, joined with what else waits for the client.
 */
export class Frame {
  readonly type: FrameType
  /** Set where a client may resume from after this frame. */
  readonly position: Position | undefined
  readonly json: Buffer
  #sse: Buffer | undefined

  constructor(type: FrameType, json: string, position?: Position) {
    this.type = type
    this.json = Buffer.from(json)
    this.position = position
  }

  get bytes(): number {
    return this.json.length
  }

  /**
   * The frame as a server-sent event whose `event` is the frame's type, so that an EventSource needs no
   * list of event types. A ping is a comment: EventSource has no use for it, proxies do.
   */
  get sse(): Buffer {
    this.#sse ??= Buffer.from(this.type === 'ping' ? this.#comment() : this.#event())
    return this.#sse
  }

  #comment(): string {
    return `: ping${this.position === undefined ? '' : ` ${formatPosition(this.position)}`}\n\n`
  }

  #event(): string {
    const id = this.position === undefined ? '' : `id: ${formatPosition(this.position)}\n`
    // A line break in JSON can only be white space between tokens.
    return `${id}event: ${this.type}\ndata: ${this.json.toString().replaceAll(/[\r\n]+/g, ' ')}\n\n`
  }
}
