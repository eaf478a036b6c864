import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { Webhook } from 'standardwebhooks'
import { WebSocket } from 'undici'

/** One call event as it arrived. */
export type Arrival = {
  readonly callId: string
  readonly subscriberId: string
  readonly sequence: number
  readonly state: string
  readonly event: string
  readonly synthetic: boolean
  /** From a snapshot: what went before it may have been missed, and the stream said so. */
  readonly snapshot: boolean
  readonly at: number
}

type Frame = {
  readonly type: string
  readonly recovered?: boolean
  readonly position?: { epoch: string; offset: number }
  readonly data?: Record<string, unknown>
  readonly snapshot?: readonly Record<string, unknown>[]
}

const RECONNECT_MS = 200

/** An app that acknowledges every webhook, follows its stream through reconnects, and writes all down. */
export class RecordingApp {
  readonly webhookArrivals: Arrival[] = []
  readonly streamArrivals: Arrival[] = []
  /** What later webhooks of a call declared as not delivered (`callhalf-skipped`): its sequence numbers, by call. */
  readonly declaredSkipped = new Map<string, Set<number>>()
  badSignatures = 0
  /** When the stream could not resume, and said so: what a call did just before may be missing from it. */
  readonly gapsAnnouncedAt: number[] = []
  lastArrivalAt = performance.now()
  readonly #server: Server
  #webhook: Webhook | undefined
  #socket: WebSocket | undefined
  #position: { epoch: string; offset: number } | undefined
  #urls: readonly string[] = []
  /** Which of the URLs it is at. */
  #at = 0
  #isSubscribed = false
  #closed = false

  constructor() {
    this.#server = createServer((req, res) => {
      const chunks: Buffer[] = []
      req.on('data', (chunk: Buffer) => chunks.push(chunk))
      req.on('end', () => {
        res.writeHead(this.#receive(Buffer.concat(chunks).toString('utf8'), req.headers) ? 200 : 401).end()
      })
    })
  }

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    const address = this.#server.address()
    return `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}/events`
  }

  trust(secret: string): void {
    this.#webhook = new Webhook(secret)
  }

  /** At the first of its URLs, and subscribed. */
  get isHome(): boolean {
    return this.#at === 0 && this.#isSubscribed
  }

  /**
   * Follows the stream until `close`, resuming after the last position at every reconnect: at the next of the
   * URLs, as if a load balancer stood before them.
   */
  follow(urls: readonly string[], apiKey: string): void {
    this.#urls = urls
    this.#connect(apiKey)
  }

  /** Goes back to the first of its URLs. */
  goHome(): void {
    if (this.#at === 0) return
    this.#at = this.#urls.length - 1
    this.#socket?.close()
  }

  #connect(apiKey: string): void {
    if (this.#closed) return
    const socket = new WebSocket(this.#urls[this.#at] ?? '', { headers: { authorization: `Bearer ${apiKey}` } })
    this.#socket = socket
    socket.addEventListener('open', () =>
      socket.send(JSON.stringify({ op: 'subscribe', after: this.#position ?? null })),
    )
    socket.addEventListener('message', ({ data }) => this.#onFrame(JSON.parse(String(data)) as Frame))
    socket.addEventListener('error', () => undefined)
    socket.addEventListener('close', () => {
      this.#isSubscribed = false
      this.#at = (this.#at + 1) % this.#urls.length
      setTimeout(() => this.#connect(apiKey), RECONNECT_MS)
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#socket?.close()
    this.#server.close()
    this.#server.closeAllConnections()
  }

  #receive(body: string, headers: Record<string, string | string[] | undefined>): boolean {
    try {
      this.#webhook?.verify(body, headers as Record<string, string>)
    } catch {
      this.badSignatures += 1
      return false
    }
    const payload = JSON.parse(body) as Record<string, unknown>
    if (payload['call_id'] !== undefined) {
      const arrival = toArrival(payload)
      this.webhookArrivals.push(arrival)
      this.#noteSkipped(arrival.callId, String(headers['callhalf-skipped'] ?? ''))
    }
    this.lastArrivalAt = performance.now()
    return true
  }

  /** `list` is like `3;parked, 4;expired`. */
  #noteSkipped(callId: string, list: string): void {
    const skipped = this.declaredSkipped.get(callId) ?? new Set()
    for (const item of list.split(',')) {
      const sequence = Number.parseInt(item, 10)
      if (Number.isInteger(sequence)) skipped.add(sequence)
    }
    if (skipped.size > 0) this.declaredSkipped.set(callId, skipped)
  }

  #onFrame(frame: Frame): void {
    if (frame.type === 'subscribed') this.#isSubscribed = true
    if (frame.snapshot !== undefined) {
      this.gapsAnnouncedAt.push(performance.now())
      for (const call of frame.snapshot) this.streamArrivals.push(toArrival(call, true))
    }
    if (frame.type === 'event' && frame.data?.['call_id'] !== undefined) {
      this.streamArrivals.push(toArrival(frame.data))
      this.lastArrivalAt = performance.now()
    }
    if (frame.position !== undefined && frame.type !== 'ping') this.#position = frame.position
  }
}

const toArrival = (payload: Record<string, unknown>, snapshot = false): Arrival => ({
  snapshot,
  callId: String(payload['call_id']),
  subscriberId: String(payload['subscriber_id']),
  sequence: Number(payload['sequence_number']),
  state: String(payload['state']),
  event: String(payload['event']),
  synthetic: payload['synthetic'] === true,
  at: performance.now(),
})
