import { GatewayError } from '../core/errors.ts'
import { invalidRequest } from '../core/parse-input.ts'
import type { Position } from '../core/position.ts'
import { parsePosition } from '../core/position.ts'
import type { Closing } from '../streams/close-codes.ts'
import { CLOSE_CODES, formatCloseReason } from '../streams/close-codes.ts'
import type { Frame } from '../streams/frame.ts'
import type { Hub } from '../streams/hub.ts'
import type { StreamTokens } from '../streams/tokens.ts'
import type { Transport } from '../streams/transport.ts'
import type { HttpContext } from './context.ts'
import type { StreamAuthenticator } from './stream-authentication.ts'

/** How long a client may take to read the rest after the stream has ended. */
const CLOSE_TIMEOUT_MS = 5_000

const SSE_HEADERS = {
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

export type SseHandlerDeps = {
  readonly hub: Hub
  readonly authenticator: StreamAuthenticator
}

/**
 * `GET /apps/:app_id/stream` without an upgrade. It authenticates by itself, because an EventSource
 * cannot send a key and sends a token in the query instead.
 */
export function sseHandler({ hub, authenticator }: SseHandlerDeps): (c: HttpContext) => Promise<Response> {
  return async (c) => {
    if (c.req.method !== 'GET') throw new GatewayError('method_not_allowed', { fields: { allowed: ['GET'] } })
    if (!/\btext\/event-stream\b/i.test(c.req.header('accept') ?? '')) {
      throw new GatewayError('invalid_request', {
        detail: 'Open a WebSocket here, or send "Accept: text/event-stream" for server-sent events.',
      })
    }
    const after = readAfter(c)
    const app = await authenticator.authenticate({
      appId: c.req.param('app_id') ?? '',
      authorization: c.req.header('authorization'),
      token: c.req.query('token'),
    })
    const transport = new SseTransport(() => c.env?.incoming?.socket.destroy())
    const session = hub.open(app, transport)
    transport.onGone(() => session.end())
    session.subscribe(after)
    return c.body(transport.body, 200, SSE_HEADERS)
  }
}

/** `Last-Event-ID` (a reconnecting EventSource) counts more than `?after=`, with which it was opened. */
function readAfter(c: HttpContext): Position | null {
  const text = c.req.header('last-event-id') ?? c.req.query('after')
  if (text === undefined || text === '') return null
  const position = parsePosition(text)
  if (position === undefined) {
    throw invalidRequest([{ field: 'after', message: 'must be a position of this stream, as epoch:offset' }])
  }
  return position
}

/** `POST /apps/:app_id/stream-tokens`, behind the app's authentication. */
export function streamTokenHandler({
  tokens,
}: {
  readonly tokens: StreamTokens
}): (c: HttpContext) => Promise<Response> {
  return async (c) => {
    const appId = c.get('appId')
    if (appId === undefined) throw new GatewayError('unauthorized')
    const { token, expiresInMs } = await tokens.issue(appId)
    return c.json({ token, expires_in_ms: expiresInMs }, 201)
  }
}
