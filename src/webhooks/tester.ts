import type { EventPayload } from '../core/app-event.ts'
import type { Clock } from '../core/clock.ts'
import { policyFor } from '../core/delivery-policy.ts'
import type { AttemptRecord } from '../core/delivery-record.ts'
import type { Endpoint } from '../core/endpoint.ts'
import { GatewayError } from '../core/errors.ts'
import { toAttemptRecord } from './attempt-record.ts'
import type { CredentialCache } from './credential-cache.ts'
import type { Deliverer } from './deliverer.ts'
import { eventIdOf } from './delivery.ts'
import { describePayload } from './event-about.ts'
import { createSamplePayload } from './sample-events.ts'
import { composeHeaders, toTarget } from './target.ts'

export type TesterOptions = {
  /** Started. */
  readonly deliverer: Pick<Deliverer, 'attempt'>
  readonly credentials: Pick<CredentialCache, 'of'>
  readonly clock: Pick<Clock, 'now'>
  /** What a request may take; 10 s unless given. */
  readonly timeoutMs?: number
  /** Uniform in [0, 1), for ids. */
  readonly random: () => number
}

export type TestResult = {
  readonly deliveryId: string
  readonly type: string
  /** The body as it was sent. */
  readonly payload: EventPayload
  /** Two when the failover URL was tried. */
  readonly attempts: readonly AttemptRecord[]
}

const TIMEOUT_MS = 10_000
const LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789'
/** No epoch of a log looks like this, so nobody resumes from a test. */
const POSITION = { epoch: 'test', offset: 0 }

/** Sends a sample of an event type to an endpoint, once and now, as its events are sent; records nothing. */
export class Tester {
  readonly #options: TesterOptions

  constructor(options: TesterOptions) {
    this.#options = options
  }

  /**
   * Whatever comes of it is in the attempts. Rejects with `invalid_request` for a type that there is not,
   * `webhook_unverified`, `webhook_not_found` when it was removed, `store_unavailable`, and `draining` when
   * the gateway stops meanwhile.
   */
  async send(endpoint: Endpoint, type: string): Promise<TestResult> {
    const { deliverer, credentials, clock, random, timeoutMs = TIMEOUT_MS } = this.#options
    const { appId } = endpoint
    if (!endpoint.verified) throw new GatewayError('webhook_unverified')
    const now = clock.now()
    const name = Array.from({ length: 20 }, () => LETTERS[Math.floor(random() * LETTERS.length)]).join('')
    const sample = createSamplePayload(type, { appId, name, now })
    if ((await credentials.of(endpoint)) === undefined) throw new GatewayError('webhook_not_found')

    const payload = JSON.stringify(sample)
    const event = { eventId: eventIdOf(appId, POSITION), type, about: describePayload(payload, now) }
    const expiresAt = now + policyFor(type, endpoint.policies).ttlMs
    const headers = composeHeaders({
      pending: { expiresAt, isParked: false, isReplay: false },
      event,
      skipped: [],
      now,
    })
    const deliveryId = `msg_test_${name}`
    const reports = await deliverer.attempt(
      toTarget(endpoint, () => credentials.of(endpoint)),
      {
        messageId: deliveryId,
        payload,
        number: 1,
        timeoutMs,
        headers: { ...headers, 'callhalf-test': '1' },
      },
      new AbortController().signal,
    )
    if (reports.length === 0) throw new GatewayError('draining')
    const attempts = reports.map((report, i) => toAttemptRecord(report, { number: i + 1, isReplay: false }))
    return { deliveryId, type, payload: sample, attempts }
  }
}
