import { requestCommand } from './command-requests.ts'
import type { Connection, ConnectionBase } from './connection.ts'
import type { Ending } from './endings.ts'
import type { ClientFrame, Filter, Position, ServerFrame } from './frames.ts'
import type { EventsQuery, StreamRequests } from './requests.ts'
import { toEnding } from './requests.ts'
import { readSnapshot } from './snapshot-request.ts'

/** How often to look whether the peer has been silent, in parts of the allowed silence. */
const CHECKS_PER_SILENCE = 10

/** What reading a stream hands on. */
type Reading = {
  readonly requests: StreamRequests
  readonly query: EventsQuery
  /** How long the gateway may wait before it says that there is nothing. */
  readonly waitSeconds: number
  /** Each begins with `subscribed`. */
  readonly onFrame: (frame: ServerFrame) => void
  readonly signal: AbortSignal
}

/** Reads a stream from the position of the query to its end; rejects when a request fails, and when told to stop. */
export type ReadStream = (reading: Reading) => Promise<Ending>

export type HttpConnectionOptions = ConnectionBase & {
  readonly requests: StreamRequests
  readonly read: ReadStream
}

/**
 * A stream made of HTTP requests, which only goes one way; it behaves like a WebSocket all the same. Commands are
 * requests of their own. To change the filter it stops reading, gets the calls that the new filter wants, and
 * reads on with that filter from where it was: as the gateway does on a WebSocket, so nothing is missed.
 */
export class HttpConnection implements Connection {
  readonly #options: HttpConnectionOptions
  readonly #closing = new AbortController()
  #reading = new AbortController()
  #position: Position | null
  #filter: Filter | null
  #asked: Extract<ClientFrame, { op: 'filter' }> | undefined
  #isSubscribed = false
  #isEnded = false
  #heardAt = Date.now()
  #settle: (ending: Ending) => void = () => undefined
  #silenceTimer: ReturnType<typeof setTimeout> | undefined

  readonly ended: Promise<Ending>

  constructor(options: HttpConnectionOptions) {
    this.#options = options
    this.ended = new Promise((resolve) => {
      this.#settle = resolve
    })
    this.#position = options.subscribe.after
    this.#filter = options.subscribe.filter ?? null
    this.#checkSilence()
    // Never rejects.
    void this.#run()
  }

  send(frame: ClientFrame): void {
    if (this.#isEnded || frame.op === 'subscribe') return
    if (frame.op === 'filter') {
      this.#asked = frame
      this.#reading.abort()
      return
    }
    requestCommand(this.#options.requests, frame, this.#closing.signal).then(
      (reply) => this.#onFrame(reply),
      // What has become of it nobody can say, as when a WebSocket breaks.
      (error: unknown) => this.#end(toEnding(error)),
    )
  }

  close(name = 'closed'): void {
    this.#end({ name, action: 'resume' })
  }

  async #run(): Promise<void> {
    try {
      while (!this.#isEnded) {
        const ending = await this.#readOn()
        if (ending !== undefined) return this.#end(ending)
        await this.#changeFilter()
      }
    } catch (error) {
      this.#end(toEnding(error))
    }
  }

  /** How the stream ended; undefined when it was stopped for another filter. */
  async #readOn(): Promise<Ending | undefined> {
    const { requests, read, silenceMs } = this.#options
    if (this.#asked !== undefined) return undefined
    this.#reading = new AbortController()
    try {
      return await read({
        requests,
        query: { after: this.#position, filter: this.#filter },
        waitSeconds: Math.max(1, Math.min(25, Math.floor(silenceMs / 2_000))),
        onFrame: (frame) => this.#onFrame(frame),
        signal: AbortSignal.any([this.#reading.signal, this.#closing.signal]),
      })
    } catch (error) {
      if (this.#reading.signal.aborted && this.#asked !== undefined) return undefined
      throw error
    }
  }

  async #changeFilter(): Promise<void> {
    const asked = this.#asked
    if (asked === undefined || this.#position === null) return
    const { requests } = this.#options
    const from = { position: this.#position, filter: asked.filter }
    const { position, calls, lost } = await readSnapshot(requests, from, this.#closing.signal)
    if (this.#isEnded) return
    this.#asked = undefined
    this.#filter = asked.filter
    if (lost !== undefined) this.#onFrame({ type: 'gap', reason: lost })
    this.#onFrame({ type: 'filtered', request_id: asked.request_id, position, snapshot: calls })
  }

  #onFrame(frame: ServerFrame): void {
    if (this.#isEnded) return
    this.#heardAt = Date.now()
    if (frame.type === 'subscribed' && this.#isSubscribed) return this.#onReopened(frame)
    this.#isSubscribed ||= frame.type === 'subscribed'
    if ('position' in frame && frame.position !== undefined) this.#position = frame.position
    this.#options.onFrame(frame)
  }

  /** Whoever uses this connection has it open already, and need not know of how many requests it is made. */
  #onReopened(frame: Extract<ServerFrame, { type: 'subscribed' }>): void {
    if (frame.recovered) return
    this.#onFrame({ type: 'gap', reason: frame.reason ?? 'epoch_changed' })
    this.#onFrame({ type: 'snapshot', position: frame.position, snapshot: frame.snapshot })
  }

  /** By the wall clock, so that a machine that wakes from sleep notices at once. */
  #checkSilence(): void {
    const { openTimeoutMs, silenceMs } = this.#options
    const allowedMs = this.#isSubscribed ? silenceMs : openTimeoutMs
    if (Date.now() - this.#heardAt >= allowedMs) {
      return this.#end({ name: this.#isSubscribed ? 'silent' : 'open_timeout', action: 'resume' })
    }
    this.#silenceTimer = setTimeout(() => this.#checkSilence(), allowedMs / CHECKS_PER_SILENCE)
  }

  #end(ending: Ending): void {
    if (this.#isEnded) return
    this.#isEnded = true
    clearTimeout(this.#silenceTimer)
    this.#settle(ending)
    this.#closing.abort()
  }
}
