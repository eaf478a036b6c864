import type { KeyObject } from 'node:crypto'
import { Agent, request } from 'undici'
import type { Clock } from '../core/clock.ts'
import type { AddressPolicy } from './address-policy.ts'
import { createGuardedConnector } from './connector.ts'
import { classifyError, classifyResponse } from './outcome.ts'
import type { Outcome } from './outcome.ts'
import type { Resolve } from './resolver.ts'
import { sign } from './signature.ts'
import { inspectUrl } from './url-policy.ts'

/** One HTTP POST of one event to one endpoint. */
export type Attempt = {
  readonly url: string
  /** Newest first; each adds a signature. */
  readonly keys: readonly KeyObject[]
  readonly messageId: string
  readonly type: string
  /** `<epoch>:<offset>`, the event's place in the app's log. */
  readonly position: string
  readonly sequence?: string
  /** From 1. */
  readonly number: number
  readonly payload: string
}

export type DelivererOptions = {
  readonly policy: AddressPolicy
  readonly resolve: Resolve
  readonly clock: Pick<Clock, 'now'>
  readonly userAgent: string
  /** For connect, request, status and headers together. */
  readonly deadlineMs?: number
  readonly connectTimeoutMs?: number
  /** Sockets per origin; more than one endpoint may share one, so more than one endpoint's slots. */
  readonly connections?: number
}

/** How long after the status a receiver may take for its body, which is read only to reuse the socket. */
const BODY_DEADLINE_MS = 1_000
const BODY_BYTES_MAX = 16_384

/**
 * Sends attempts. The outcome is decided by the status line alone; the body is drained within limits and
 * thrown away, so a receiver that sends an endless or dripping one delays itself only.
 */
export class Deliverer {
  readonly #options: DelivererOptions
  readonly #deadlineMs: number
  #agent: Agent | undefined

  constructor(options: DelivererOptions) {
    this.#options = options
    this.#deadlineMs = options.deadlineMs ?? 10_000
  }

  /** Makes the connection pools; nothing is opened before the first attempt. */
  start(): void {
    const { policy, resolve, connectTimeoutMs = 3_000, connections = 256 } = this.#options
    this.#agent = new Agent({
      connect: createGuardedConnector({ policy, resolve, timeoutMs: connectTimeoutMs }),
      connections,
      // One request on a socket at a time: a slow answer must not hold up the next event.
      pipelining: 1,
      allowH2: false,
      maxOrigins: 4_096,
      keepAliveTimeout: 20_000,
      keepAliveMaxTimeout: 60_000,
      keepAliveTimeoutThreshold: 2_000,
      // A socket was vetted when it was opened: let none live on after its name points elsewhere.
      clientTtl: 300_000,
      maxRequestsPerClient: 1_000,
      headersTimeout: this.#deadlineMs,
      bodyTimeout: BODY_DEADLINE_MS,
    })
  }

  async stop(): Promise<void> {
    await this.#agent?.destroy()
    this.#agent = undefined
  }

  /** Makes one attempt; undefined when `signal` ended it, so that nothing is known of it. Never rejects. */
  async attempt(attempt: Attempt, signal: AbortSignal): Promise<Outcome | undefined> {
    const inspection = inspectUrl(attempt.url)
    if (!inspection.ok) return { kind: 'failed', reason: 'blocked_address' }
    if (signal.aborted || this.#agent === undefined) return undefined

    let late = false
    const controller = new AbortController()
    const abort = () => controller.abort()
    const timer = setTimeout(() => {
      late = true
      abort()
    }, this.#deadlineMs)
    signal.addEventListener('abort', abort, { once: true })
    try {
      return await this.#post(this.#agent, attempt, controller.signal)
    } catch (error) {
      if (late) return { kind: 'failed', reason: 'timeout' }
      return signal.aborted ? undefined : classifyError(error)
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
    }
  }

  async #post(agent: Agent, attempt: Attempt, signal: AbortSignal): Promise<Outcome> {
    const response = await request(attempt.url, {
      method: 'POST',
      dispatcher: agent,
      headers: this.#headers(attempt),
      body: attempt.payload,
      signal,
    })
    const retryAfter = response.headers['retry-after']
    const outcome = classifyResponse(
      { status: response.statusCode, retryAfter: typeof retryAfter === 'string' ? retryAfter : undefined },
      this.#options.clock.now(),
    )
    await response.body
      .dump({ limit: BODY_BYTES_MAX, signal: AbortSignal.timeout(BODY_DEADLINE_MS) })
      .catch(() => undefined)
    return outcome
  }

  #headers(attempt: Attempt): Record<string, string> {
    const { messageId: id, payload } = attempt
    const timestamp = Math.floor(this.#options.clock.now() / 1_000)
    return {
      'content-type': 'application/json',
      'user-agent': this.#options.userAgent,
      // Answers are thrown away: nobody has to compress one, or can send one that explodes.
      'accept-encoding': 'identity',
      'webhook-id': id,
      'webhook-timestamp': String(timestamp),
      'webhook-signature': sign({ id, timestamp, payload }, attempt.keys),
      'callhalf-event': attempt.type,
      'callhalf-position': attempt.position,
      'callhalf-attempt': String(attempt.number),
      ...(attempt.sequence !== undefined && { 'callhalf-sequence': attempt.sequence }),
    }
  }
}
