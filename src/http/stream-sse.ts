import type { Position } from '../core/position.ts'
import type { Closing } from '../streams/close-codes.ts'
import { CLOSE_CODES, formatCloseReason } from '../streams/close-codes.ts'
import type { Frame } from '../streams/frame.ts'
import type { Admission, Hub } from '../streams/hub.ts'
import type { Transport } from '../streams/transport.ts'

/** How long a client may take to read the rest after the stream has ended. */
const CLOSE_TIMEOUT_MS = 5_000

export const SSE_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store, no-transform',
  // nginx collects responses otherwise.
  'x-accel-buffering': 'no',
  // The connection serves no second request, so it may be cut off when the client does not read.
  connection: 'close',
}

/**
 * A session's SSE response. The body is pulled by the server as fast as the socket takes it; what was
 * sent and not yet pulled is what counts as buffered. The end of the stream is told by an event `close`.
 */
class SseTransport implements Transport {
  readonly kind = 'sse'
  readonly body: ReadableStream<Uint8Array>
  readonly #cutOff: () => void
  readonly #queue: { readonly frame: Frame; readonly onFlushed: () => void }[] = []
  #queuedBytes = 0
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined
  #isPulling = false
  #goodbye: Buffer | undefined
  #onGone: () => void = () => undefined

  /** `cutOff` destroys the connection. */
  constructor(cutOff: () => void) {
    this.#cutOff = cutOff
    this.body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller
        },
        pull: () => this.#pull(),
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

  get bufferedBytes(): number {
    return this.#queuedBytes
  }

  send(frame: Frame, onFlushed: () => void): void {
    if (this.#controller === undefined || this.#goodbye !== undefined) return
    this.#queue.push({ frame, onFlushed })
    this.#queuedBytes += frame.sse.length
    if (this.#isPulling) this.#pull()
  }

  /** A broken connection shows when it is written to, and by TCP keep-alive. */
  probe(): boolean {
    return true
  }

  close(closing: Closing): void {
    if (this.#goodbye !== undefined) return
    this.#goodbye = toGoodbye(closing)
    this.#queue.length = 0
    this.#queuedBytes = 0
    if (this.#isPulling) this.#pull()
    setTimeout(() => this.#cutOff(), CLOSE_TIMEOUT_MS).unref()
  }

  terminate(): void {
    this.#controller = undefined
    this.#cutOff()
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
    const sent = this.#queue.splice(0)
    this.#queuedBytes = 0
    controller.enqueue(Buffer.concat(sent.map(({ frame }) => frame.sse)))
    for (const { onFlushed } of sent) onFlushed()
  }
}

/** The closing as the last event; `retry` makes an EventSource wait as long as it is asked to. */
function toGoodbye(closing: Closing): Buffer {
  const retry = closing.retryAfterMs === undefined ? '' : `retry: ${Math.round(closing.retryAfterMs)}\n`
  const { code } = CLOSE_CODES[closing.name]
  const data = `{"type":"close","code":${code},"reason":${formatCloseReason(closing)}}`
  return Buffer.from(`${retry}event: close\ndata: ${data}\n\n`)
}

/** Opens a session of the hub whose frames are the body returned. `cutOff` destroys the connection. Throws `draining`. */
export function openEventStream(
  hub: Hub,
  {
    admission,
    after,
    cutOff,
  }: { readonly admission: Admission; readonly after: Position | null; readonly cutOff: () => void },
): ReadableStream<Uint8Array> {
  const transport = new SseTransport(cutOff)
  const session = hub.open(admission, transport)
  transport.onGone(() => session.end())
  session.subscribe(after)
  return transport.body
}
