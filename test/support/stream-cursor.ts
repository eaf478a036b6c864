import { get } from 'node:http'
import type { IncomingMessage } from 'node:http'
import * as v from 'valibot'
import { formatPosition, parsePosition, PositionSchema } from '../../src/core/position.ts'
import type { Position } from '../../src/core/position.ts'
import type { ReceivedFrame, StreamFilter } from './stream-client.ts'
import { FrameSchema, StreamClient } from './stream-client.ts'
import type { RigApp, StreamRig } from './stream-rig.ts'

export type CursorTransport = 'websocket' | 'sse' | 'poll'

/** What a client received between two fresh starts, and which filter counted from where on. */
export type Segment = {
  readonly epoch: string
  readonly start: number
  readonly filters: { readonly after: number; readonly filter: StreamFilter | undefined }[]
  readonly offsets: number[]
}

/** A connection that is read in the background until it is cut off. */
type Connection = { readonly cut: () => Promise<void>; readonly send?: (message: object) => void }

const PollSchema = v.looseObject({
  recovered: v.boolean(),
  position: PositionSchema,
  events: v.array(v.looseObject({ event: v.string(), position: PositionSchema })),
})

/**
 * A client that keeps one cursor over any number of connections, by whatever transport, and any changes of
 * its filter, as a careful client should: it resumes after the last position that it was told.
 */
export class CursorClient {
  readonly segments: Segment[]
  readonly frames: ReceivedFrame[] = []
  /** Called with each frame as it comes. */
  onFrame: (frame: ReceivedFrame) => void = () => undefined
  readonly #rig: StreamRig
  readonly #app: RigApp
  #position: Position
  #filter: StreamFilter | undefined
  #connection: Connection | undefined
  /** The filters asked for, by request id. */
  readonly #requested = new Map<string, StreamFilter | undefined>()

  constructor(rig: StreamRig, app: RigApp, position: Position) {
    this.#rig = rig
    this.#app = app
    this.#position = position
    this.segments = [{ epoch: position.epoch, start: position.offset, filters: [], offsets: [] }]
  }

  get position(): Position {
    return this.#position
  }

  get isConnected(): boolean {
    return this.#connection !== undefined
  }

  async connect(transport: CursorTransport): Promise<void> {
    if (this.#connection !== undefined) return
    this.#useFilter(this.#position.offset)
    if (transport === 'websocket') this.#connection = await this.#openWebSocket()
    else if (transport === 'sse') this.#connection = await this.#openEventStream()
    else this.#connection = this.#poll()
  }

  async drop(): Promise<void> {
    await this.#connection?.cut()
    this.#connection = undefined
  }

  /** Over a WebSocket it counts when the gateway says so, otherwise from the next connection on. */
  async changeFilter(filter: StreamFilter | undefined): Promise<void> {
    this.#filter = filter
    if (this.#connection?.send === undefined) return this.drop()
    const requestId = String(this.#requested.size)
    this.#requested.set(requestId, filter)
    this.#connection.send({ op: 'filter', filter: filter ?? null, request_id: requestId })
  }

  get #segment(): Segment {
    const last = this.segments.at(-1)
    if (last === undefined) throw new Error('there is always one')
    return last
  }

  #useFilter(after: number): void {
    this.#segment.filters.push({ after, filter: this.#filter })
  }

  #apply(frame: ReceivedFrame): void {
    this.frames.push(frame)
    this.onFrame(frame)
    const { type, position, recovered } = frame
    if (position === undefined) return
    if (type === 'event') this.#segment.offsets.push(position.offset)
    const isFresh = type === 'snapshot' || (type === 'subscribed' && recovered !== true)
    if (isFresh) {
      const filter = this.#segment.filters.at(-1)?.filter
      const filters = [{ after: position.offset, filter }]
      this.segments.push({ epoch: position.epoch, start: position.offset, filters, offsets: [] })
    }
    if (type === 'filtered') {
      const filter = this.#requested.get(frame.request_id ?? '')
      this.#segment.filters.push({ after: position.offset, filter })
    }
    this.#position = position
  }

  async #openWebSocket(): Promise<Connection> {
    const client = await StreamClient.open(this.#rig.streamUrl(this.#app), { key: this.#app.key })
    client.onFrame = (frame) => this.#apply(frame)
    client.subscribe(this.#position, this.#filter)
    return { cut: () => client.disconnect(), send: (message) => client.send(message) }
  }

  async #openEventStream(): Promise<Connection> {
    const headers = {
      accept: 'text/event-stream',
      authorization: `Bearer ${this.#app.key}`,
      'last-event-id': formatPosition(this.#position),
    }
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      get(`${this.#rig.streamUrl(this.#app)}?${this.#query()}`, { headers }, resolve).once('error', reject)
    })
    let text = ''
    let isCut = false
    response.setEncoding('utf8').on('data', (chunk: string) => {
      if (isCut) return
      const events = (text + chunk).split('\n\n')
      text = events.pop() ?? ''
      for (const event of events) this.#applyServerSent(event)
    })
    response.on('error', () => undefined)
    const closed = new Promise<void>((resolve) => {
      response.once('close', () => resolve())
    })
    return {
      cut: async () => {
        isCut = true
        response.destroy()
        await closed
      },
    }
  }

  /** Like an EventSource: the id counts even when there is no data. */
  #applyServerSent(event: string): void {
    const data = /^data: (.*)$/m.exec(event)?.[1]
    const id = /^id: (.*)$/m.exec(event)?.[1]
    if (data !== undefined) this.#apply(v.parse(FrameSchema, JSON.parse(data)))
    else if (id !== undefined) this.#position = parsePosition(id) ?? this.#position
  }

  #poll(): Connection {
    const stop = new AbortController()
    const running = this.#pollUntil(stop.signal)
    return {
      cut: async () => {
        stop.abort()
        await running
      },
    }
  }

  async #pollUntil(signal: AbortSignal): Promise<void> {
    const headers = { authorization: `Bearer ${this.#app.key}` }
    while (!signal.aborted) {
      const query = `after=${formatPosition(this.#position)}&wait_seconds=1&limit=7&${this.#query()}`
      const response = await fetch(`${this.#rig.eventsUrl(this.#app)}?${query}`, { headers, signal }).catch(
        () => undefined,
      )
      const body: unknown = await response?.json().catch(() => undefined)
      if (response?.status !== 200 || signal.aborted) return
      const answer = v.parse(PollSchema, body)
      for (const event of answer.events) this.#apply(v.parse(FrameSchema, { type: 'event', ...event }))
      this.#apply(v.parse(FrameSchema, { ...answer, type: 'subscribed', data: undefined }))
    }
  }

  #query(): string {
    const query = new URLSearchParams()
    for (const id of this.#filter?.subscriber_ids ?? []) query.append('subscriber_id', id)
    for (const type of this.#filter?.event_types ?? []) query.append('event_type', type)
    return query.toString()
  }
}
