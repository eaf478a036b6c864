import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import type { AttemptRecord } from '../core/delivery-record.ts'
import type { Endpoint, EndpointRepository } from '../core/endpoint.ts'
import { GatewayError } from '../core/errors.ts'
import type { AttemptTarget } from './attempt.ts'
import { toAttemptRecord } from './attempt-record.ts'
import type { CredentialCache } from './credential-cache.ts'
import type { Deliverer } from './deliverer.ts'
import { toTarget } from './target.ts'

export type VerifierOptions = {
  /** Started. */
  readonly deliverer: Pick<Deliverer, 'attempt'>
  readonly credentials: Pick<CredentialCache, 'of'>
  readonly endpoints: Pick<EndpointRepository, 'update'>
  readonly clock: Pick<Clock, 'now'>
  /** What a request may take; 10 s unless given. */
  readonly timeoutMs?: number
}

export type VerifyResult = {
  readonly verified: boolean
  /** The attempt that decided: the last one. */
  readonly attempt: AttemptRecord
}

/** The event type of a challenge; nobody can subscribe to it. */
export const CHALLENGE_TYPE = 'webhook.challenge'
const TIMEOUT_MS = 10_000

/** What came of one challenge. */
type Challenged = { readonly attempt: AttemptRecord; readonly isAnswered: boolean }

/**
 * Finds out whether whoever receives at an endpoint's URLs wants its webhooks: sends a signed random text,
 * which they must answer with, as it is or as `{"challenge": …}`. An echo of the whole request is no
 * answer, so that no server can be made to receive by accident. Each URL must prove itself.
 */
export class Verifier {
  readonly #options: VerifierOptions

  constructor(options: VerifierOptions) {
    this.#options = options
  }

  /**
   * Marks the endpoint as verified if it is, and if its URLs are still those that were asked. Rejects with
   * `webhook_not_found` when it was removed, `store_unavailable`, and `draining` when the gateway stops
   * meanwhile.
   */
  async verify(endpoint: Endpoint): Promise<VerifyResult> {
    const { credentials } = this.#options
    if ((await credentials.of(endpoint)) === undefined) throw new GatewayError('webhook_not_found')
    const { failoverUrl, ...target } = toTarget(endpoint, () => credentials.of(endpoint))
    const primary = await this.#challenge(target, 'primary')
    // The second URL is only asked when the first has proven itself.
    const last =
      primary.isAnswered && failoverUrl !== undefined
        ? await this.#challenge({ ...target, url: failoverUrl }, 'failover')
        : primary
    return { verified: last.isAnswered && (await this.#markVerified(endpoint)), attempt: last.attempt }
  }

  async #challenge(target: AttemptTarget, role: AttemptRecord['target']): Promise<Challenged> {
    const { deliverer, clock, timeoutMs = TIMEOUT_MS } = this.#options
    const challenge = randomBytes(32).toString('base64url')
    const timestamp = new Date(clock.now()).toISOString()
    const [report] = await deliverer.attempt(
      target,
      {
        messageId: `msg_challenge_${randomBytes(15).toString('base64url')}`,
        payload: JSON.stringify({ type: CHALLENGE_TYPE, timestamp, data: { challenge } }),
        number: 1,
        timeoutMs,
        headers: { 'callhalf-event': CHALLENGE_TYPE, ...(role === 'failover' && { 'callhalf-target': role }) },
      },
      new AbortController().signal,
    )
    if (report === undefined) throw new GatewayError('draining')
    const attempt = { ...toAttemptRecord(report, { number: 1, isReplay: false }), target: role }
    return { attempt, isAnswered: attempt.outcome === 'delivered' && answers(attempt.response ?? '', challenge) }
  }

  /** False when the URLs have changed since: what was proven says nothing about the new ones. */
  async #markVerified({ appId, endpointId, url, failoverUrl }: Endpoint): Promise<boolean> {
    const provenUrls = { url, ...(failoverUrl !== undefined && { failoverUrl }) }
    const updated = await this.#options.endpoints.update(appId, endpointId, { verified: true, provenUrls })
    if (updated === undefined) throw new GatewayError('webhook_not_found')
    return updated.verified && updated.url === url && updated.failoverUrl === failoverUrl
  }
}

/** Whether the body of an answer is the challenge, bare or as the field of an object. */
function answers(body: string, challenge: string): boolean {
  const text = body.trim()
  return isEqual(text, challenge) || isEqual(challengeIn(text), challenge)
}

function challengeIn(text: string): string {
  if (!text.startsWith('{')) return ''
  try {
    const body: unknown = JSON.parse(text)
    const value: unknown = typeof body === 'object' && body !== null ? Reflect.get(body, 'challenge') : undefined
    return typeof value === 'string' ? value : ''
  } catch {
    return ''
  }
}

/** In a time that does not tell how much of it is right. */
const isEqual = (given: string, expected: string): boolean => timingSafeEqual(digest(given), digest(expected))

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
