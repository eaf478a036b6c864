import { Backoff } from './backoff.ts'
import type { Command } from './commands.ts'
import { Commands } from './commands.ts'
import type { Connection, TransportName } from './connection.ts'
import type { Ending } from './endings.ts'
import { StreamEndedError } from './errors.ts'
import { FilterControl } from './filter-control.ts'
import { checkFilter, coversCalls, toWireFilter, wantsType } from './filter.ts'
import type { ClientFrame, Dial, EventFrame, Filter, GapReason, LiveCall, PlacedCall, Position } from './frames.ts'
import type { ReplyFrame, ServerFrame, SnapshotCall } from './frames.ts'
import { isPlacedCall } from './frames.ts'
import { HttpConnection } from './http-connection.ts'
import { Mirror } from './mirror.ts'
import type { ClientLimits, ClientState, ConnectOptions, Update } from './options.ts'
import { DEFAULT_LIMITS } from './options.ts'
import { readByPolling } from './poll.ts'
import type { Credentials } from './requests.ts'
import { StreamRequests, toEnding } from './requests.ts'
import { readServerSentEvents } from './server-sent-events.ts'
import { fetchToken, toTokenError } from './tokens.ts'
import { TransportChoice } from './transport-choice.ts'
import { Updates } from './updates.ts'
import { delay, withDeadline } from './waiting.ts'
import { WebSocketConnection } from './websocket-connection.ts'

export { callKey } from './mirror.ts'
export { BacklogError, CommandLostError, CommandRefusedError, RefusedError, StreamEndedError } from './errors.ts'
export type { TransportName } from './connection.ts'
export type { Action, Ending } from './endings.ts'
export type * from './frames.ts'
export type { EventFrame as StreamEvent } from './frames.ts'
export type { ClientLimits, ClientState, Coalesced, ConnectOptions, Snapshot, Update } from './options.ts'

/** What one command may have otherwise. */
export type CallOptions = {
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/** A placed call, and whether an earlier request with the same key placed it. */
export type DialResult = { readonly call: PlacedCall; readonly isReplay: boolean }

/**
 * Opens an app's stream and keeps it open until `close`, the signal, or a reason that no repetition changes.
 * Throws a TypeError for options that cannot work.
 */
export const connect = (options: ConnectOptions): StreamClient => new StreamClient(options)

/**
 * A client of an app's stream. It connects by itself and again whenever the connection ends, resumes where
 * it was, and keeps the app's live calls; what it cannot recover it says ({@link Snapshot.lost}).
 *
 * Callbacks are called in the order of the stream, after the calls were brought up to date. One that throws
 * disturbs nothing; the error is thrown again where the runtime reports it as uncaught.
 */
export class StreamClient implements AsyncIterable<Update> {
  readonly #options: ConnectOptions
  readonly #limits: ClientLimits
  readonly #appUrl: string
  readonly #getToken: (signal: AbortSignal) => Promise<string>
  readonly #requests: StreamRequests
  readonly #transports: TransportChoice
  readonly #closing = new AbortController()
  readonly #mirror = new Mirror()
  readonly #updates = new Updates<Update>()
  readonly #commands = new Commands(() => performance.now())
  readonly #filter: FilterControl
  readonly #backoff: Backoff
  #position: Position | undefined
  #state: ClientState = { name: 'connecting' }
  #liveSince: number | undefined
  #lost: GapReason | undefined
  #refreshTimer: ReturnType<typeof setTimeout> | undefined
  #trialTimer: ReturnType<typeof setTimeout> | undefined
  #connection: Connection | undefined
  /** Resolves when the client has ended, with the reason unless it was asked to; never rejects. */
  readonly closed: Promise<StreamEndedError | undefined>

  constructor(options: ConnectOptions) {
    checkFilter(options.filter ?? null)
    this.#options = options
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits }
    this.#appUrl = appUrlOf(options)
    // Not the bare function: a browser's wants to be called as the window's.
    const ownFetch = options.fetch ?? ((...request: Parameters<typeof fetch>) => fetch(...request))
    const credentials = credentialsOf(options)
    this.#getToken =
      'getToken' in credentials
        ? credentials.getToken
        : (signal) => fetchToken({ url: `${this.#appUrl}/stream-tokens`, ...credentials, fetch: ownFetch, signal })
    this.#requests = new StreamRequests({ appUrl: this.#appUrl, credentials, fetch: ownFetch })
    this.#transports = new TransportChoice(transportsOf(options))
    this.#position = options.after
    this.#filter = new FilterControl(options.filter ?? null)
    const { backoffMinMs: minMs, backoffMaxMs: maxMs, stableMs } = this.#limits
    this.#backoff = new Backoff({ minMs, maxMs, stableMs, random: Math.random })
    const { signal } = this.#closing
    options.signal?.addEventListener('abort', () => this.#closing.abort(), { once: true, signal })
    if (options.signal?.aborted === true) this.#closing.abort()
    this.closed = this.#run()
  }

  /**
   * The app's live calls by {@link callKey}: a live view, up to date whenever a callback is called. Empty under
   * a filter of event types without `call.*`, since such a stream does not tell what becomes of a call.
   */
  calls(): ReadonlyMap<string, LiveCall> {
    return this.#mirror.calls
  }

  /** Whether {@link calls} has had a snapshot to begin with. */
  get isComplete(): boolean {
    return this.#mirror.isComplete
  }

  /** That of the last frame that was dealt with: to give to the next client as `after`. */
  get position(): Position | undefined {
    return this.#position
  }

  get state(): ClientState {
    return this.#state
  }

  /** The updates from now on, until the client ends; throws a StreamEndedError if it did not end as asked. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Update> {
    return this.#updates.open()
  }

  answer(callId: string, options?: CallOptions): Promise<void> {
    return this.#control('answer', callId, options)
  }

  hold(callId: string, options?: CallOptions): Promise<void> {
    return this.#control('hold', callId, options)
  }

  resume(callId: string, options?: CallOptions): Promise<void> {
    return this.#control('resume', callId, options)
  }

  end(callId: string, options?: CallOptions): Promise<void> {
    return this.#control('end', callId, options)
  }

  /**
   * Places a call. However often the connection breaks meanwhile, it is placed at most once. To go on with a
   * call whose CommandLostError says that it may have been placed, give the error's `idempotencyKey`.
   */
  async dial(dial: Dial, options: CallOptions & { readonly idempotencyKey?: string } = {}): Promise<DialResult> {
    const key = options.idempotencyKey ?? createKey()
    const reply = await this.#command({ ...dial, op: 'dial', idempotency_key: key }, options)
    if (!isPlacedCall(reply.body)) throw new TypeError('the reply is not that of a call that was placed')
    return { call: reply.body, isReplay: reply.idempotent_replayed === true }
  }

  /**
   * Changes which events are sent; resolves when the stream has the filter and the calls were replaced by
   * those that it wants. Rejects with one of the errors of a command.
   */
  async setFilter(filter: Filter | null, { timeoutMs }: Pick<CallOptions, 'timeoutMs'> = {}): Promise<void> {
    checkFilter(filter)
    return this.#filter.set(filter, timeoutMs ?? this.#limits.commandTimeoutMs)
  }

  /** Ends the stream, and gives up the commands without an answer. */
  close(): Promise<unknown> {
    this.#closing.abort()
    return this.closed
  }

  async #control(op: 'answer' | 'hold' | 'resume' | 'end', callId: string, options?: CallOptions): Promise<void> {
    await this.#command({ op, call_id: callId }, options)
  }

  #command(command: Command, options: CallOptions = {}): Promise<ReplyFrame> {
    const timeoutMs = options.timeoutMs ?? this.#limits.commandTimeoutMs
    return this.#commands.run(command, { timeoutMs, signal: options.signal })
  }

  async #run(): Promise<StreamEndedError | undefined> {
    // So that callbacks are never called before `connect` has returned.
    await Promise.resolve()
    const { signal } = this.#closing
    let final: Ending | undefined
    while (!signal.aborted && final === undefined) {
      this.#setState({ name: 'connecting' })
      const ending = await this.#follow(signal)
      const livedMs = this.#liveSince === undefined ? 0 : performance.now() - this.#liveSince
      this.#transports.note(ending, { wasLive: this.#liveSince !== undefined })
      this.#detach()
      if (signal.aborted) break
      if (ending.action === 'fix') final = ending
      else await this.#wait(ending, livedMs)
    }
    return this.#finish(final)
  }

  /** One connection from its opening to its end; never rejects. */
  async #follow(signal: AbortSignal): Promise<Ending> {
    try {
      const connection = await this.#open(signal)
      this.#connection = connection
      const onAbort = () => connection.close()
      signal.addEventListener('abort', onAbort, { once: true })
      const ending = await connection.ended
      signal.removeEventListener('abort', onAbort)
      return ending
    } catch (error) {
      return toEnding(error)
    }
  }

  async #open(signal: AbortSignal): Promise<Connection> {
    const { openTimeoutMs, silenceMs } = this.#limits
    const name = this.#transports.current
    const token = name === 'websocket' ? await this.#obtainToken(signal) : ''
    signal.throwIfAborted()
    const subscribe = this.#subscribeFrame()
    const onFrame = (frame: ServerFrame) => this.#onFrame(frame, (sent) => connection.send(sent))
    const base = { subscribe, openTimeoutMs, silenceMs, onFrame }
    const read = name === 'sse' ? readServerSentEvents : readByPolling
    const connection: Connection =
      name === 'websocket'
        ? new WebSocketConnection({
            ...base,
            url: `${this.#appUrl.replace(/^http/, 'ws')}/stream`,
            token,
            WebSocket: this.#options.WebSocket ?? WebSocket,
          })
        : new HttpConnection({ ...base, requests: this.#requests, read })
    return connection
  }

  async #obtainToken(signal: AbortSignal): Promise<string> {
    try {
      return await withDeadline(signal, this.#limits.openTimeoutMs, this.#getToken)
    } catch (error) {
      throw toTokenError(error)
    }
  }

  #subscribeFrame(): Extract<ClientFrame, { op: 'subscribe' }> {
    const after = this.#position ?? null
    const filter = toWireFilter(after === null ? this.#filter.startAnew() : this.#filter.applied)
    return { op: 'subscribe', after, ...(filter !== null && { filter }) }
  }

  #onFrame(frame: ServerFrame, send: (frame: ClientFrame) => void): void {
    switch (frame.type) {
      case 'subscribed':
        return this.#onSubscribed(frame, send)
      case 'event':
        return this.#onEvent(frame)
      case 'gap':
        this.#lost = frame.reason
        return
      case 'snapshot':
        return this.#restart(frame)
      case 'filtered':
        this.#filter.confirm(frame.request_id)
        return this.#restart(frame)
      case 'coalesced':
        return this.#tell(frame, this.#options.onCoalesced)
      case 'ping':
        this.#position = frame.position ?? this.#position
        return
      case 'reply':
        this.#commands.settle(frame)
        return this.#filter.settle(frame)
    }
  }

  #onSubscribed(frame: Extract<ServerFrame, { type: 'subscribed' }>, send: (frame: ClientFrame) => void): void {
    this.#liveSince = performance.now()
    this.#position = frame.position
    this.#lost = frame.recovered ? undefined : frame.reason
    this.#setState({ name: 'live', recovered: frame.recovered, transport: this.#transports.current })
    if (!frame.recovered) this.#restart(frame)
    this.#filter.attach(send, { isFresh: !frame.recovered })
    // Resumed by a position from elsewhere.
    if (frame.recovered && !this.#mirror.isComplete && this.#keepsMirror) this.#filter.refresh()
    this.#commands.attach(send)
    this.#tryFirstAfter(this.#transports.trialAfterMs)
  }

  /** A stream over a lesser transport is given up after a while to see whether the first one works by now. */
  #tryFirstAfter(waitMs: number | undefined): void {
    if (waitMs === undefined) return
    this.#trialTimer = setTimeout(() => {
      if (!this.#commands.isIdle) return this.#tryFirstAfter(TRIAL_DELAY_MS)
      this.#transports.planTrial()
      this.#connection?.close('transport_trial')
    }, waitMs)
  }

  #onEvent(frame: EventFrame): void {
    if (this.#keepsMirror) this.#mirror.apply(frame)
    this.#position = frame.position
    if (frame.event === 'subscriber.assigned' && this.#keepsMirror) this.#refreshSoon()
    if (wantsType(this.#filter.applied, frame)) this.#tell(frame, this.#options.onEvent)
  }

  #restart({ position, snapshot }: { readonly position: Position; readonly snapshot: readonly SnapshotCall[] }): void {
    if (this.#keepsMirror) this.#mirror.replace(snapshot, position)
    else this.#mirror.clear()
    this.#position = position
    const lost = this.#lost
    this.#lost = undefined
    this.#tell({ type: 'snapshot' as const, lost, position, calls: snapshot }, this.#options.onSnapshot)
  }

  get #keepsMirror(): boolean {
    return coversCalls(this.#filter.applied)
  }

  /** A new subscriber may be in the middle of calls, and there is no event of them before they change. */
  #refreshSoon(): void {
    this.#refreshTimer ??= setTimeout(() => {
      this.#refreshTimer = undefined
      this.#filter.refresh()
    }, this.#limits.refreshDelayMs)
  }

  #tell<Told extends Update>(update: Told, callback: ((update: Told) => void) | undefined): void {
    this.#updates.push(update)
    invoke(callback, update)
  }

  #setState(state: ClientState): void {
    this.#state = state
    invoke(this.#options.onState, state)
  }

  async #wait(ending: Ending, livedMs: number): Promise<void> {
    const retryInMs = this.#backoff.next({ livedMs, retryAfterMs: ending.retryAfterMs })
    this.#setState({ name: 'waiting', retryInMs, ending })
    await delay(retryInMs, this.#closing.signal)
  }

  #detach(): void {
    this.#liveSince = undefined
    this.#connection = undefined
    clearTimeout(this.#trialTimer)
    this.#commands.detach()
    this.#filter.detach()
  }

  #finish(ending: Ending | undefined): StreamEndedError | undefined {
    this.#closing.abort()
    clearTimeout(this.#refreshTimer)
    this.#commands.close()
    this.#filter.close()
    const error = ending && new StreamEndedError(ending)
    this.#updates.close(error === undefined ? {} : { error })
    this.#setState({ name: 'closed', ...(ending !== undefined && { ending }) })
    return error
  }
}

function appUrlOf({ url, appId }: ConnectOptions): string {
  const base = new URL(url)
  if (!/^(http|ws)s?:$/.test(base.protocol)) throw new TypeError('url must be that of the gateway, http(s)://…')
  const path = base.pathname.replace(/\/+$/, '')
  return `${base.origin.replace(/^ws/, 'http')}${path}/apps/${encodeURIComponent(appId)}`
}

function credentialsOf({ apiKey, getToken }: ConnectOptions): Credentials {
  if (apiKey !== undefined && getToken === undefined) return { apiKey }
  if (getToken !== undefined && apiKey === undefined) return { getToken }
  throw new TypeError('give either apiKey or getToken')
}

/** Those of the transports that there can be here. */
function transportsOf({ transports = ALL_TRANSPORTS, WebSocket: given }: ConnectOptions): readonly TransportName[] {
  const hasWebSocket = given !== undefined || globalThis.WebSocket !== undefined
  const usable = transports.filter((name) => name !== 'websocket' || hasWebSocket)
  if (usable.length > 0) return usable
  throw new TypeError('there is no transport: Node 22 or newer has a WebSocket, or give one')
}

/** For a command's reply that would be lost. */
const TRIAL_DELAY_MS = 1_000
const ALL_TRANSPORTS: readonly TransportName[] = ['websocket', 'sse', 'poll']

/** 128 random bits; `crypto.randomUUID` is missing in pages that were not loaded over TLS. */
function createKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

function invoke<Value>(callback: ((value: Value) => void) | undefined, value: Value): void {
  try {
    callback?.(value)
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
  }
}
