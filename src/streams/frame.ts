import type { SubscriberId } from '../core/ids.ts'
import type { Position } from '../core/position.ts'
import { formatPosition } from '../core/position.ts'
import { encodeApart, joinApart } from './own-memory.ts'
import { WEBSOCKET_PING, encodeWebSocketText } from './websocket-text.ts'

/** The types of frames that {@link Frame} carries; `protocol.ts` says what is in them. */
export type FrameType = 'subscribed' | 'event' | 'filtered' | 'gap' | 'snapshot' | 'ping' | 'reply' | 'coalesced'

/** What an event frame is about, for whatever has to choose between frames without parsing them. */
export type EventAbout = {
  /** `call.ringing`, `subscriber.assigned` … */
  readonly event: string
  readonly orderKey: string
  readonly subscriberId?: SubscriberId | undefined
}

/** Something that can be put on the wire at once, in the form of each transport. */
export interface Sendable {
  /** How many frames it is. */
  readonly count: number
  readonly bytes: number
  readonly websocket: Buffer
  readonly sse: Buffer
}

/**
 * A frame on its way to clients, serialised once for all of the app's: every WebSocket sends `websocket`
 * itself, every SSE response `sse`.
 */
export class Frame implements Sendable {
  readonly count = 1
  readonly type: FrameType
  /** Set where a client may resume from after this frame. */
  readonly position: Position | undefined
  /** Set on event frames. */
  readonly about: EventAbout | undefined
  /** A whole unmasked WebSocket message. */
  readonly websocket: Buffer
  readonly #json: Buffer
  #sse: Buffer | undefined
  #websocketProbe: Buffer | undefined

  constructor(
    type: FrameType,
    json: string,
    { position, about }: { readonly position?: Position | undefined; readonly about?: EventAbout } = {},
  ) {
    this.type = type
    this.position = position
    this.about = about
    const { message, payload } = encodeWebSocketText(json)
    this.websocket = message
    this.#json = payload
  }

  get bytes(): number {
    return this.websocket.length
  }

  /** The JSON text. */
  get json(): string {
    return this.#json.toString()
  }

  /**
   * The frame as a server-sent event whose `event` is the frame's type, so that an EventSource needs no
   * list of event types. A ping has no data, so that an EventSource keeps its position for the next
   * connection and tells nobody; proxies see that the connection is alive.
   */
  get sse(): Buffer {
    this.#sse ??= encodeApart(this.#toEvent())
    return this.#sse
  }

  /** A WebSocket ping and the frame: one write for both. */
  get websocketProbe(): Buffer {
    this.#websocketProbe ??= joinApart([WEBSOCKET_PING, this.websocket])
    return this.#websocketProbe
  }

  #toEvent(): string {
    const id = this.position === undefined ? '' : `id: ${formatPosition(this.position)}\n`
    if (this.type === 'ping') return `: ping\n${id}\n`
    // A line break in JSON can only be white space between tokens.
    return `${id}event: ${this.type}\ndata: ${this.json.replaceAll(/[\r\n]+/g, ' ')}\n\n`
  }
}
