import type { Clock } from '../core/clock.ts'
import { isGatewayError } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import type { Fence } from '../core/observation.ts'
import type { Ack, AckReply } from './acknowledger.ts'
import { Acknowledger } from './acknowledger.ts'
import type { ChannelRequest } from './build.ts'
import type { ChannelRequests } from './channel-requests.ts'
import type { XsiStream } from './client.ts'
import { Framer } from './framer.ts'
import { heartbeatDelayMs, Liveness } from './heartbeat.ts'
import type { BroadsoftMetrics } from './metrics.ts'
import type { XsiDocument } from './parse.ts'
import { parseDocument } from './parse.ts'
import type { ChannelEnd } from './termination.ts'

/** A document that must be answered. */
export type EventDocument = Extract<XsiDocument, { readonly type: 'event' | 'malformed-event' }>

/** The channel that an event came in on, as the intake sees it. */
export type EventOrigin = {
  readonly fence: Fence
  /** False once the lease is lost or the channel is over: then nothing of it may be answered. */
  readonly isCurrent: () => boolean
  /** The event arrived after the channel had begun to drain: it is for the next channel of the set. */
  readonly isDraining: boolean
  /** Resolves once the answer is under way. */
  readonly acknowledge: (ack: Ack) => Promise<void>
  /** The intake is done with one event. */
  readonly finished: () => void
}

export type ChannelOptions = {
  readonly network: string
  readonly node: URL
  readonly requests: ChannelRequests
  /** Ends the channel when it aborts, as `endOnAbort` says. */
  readonly signal: AbortSignal
  readonly endOnAbort: () => ChannelEnd
  /** What to ask for; `priority` tells the owner's channel (1) from a standby's. */
  readonly request: ChannelRequest
  readonly fence: Fence
  readonly heartbeatMs: number
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
  readonly metrics: BroadsoftMetrics
  /** Resolves when there is room for more; until then the socket is not read. */
  readonly accept: (document: EventDocument, origin: EventOrigin) => Promise<void>
  readonly onOpen: (channelId: string) => void
}

/** The largest document taken from a stream. */
const DOCUMENT_BYTES_MAX = 1_048_576
/** From the answer's headers to the Channel document. */
const OPEN_TIMEOUT_MS = 15_000
const ACKS_IN_FLIGHT_MAX = 16
const FAREWELL_MS = 2_000
/** Granted for ever (XSD `ChannelExpiration`). */
const NEVER_SECONDS = 2_147_483_647
const TIMER_MAX_MS = 3_600_000

/**
 * One session of an event channel: opens the stream, takes the documents off it, keeps it alive with
 * heartbeats, renews it at half of the granted lifetime, and ends with one reason. Used once.
 */
export class Channel {
  readonly #options: ChannelOptions
  readonly #over = new AbortController()
  readonly #acknowledger: Acknowledger
  readonly #liveness: Liveness
  #origin: EventOrigin
  /** Events taken in, before the channel began to drain, and not finished. */
  #unfinished = 0
  #settling: (() => void)[] = []
  /** The node that answered: after a redirect another one than asked. */
  #node: URL
  #end: ChannelEnd | undefined
  #channelId: string | undefined
  #openedAt: number | undefined
  #lastReceivedAt: number | undefined
  /** When the granted lifetime ends, on the monotonic clock: a step of the wall clock must not end a channel. */
  #endsAt: number | undefined
  /** The same for the status. */
  #expiresAt: number | undefined
  #isClosing = false

  constructor(options: ChannelOptions) {
    this.#options = options
    this.#node = options.node
    this.#liveness = new Liveness(options.heartbeatMs, options.clock.monotonic())
    this.#acknowledger = new Acknowledger({
      clock: options.clock,
      signal: this.#over.signal,
      inFlightMax: ACKS_IN_FLIGHT_MAX,
      send: (ack) => options.requests.acknowledge(this.#node, ack),
      onReply: (reply, ack) => this.#onAckReply(reply, ack),
    })
    this.#origin = {
      fence: options.fence,
      isCurrent: () => !this.#over.signal.aborted,
      isDraining: false,
      acknowledge: (ack) => this.#acknowledger.acknowledge(ack),
      finished: () => {
        this.#unfinished -= 1
        if (this.#unfinished > 0) return
        for (const resolve of this.#settling.splice(0)) resolve()
      },
    }
  }

  get channelId(): string | undefined {
    return this.#channelId
  }

  /** When the Channel document came, on the monotonic clock. */
  get openedAt(): number | undefined {
    return this.#openedAt
  }

  /** When anything last arrived, in ms since the epoch. */
  get lastReceivedAt(): number | undefined {
    return this.#lastReceivedAt
  }

  /** When the granted lifetime ends, in ms since the epoch; undefined: never. */
  get expiresAt(): number | undefined {
    return this.#expiresAt
  }

  /** Runs until the channel is over and says why; does not reject. */
  async run(): Promise<ChannelEnd> {
    const { signal, endOnAbort } = this.#options
    const onAbort = () => this.#finish(endOnAbort())
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    try {
      const stream = await this.#open()
      if (stream !== undefined) await this.#attend(stream)
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
    return this.#end ?? { type: 'stream_ended', detail: 'unknown' }
  }

  /**
   * From now on events are sent to the next channel of the set. Resolves once what was taken in before is
   * finished, or when the channel is over.
   */
  async drain(): Promise<void> {
    if (!this.#origin.isDraining) this.#origin = { ...this.#origin, isDraining: true, finished: () => undefined }
    await this.settled()
  }

  /** Resolves once no event that was taken in is unfinished, or when the channel is over. */
  async settled(): Promise<void> {
    if (this.#unfinished === 0 || this.#over.signal.aborted) return
    await new Promise<void>((resolve) => {
      this.#settling.push(resolve)
      this.#over.signal.addEventListener('abort', () => resolve(), { once: true })
    })
  }

  /** Says good-bye: deletes the channel, waits up to 2 s for the server's farewell, closes. */
  async close(deadline: AbortSignal): Promise<void> {
    this.#isClosing = true
    if (this.#channelId !== undefined && !this.#over.signal.aborted) {
      const taken = await this.#options.requests.remove(this.#node, this.#channelId, deadline)
      if (taken) await this.#untilOver(deadline)
    }
    this.#finish({ type: 'closed' })
  }

  /** Resolves when every event answered so far was taken by the node, or given up. */
  whenAcknowledged(): Promise<void> {
    return this.#acknowledger.whenIdle()
  }

  /** The first reason counts; the rest is its consequence. */
  #finish(end: ChannelEnd): void {
    if (this.#end !== undefined) return
    this.#end = this.#isClosing && end.type !== 'lease_lost' ? { type: 'closed' } : end
    this.#over.abort()
  }

  async #open(): Promise<XsiStream | undefined> {
    const { requests, node, request } = this.#options
    if (this.#over.signal.aborted) return undefined
    try {
      const stream = await requests.open(node, request)
      if (this.#over.signal.aborted) {
        await stream.close()
        return undefined
      }
      if (stream.status >= 200 && stream.status < 300) {
        this.#node = stream.node
        return stream
      }
      await stream.close()
      this.#finish(stream.status === 401 ? { type: 'unauthorized' } : refusalOf(stream))
    } catch (error) {
      this.#finish(openingEnd(error))
    }
    return undefined
  }

  async #attend(stream: XsiStream): Promise<void> {
    const closing = new Promise<void>((resolve) => {
      this.#over.signal.addEventListener('abort', () => resolve(), { once: true })
    })
    this.#liveness.received(this.#options.clock.monotonic())
    const reading = this.#read(stream)
    const watching = this.#watch()
    await closing
    await this.#leave()
    await stream.close()
    await Promise.all([reading, watching])
  }

  /** A server that may still think the channel alive would go on sending events into it. */
  async #leave(): Promise<void> {
    const end = this.#end?.type
    const isOneSided = end === 'silent' || end === 'heartbeat_failed' || end === 'protocol_error'
    if (!isOneSided || this.#channelId === undefined) return
    await this.#options.requests.remove(this.#node, this.#channelId, AbortSignal.timeout(FAREWELL_MS))
  }

  async #read(stream: XsiStream): Promise<void> {
    const { clock } = this.#options
    const framer = new Framer({ documentBytesMax: DOCUMENT_BYTES_MAX })
    try {
      for await (const chunk of stream.body) {
        this.#lastReceivedAt = clock.now()
        this.#liveness.reading(false, clock.monotonic())
        for (const bytes of framer.push(chunk)) {
          await this.#take(parseDocument(bytes, stream.charset))
          if (this.#over.signal.aborted) return
        }
        this.#liveness.reading(true, clock.monotonic())
      }
      framer.end()
      this.#finish({ type: 'stream_ended', detail: 'the server ended the stream' })
    } catch (error) {
      const detail = error instanceof Error ? error.message : 'unknown'
      this.#finish({ type: isGatewayError(error, 'protocol_error') ? 'protocol_error' : 'stream_ended', detail })
    }
  }

  async #take(document: XsiDocument): Promise<void> {
    if (this.#channelId === undefined && !this.#begin(document)) return
    switch (document.type) {
      case 'channel':
      case 'heartbeat':
        return
      case 'event':
      case 'malformed-event':
        if (!this.#origin.isDraining) this.#unfinished += 1
        return this.#options.accept(document, this.#origin)
      case 'channel-terminated':
        return this.#finish({ type: 'terminated', reason: document.reason })
      case 'error-event':
      case 'error-info':
        // The server answers foreign bytes on the connection like this (XSD `ErrorEvent`).
        this.#options.log.warn({ document: document.type, code: document.errorCode }, 'channel reported an error')
        return
      case 'unknown':
      case 'subscription':
      case 'subscription-list':
      case 'calls':
      case 'call':
      case 'call-start-info':
        this.#options.metrics.unknownTypes.inc({ network: this.#options.network })
    }
  }

  /** The first document decides whether there is a channel. */
  #begin(document: XsiDocument): boolean {
    const { clock, onOpen, request } = this.#options
    if (document.type === 'channel') {
      this.#channelId = document.channelId
      this.#openedAt = clock.monotonic()
      this.#grant(document.expiresSeconds ?? request.expiresSeconds)
      onOpen(document.channelId)
      void this.#beat(document.channelId) // ends with the channel, and does not reject
      void this.#renew(document.channelId) // likewise
      return true
    }
    if (document.type === 'channel-terminated') this.#finish({ type: 'terminated', reason: document.reason })
    else if (document.type === 'error-info') this.#finish({ type: 'refused', detail: document.summary })
    else this.#finish({ type: 'protocol_error', detail: `the first document is ${document.type}` })
    return false
  }

  async #beat(channelId: string): Promise<void> {
    const { clock, random, heartbeatMs, requests, metrics, network } = this.#options
    while (await this.#wait(heartbeatDelayMs(heartbeatMs, random()))) {
      const reply = await requests.heartbeat(this.#node, channelId, heartbeatMs)
      if (this.#over.signal.aborted) return
      if (reply !== 'taken') metrics.heartbeatFailures.inc({ network, node: this.#options.node.host })
      const verdict = this.#liveness.judge(reply)
      if (verdict === 'channel_gone' || verdict === 'unauthorized') this.#finish({ type: verdict })
      else if (verdict === 'dead') this.#finish({ type: 'heartbeat_failed', detail: 'three in a row' })
      else this.#options.log.debug({ channel_id: channelId, verdict, at: clock.now() }, 'channel heartbeat answered')
    }
  }

  /** Renews at half of what was granted; a failure is repeated at half of what is left. */
  async #renew(channelId: string): Promise<void> {
    const { clock, request, requests } = this.#options
    while (this.#endsAt !== undefined) {
      const leftMs = this.#endsAt - clock.monotonic()
      if (leftMs <= 0) return this.#finish({ type: 'expired' })
      if (!(await this.#wait(Math.max(leftMs / 2, Math.min(leftMs, 1000))))) return
      const reply = await requests.refresh(this.#node, channelId, request.expiresSeconds)
      if (this.#over.signal.aborted) return
      if (reply.type === 'granted') this.#grant(reply.expiresSeconds)
      else if (reply.type !== 'failed') return this.#finish({ type: reply.type })
    }
  }

  #grant(expiresSeconds: number): void {
    const { clock } = this.#options
    const isForEver = expiresSeconds >= NEVER_SECONDS
    this.#endsAt = isForEver ? undefined : clock.monotonic() + expiresSeconds * 1000
    this.#expiresAt = isForEver ? undefined : clock.now() + expiresSeconds * 1000
  }

  /** Looks twice per interval whether the stream is silent, and whether it opened at all. */
  async #watch(): Promise<void> {
    const { clock, heartbeatMs } = this.#options
    const startedAt = clock.monotonic()
    while (await this.#wait(heartbeatMs / 2)) {
      const now = clock.monotonic()
      const isSilent = this.#liveness.isSilent(now)
      if (this.#channelId === undefined && (isSilent || now - startedAt >= OPEN_TIMEOUT_MS)) {
        this.#finish({ type: 'unreachable', detail: 'no Channel document in time' })
      } else if (isSilent) this.#finish({ type: 'silent' })
    }
  }

  #onAckReply(reply: AckReply, { status, receivedAt }: Ack): void {
    const { metrics, network, clock } = this.#options
    if (reply === 'taken') {
      metrics.acks.inc({ network, status: String(status) })
      metrics.ackSeconds.observe({ network }, (clock.monotonic() - receivedAt) / 1000)
      return
    }
    metrics.acks.inc({ network, status: 'failed' })
    if (reply === 'channel_gone' || reply === 'unauthorized') this.#finish({ type: reply })
  }

  /** False when the channel is over. */
  async #wait(ms: number): Promise<boolean> {
    // A timer holds at most 2^31-1 ms.
    for (let leftMs = ms; leftMs > 0 && !this.#over.signal.aborted; leftMs -= TIMER_MAX_MS) {
      await this.#options.clock.wait(Math.min(leftMs, TIMER_MAX_MS), this.#over.signal).catch(() => undefined)
    }
    return !this.#over.signal.aborted
  }

  async #untilOver(deadline: AbortSignal): Promise<void> {
    const signal = AbortSignal.any([deadline, this.#over.signal])
    await this.#options.clock.wait(FAREWELL_MS, signal).catch(() => undefined)
  }
}

function refusalOf({ status, retryAfterSeconds }: XsiStream): ChannelEnd {
  const retryAfterMs = retryAfterSeconds === undefined ? {} : { retryAfterMs: retryAfterSeconds * 1000 }
  return { type: 'refused', detail: `status ${status}`, ...retryAfterMs }
}

function openingEnd(error: unknown): ChannelEnd {
  if (isGatewayError(error, 'provider_unauthorized')) return { type: 'unauthorized' }
  const detail = error instanceof Error ? error.message : 'unknown'
  if (isGatewayError(error, 'provider_refused')) return { type: 'refused', detail }
  if (isGatewayError(error, 'protocol_error')) return { type: 'protocol_error', detail }
  return { type: 'unreachable', detail }
}
