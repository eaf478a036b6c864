import type { buildConnector } from 'undici'
import type { Clock } from '../core/clock.ts'
import type { AddressPolicy } from './address-policy.ts'
import { Agents } from './agents.ts'
import type { AttemptMessage, AttemptReport, AttemptTarget, Credentials } from './attempt.ts'
import { ConnectionLog } from './connection-log.ts'
import { createGuardedConnector } from './connector.ts'
import { Cuts } from './cuts.ts'
import { classifyError } from './outcome.ts'
import type { FailureReason, Outcome } from './outcome.ts'
import { sendPost } from './post.ts'
import { PrimaryWatch } from './primary-watch.ts'
import type { Resolve } from './resolver.ts'
import { isSameKeyring, signatureList } from './signature.ts'
import { inspectUrl } from './url-policy.ts'

export type DelivererOptions = {
  readonly policy: AddressPolicy
  readonly resolve: Resolve
  readonly clock: Pick<Clock, 'now' | 'monotonic'>
  readonly userAgent: string
  readonly connectTimeoutMs?: number
  /** Sockets per origin. */
  readonly connections?: number
  /** What makes the connectors that open sockets, below the guard: undici's. */
  readonly build?: typeof buildConnector
}

/** One POST of a round. */
type Leg = { readonly name: AttemptReport['target']; readonly url: string }

/** A round, as its first POST finds it. */
type Round = {
  readonly target: AttemptTarget
  readonly message: AttemptMessage
  readonly body: Buffer
  readonly signal: AbortSignal
  /** In monotonic milliseconds. */
  readonly beganAt: number
}

/** Where a URL points. */
type Address = { readonly origin: string; readonly path: string }

/**
 * As many as a process can have in work at a time, by its jobs and without one. Many tenants may share an
 * origin: no fewer, or one of them whose receivers hang would keep the others' events from being sent. What
 * bounds an endpoint is its own limit.
 */
const CONNECTIONS = 1_536
const ADDRESSES_MAX = 4_096
/** The part of the time that the first of two URLs may use up. */
const FIRST_SHARE = 0.6
const UNREACHABLE: ReadonlySet<FailureReason> = new Set([
  'dns_error',
  'connect_refused',
  'connection_lost',
  'tls_error',
  'timeout',
])
/** What gateways and load balancers say for a server that is not there. */
const UNAVAILABLE: ReadonlySet<number> = new Set([502, 503, 504])

/**
 * Sends rounds of attempts: one POST, or two when the first URL cannot be reached and there is a second one.
 * The primary URL is the first, unless it has not been reached several times in a row.
 */
export class Deliverer {
  readonly #options: DelivererOptions
  readonly #log: ConnectionLog
  readonly #cuts = new Cuts()
  readonly #primaries = new PrimaryWatch()
  /** Of URLs used lately; to take one apart costs as much as to sign for it. */
  readonly #addresses = new Map<string, Address | undefined>()
  #agents: Agents | undefined

  constructor(options: DelivererOptions) {
    this.#options = options
    this.#log = new ConnectionLog(options.clock)
  }

  /** Makes the connection pools; nothing is opened before the first attempt. */
  start(): void {
    const {
      policy,
      resolve,
      clock,
      connectTimeoutMs: timeoutMs = 3_000,
      connections = CONNECTIONS,
      build,
    } = this.#options
    const log = this.#log
    this.#agents = new Agents({
      connections,
      createConnector: (secureContext) =>
        createGuardedConnector({
          policy,
          resolve,
          clock,
          timeoutMs,
          log,
          secureContext,
          ...(build !== undefined && { build }),
        }),
    })
    log.start()
  }

  async stop(): Promise<void> {
    const agents = this.#agents
    if (agents === undefined) return
    this.#agents = undefined
    this.#log.stop()
    await agents.destroy()
  }

  /**
   * Makes one round of attempts within `message.timeoutMs`. The reports are in the order of sending; the last
   * one is the round's outcome. None when `signal` ended it before anything was known, when there is nobody to
   * sign as, or when the message expired first; one when any of that befell the second POST. Never rejects.
   */
  async attempt(
    target: AttemptTarget,
    message: AttemptMessage,
    signal: AbortSignal,
  ): Promise<readonly AttemptReport[]> {
    const primary: Leg = { name: 'primary', url: target.url }
    const beganAt = this.#options.clock.monotonic()
    const round: Round = { target, message, body: Buffer.from(message.payload), signal, beganAt }
    if (target.failoverUrl === undefined) {
      const only = await this.#post(round, { leg: primary, number: message.number, timeoutMs: message.timeoutMs })
      return only === undefined ? [] : [only]
    }
    return this.#sendToEither(round, primary, { name: 'failover', url: target.failoverUrl })
  }

  async #sendToEither(round: Round, primary: Leg, failover: Leg): Promise<readonly AttemptReport[]> {
    const { clock } = this.#options
    const { endpointId } = round.target
    const { number, timeoutMs } = round.message
    const { beganAt } = round
    const isPrimaryFirst = this.#primaries.isFirst(endpointId, primary.url, beganAt)
    const [one, two] = isPrimaryFirst ? [primary, failover] : [failover, primary]

    const first = await this.#postOrNote(round, { leg: one, number, timeoutMs: Math.round(timeoutMs * FIRST_SHARE) })
    if (first === undefined) return []
    const left = Math.floor(timeoutMs - (clock.monotonic() - beganAt))
    if (!isOutOfReach(first.outcome) || left <= 0) return [first]
    const second = await this.#postOrNote(round, { leg: two, number: number + 1, timeoutMs: left })
    return second === undefined ? [first] : [first, second]
  }

  async #postOrNote(round: Round, post: PostPlan): Promise<AttemptReport | undefined> {
    const report = await this.#post(round, post)
    if (report?.target === 'primary') {
      const failed = isOutOfReach(report.outcome)
      const { endpointId, url } = round.target
      this.#primaries.note(endpointId, { url, failed, now: this.#options.clock.monotonic() })
    }
    return report
  }

  async #post(round: Round, { leg, number, timeoutMs }: PostPlan): Promise<AttemptReport | undefined> {
    const { clock } = this.#options
    const { target, body, signal } = round
    const startedAt = clock.now()
    const address = this.#addressOf(leg.url)
    if (address === undefined) return unsent(leg, startedAt, { kind: 'failed', reason: 'blocked_address' })
    const agents = this.#agents
    if (agents === undefined) return undefined
    const beganAt = clock.monotonic()
    try {
      const credentials = await readCredentials(target)
      if (credentials === undefined || this.#isExpired(round)) return undefined
      const report = await sendPost(
        {
          agents,
          log: this.#log,
          cuts: this.#cuts,
          clock,
          ...address,
          headers: this.#headers(round, { leg, number, credentials }),
          renewHeaders: () => this.#renewHeaders(round, { leg, number, credentials }),
          body,
          caCertificates: target.caCertificates,
          timeoutMs: Math.max(1, timeoutMs - (clock.monotonic() - beganAt)),
        },
        signal,
      )
      return report && { target: leg.name, ...report }
    } catch (error) {
      return unsent(leg, startedAt, classifyError(error))
    }
  }

  #isExpired({ message: { expiresInMs }, beganAt }: Round): boolean {
    return expiresInMs !== undefined && this.#options.clock.monotonic() - beganAt >= expiresInMs
  }

  /** Undefined for a URL that can never be a webhook's. */
  #addressOf(text: string): Address | undefined {
    if (this.#addresses.has(text)) return this.#addresses.get(text)
    const inspection = inspectUrl(text)
    const address = inspection.ok
      ? { origin: inspection.url.origin, path: inspection.url.pathname + inspection.url.search }
      : undefined
    if (this.#addresses.size >= ADDRESSES_MAX) this.#addresses.clear()
    this.#addresses.set(text, address)
    return address
  }

  /** Other headers, should what these are signed with have been replaced. */
  async #renewHeaders(round: Round, signed: Signed): Promise<string[] | undefined> {
    const credentials = await readCredentials(round.target)
    if (credentials === undefined || isSameKeyring(credentials.keys, signed.credentials.keys)) return undefined
    return this.#headers(round, { ...signed, credentials })
  }

  /** Names and values by turns, ours last. */
  #headers({ message, body }: Round, { leg, number, credentials }: Signed): string[] {
    const { messageId: id } = message
    const timestamp = Math.floor(this.#options.clock.now() / 1_000)
    const headers: string[] = []
    for (const name in credentials.headers) headers.push(name, credentials.headers[name] ?? '')
    for (const name in message.headers) headers.push(name, message.headers[name] ?? '')
    headers.push('callhalf-attempt', String(number))
    if (leg.name === 'failover') headers.push('callhalf-target', 'failover')
    headers.push('content-type', 'application/json')
    headers.push('user-agent', this.#options.userAgent)
    // Answers are hardly read: nobody has to compress one, or can send one that explodes.
    headers.push('accept-encoding', 'identity')
    headers.push('webhook-id', id)
    headers.push('webhook-timestamp', String(timestamp))
    headers.push('webhook-signature', signatureList({ id, timestamp, payload: body }, credentials.keys))
    return headers
  }
}

type PostPlan = { readonly leg: Leg; readonly number: number; readonly timeoutMs: number }
type Signed = { readonly leg: Leg; readonly number: number; readonly credentials: Credentials }

/** Undefined also when they cannot be read: whoever began the round could, so this is rare and passes. */
const readCredentials = ({ credentials }: AttemptTarget): Promise<Credentials | undefined> =>
  credentials().catch(() => undefined)

/** Whether another way to the same receiver could help. */
const isOutOfReach = (outcome: Outcome): boolean =>
  outcome.kind === 'failed' &&
  (UNREACHABLE.has(outcome.reason) || (outcome.status !== undefined && UNAVAILABLE.has(outcome.status)))

const unsent = (leg: Leg, startedAt: number, outcome: Outcome): AttemptReport => ({
  target: leg.name,
  startedAt,
  outcome,
  timing: { totalMs: 0 },
})
