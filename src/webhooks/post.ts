import { errors } from 'undici'
import type { Dispatcher } from 'undici'
import type { Clock } from '../core/clock.ts'
import type { AttemptTiming } from '../core/delivery-record.ts'
import { isFull } from './agents.ts'
import type { Agents } from './agents.ts'
import type { AttemptReport } from './attempt.ts'
import type { ConnectionLog, Sending } from './connection-log.ts'
import type { Cuts } from './cuts.ts'
import { classifyError, classifyResponse } from './outcome.ts'
import type { Outcome } from './outcome.ts'
import { RESPONSE_BYTES_MAX, toResponseText } from './response-text.ts'

export type PostOptions = {
  readonly agents: Agents
  readonly log: ConnectionLog
  readonly cuts: Cuts
  readonly clock: Pick<Clock, 'now' | 'monotonic'>
  readonly origin: string
  /** With the query. */
  readonly path: string
  /** Names and values by turns. */
  readonly headers: string[]
  /**
   * Asked every quarter of a second while the request waits for a connection; resolves with what to send
   * instead, or undefined. Never rejects.
   */
  readonly renewHeaders: () => Promise<string[] | undefined>
  readonly body: Buffer
  /** PEM. */
  readonly caCertificates: string | undefined
  /** For everything up to the status; what is left of it is for the answer's body, too. */
  readonly timeoutMs: number
}

export type PostReport = Omit<AttemptReport, 'target'>

/** A revoked secret signs for about as long, beyond the age that credentials may have. */
const RENEW_MS = 250
/** How long after the status a receiver may take for its body. */
const BODY_MS_MAX = 1_000
/** What is read to be able to use the socket again; whoever sends more loses it. */
const BODY_BYTES_MAX = 16_384

const TIMEOUT: Outcome = { kind: 'failed', reason: 'timeout' }

type Headers = Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseStart']>>[2]

/**
 * Makes one POST. Resolves with what came of it, at the latest when `timeoutMs` is over; with undefined
 * when `signal` ended it before anything was known. Never rejects.
 */
export function sendPost(options: PostOptions, signal: AbortSignal): Promise<PostReport | undefined> {
  return new Promise((resolve) => new Post(options, resolve).begin(signal))
}

/**
 * One POST, as undici's dispatcher sees it. This is the layer below `request`: it costs less, and it lets an
 * attempt end while undici still waits for a connection, which `request` does not. The outcome is decided by
 * the status alone: the body is read within limits, and nothing that happens to it changes the outcome.
 */
class Post implements Dispatcher.DispatchHandler {
  readonly #options: PostOptions
  readonly #resolve: (report: PostReport | undefined) => void
  readonly #startedAt: number
  readonly #began: number
  /** `signal` aborted. */
  readonly #cut = (): void => this.#stop(this.#outcome)
  /** The time is over, for the status or, once that is known, for the body. */
  readonly #end = (): void => this.#stop(this.#outcome ?? TIMEOUT)
  readonly #tick = (): void => {
    if (this.#leftMs <= 0) return this.#end()
    const isWaiting = this.#controller === undefined
    if (isWaiting) void this.#renew()
    this.#arm(isWaiting ? RENEW_MS : this.#leftMs)
  }
  #signal: AbortSignal | undefined
  #timer: NodeJS.Timeout | undefined
  /** Of the time for the status, beyond what the timer is set for. */
  #leftMs: number
  #headers: string[]
  /** They have taken the place of those that undici has. */
  #isRenewed = false
  #controller: Dispatcher.DispatchController | undefined
  #sending: Sending | undefined
  #outcome: Outcome | undefined
  #answeredAt: number | undefined
  #bodyBytes = 0
  readonly #response: Buffer[] = []
  #isSettled = false

  constructor(options: PostOptions, resolve: (report: PostReport | undefined) => void) {
    this.#options = options
    this.#resolve = resolve
    this.#startedAt = options.clock.now()
    this.#began = options.clock.monotonic()
    this.#leftMs = options.timeoutMs
    this.#headers = options.headers
  }

  begin(signal: AbortSignal): void {
    if (signal.aborted) return this.#settle(undefined)
    this.#signal = signal
    this.#options.cuts.add(signal, this.#cut)
    this.#arm(RENEW_MS)
    this.#dispatch()
  }

  #dispatch(): void {
    const { agents, caCertificates } = this.#options
    try {
      agents.dispatch(this.#request(), this, caCertificates)
    } catch (error) {
      this.#settle(classifyError(error))
    }
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // Its time ended, or its signature was replaced, while it waited for a connection. To throw takes the
    // request out of undici's queue but leaves the connection, which the next one can use; to abort would
    // close it.
    if (this.#isSettled || this.#isRenewed) throw new errors.RequestAbortedError()
    this.#controller = controller
    const { log, body } = this.#options
    log.expect(body, (sending) => {
      this.#sending = sending
    })
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: Headers): void {
    if (status < 200 || this.#isSettled) return
    const { clock, timeoutMs } = this.#options
    this.#answeredAt = clock.monotonic()
    this.#outcome = classifyResponse(
      { status, retryAfter: textOf(headers['retry-after']), delivery: textOf(headers['webhook-delivery']) },
      clock.now(),
    )
    const left = timeoutMs - (this.#answeredAt - this.#began)
    // Nearly every body is complete before this microtask: no need for a second timer.
    if (left > BODY_MS_MAX) queueMicrotask(() => this.#limitBody())
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#isSettled) return
    const room = RESPONSE_BYTES_MAX - this.#bodyBytes
    if (room > 0) this.#response.push(chunk.length > room ? chunk.subarray(0, room) : chunk)
    this.#bodyBytes += chunk.length
    if (this.#bodyBytes > BODY_BYTES_MAX) this.#stop(this.#outcome)
  }

  onResponseEnd(): void {
    this.#settle(this.#outcome)
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#isSettled) return
    if (this.#isRenewed && this.#controller === undefined && error instanceof errors.RequestAbortedError) {
      this.#isRenewed = false
      return queueMicrotask(() => this.#dispatchAgain())
    }
    if (isFull(error)) return this.#options.agents.dispatchAlone(this.#request(), this)
    // After our own stop nobody knows whether it arrived.
    const isOurs = error instanceof errors.ClientDestroyedError || error instanceof errors.ClientClosedError
    this.#settle(this.#outcome ?? (isOurs ? undefined : classifyError(error)))
  }

  #dispatchAgain(): void {
    if (!this.#isSettled) this.#dispatch()
  }

  async #renew(): Promise<void> {
    const headers = await this.#options.renewHeaders()
    if (headers === undefined || this.#isSettled || this.#controller !== undefined) return
    this.#headers = headers
    this.#isRenewed = true
  }

  #arm(ms: number): void {
    const part = Math.min(ms, this.#leftMs)
    this.#leftMs -= part
    this.#timer = setTimeout(this.#tick, part)
  }

  #limitBody(): void {
    if (this.#isSettled) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(this.#end, BODY_MS_MAX)
  }

  #request(): Dispatcher.DispatchOptions {
    const { origin, path, body } = this.#options
    return { origin, path, method: 'POST', headers: this.#headers, body }
  }

  /** Ends the exchange from our side; the socket goes with it, because the rest of the answer may still come. */
  #stop(outcome: Outcome | undefined): void {
    this.#settle(outcome)
    this.#controller?.abort(new errors.RequestAbortedError())
  }

  #settle(outcome: Outcome | undefined): void {
    if (this.#isSettled) return
    this.#isSettled = true
    clearTimeout(this.#timer)
    if (this.#signal !== undefined) this.#options.cuts.remove(this.#signal, this.#cut)
    this.#resolve(outcome && this.#report(outcome))
  }

  #report(outcome: Outcome): PostReport {
    const connection = this.#sending?.connection
    const response = this.#responseText()
    return {
      startedAt: this.#startedAt,
      outcome,
      timing: this.#timing(),
      ...(connection !== undefined && { remoteAddress: connection.remoteAddress, reused: !this.#isOwn() }),
      ...(response !== '' && { response }),
    }
  }

  /** Whether the connection was opened for this request, so that it is part of its time. */
  #isOwn(): boolean {
    const { connection, isFirst } = this.#sending ?? {}
    return connection !== undefined && isFirst === true && connection.openedAt >= this.#began
  }

  #timing(): AttemptTiming {
    const totalMs = round(this.#options.clock.monotonic() - this.#began)
    const { connection, at } = this.#sending ?? {}
    const opening = connection !== undefined && this.#isOwn() ? connection : undefined
    return {
      ...(opening?.dnsMs !== undefined && { dnsMs: round(opening.dnsMs) }),
      ...(opening !== undefined && { connectMs: round(opening.connectMs) }),
      ...(opening?.tlsMs !== undefined && { tlsMs: round(opening.tlsMs) }),
      ...(at !== undefined && this.#answeredAt !== undefined && { firstByteMs: round(this.#answeredAt - at) }),
      totalMs,
    }
  }

  #responseText(): string {
    const [first] = this.#response
    if (first === undefined) return ''
    const body = this.#response.length === 1 ? first : Buffer.concat(this.#response)
    return toResponseText(body, { cut: this.#bodyBytes > RESPONSE_BYTES_MAX })
  }
}

const round = (ms: number): number => Math.round(ms * 10) / 10

const textOf = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value[0] : value)
