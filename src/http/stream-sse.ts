import type { Position } from '../core/position.ts'
import type { Closing } from '../streams/close-codes.ts'
import { CLOSE_CODES, formatCloseReason } from '../streams/close-codes.ts'
import type { StreamFilter } from '../streams/filter.ts'
import type { Frame, Sendable } from '../streams/frame.ts'
import type { Admission, Hub } from '../streams/hub.ts'
import type { Transport } from '../streams/transport.ts'

/** How long a client may take to read the rest after the stream has ended. */
const CLOSE_TIMEOUT_MS = 5_000

/** The response's headers. */
export const SSE_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store, no-transform',
  // nginx collects responses otherwise.
  'x-accel-buffering': 'no',
  // The connection serves no second request, so it may be cut off when the client does not read.
  connection: 'close',
}

/** What may wait to be pulled before the session has to wait. */
const WINDOW_BYTES = 64 * 1024

/**
 * A session's SSE response. The body is pulled by the server as fast as the socket takes it; what was
 * sent and not yet pulled is what it holds. The end of the stream is told by an event `close`.
 */
class SseTransport implements Transport {
  readonly kind = 'sse'
  readonly body: ReadableStream<Uint8Array>
  readonly #cutOff: () => void
  #queue: Buffer[] = []
  #queuedBytes = 0
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined
  #isPulling = false
  #goodbye: Buffer | undefined
  #onReady: (() => void) | undefined
  #onGone: () => void = () => undefined

  /** `cutOff` destroys the connection. */
  constructor(cutOff: () => void) {
    this.#cutOff = cutOff
    this.body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller
        },
        pull: () => {
          const wasCongested = this.isCongested
          this.#pull()
          if (wasCongested) this.#becomeReady()
        },
        cancel: () => {
          this.#controller = undefined
          this.#onGone()
        },
      },
      { highWaterMark: 0 },
    )
  }

  /** Sets what to call when the client has gone. */
  onGone(listener: () => void): void {
    this.#onGone = listener
  }

  onceReady(listener: () => void): void {
    this.#onReady = listener
  }

  get isCongested(): boolean {
    return this.#queuedBytes >= WINDOW_BYTES
  }

  send({ sse }: Sendable): void {
    if (this.#controller === undefined || this.#goodbye !== undefined) return
    this.#queue.push(sse)
    this.#queuedBytes += sse.length
    if (this.#isPulling) this.#pull()
  }

  /** A broken connection shows when it is written to, and by TCP keep-alive. */
  probe(ping: Frame | undefined): boolean {
    if (ping !== undefined) this.send(ping)
    return true
  }

  close(closing: Closing): void {
    if (this.#goodbye !== undefined) return
    this.#goodbye = toGoodbye(closing)
    this.#queue = []
    this.#queuedBytes = 0
    if (this.#isPulling) this.#pull()
    setTimeout(() => this.#cutOff(), CLOSE_TIMEOUT_MS).unref()
  }

  terminate(): void {
    this.#controller = undefined
    this.#cutOff()
  }

  #becomeReady(): void {
    const listener = this.#onReady
    this.#onReady = undefined
    listener?.()
  }

  #pull(): void {
    const controller = this.#controller
    if (controller === undefined) return
    if (this.#goodbye !== undefined) {
      this.#controller = undefined
      controller.enqueue(this.#goodbye)
      controller.close()
      return
    }
    this.#isPulling = this.#queue.length === 0
    if (this.#isPulling) return
    const [first] = this.#queue
    controller.enqueue(this.#queue.length === 1 && first !== undefined ? first : Buffer.concat(this.#queue))
    this.#queue = []
    this.#queuedBytes = 0
  }
}

/** The closing as the last event; `retry` makes an EventSource wait as long as it is asked to. */
function toGoodbye(closing: Closing): Buffer {
  const retry = closing.retryAfterMs === undefined ? '' : `retry: ${Math.round(closing.retryAfterMs)}\n`
  const { code } = CLOSE_CODES[closing.name]
  const data = `{"type":"close","code":${code},"reason":${formatCloseReason(closing)}}`
  return Buffer.from(`${retry}event: close\ndata: ${data}\n\n`)
}

/** What a client of server-sent events asks for. */
export type EventStreamRequest = {
  readonly admission: Admission
  readonly after: Position | null
  readonly filter: StreamFilter | undefined
  /** Destroys the connection. */
  readonly cutOff: () => void
}

/** Opens a session of the hub whose frames are the body returned. Throws what {@link Hub.open} throws. */
export function openEventStream(
  hub: Hub,
  { admission, after, filter, cutOff }: EventStreamRequest,
): ReadableStream<Uint8Array> {
  const transport = new SseTransport(cutOff)
  const session = hub.open(admission, transport)
  transport.onGone(() => session.end())
  session.subscribe(after, filter)
  return transport.body
}
