import { randomUUID } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import { policyFor } from '../core/delivery-policy.ts'
import type { AttemptRecord, EndedStatus } from '../core/delivery-record.ts'
import { GatewayError } from '../core/errors.ts'
import type { AttemptReport, Credentials } from './attempt.ts'
import { logAttempts } from './attempt-log.ts'
import type { AttemptSequel } from './attempt-log.ts'
import { toAttemptRecord } from './attempt-record.ts'
import type { CredentialCache } from './credential-cache.ts'
import type { Deliverer } from './deliverer.ts'
import { messageIdOf, rulesOf } from './delivery.ts'
import type { EndpointRef, Lane, LaneRules, WakeUp } from './delivery.ts'
import type { DeliveryStore } from './delivery-store.ts'
import type { Drains } from './drains.ts'
import { EndpointFinder } from './endpoint-finder.ts'
import type { EndpointFinderOptions } from './endpoint-finder.ts'
import { forgetEndpoint } from './endpoint-removal.ts'
import type { FailureWatch } from './failure-watch.ts'
import { patienceOf, toFacts, urlOf } from './lane-work.ts'
import type { Place, Work } from './lane-work.ts'
import type { WebhookMetrics } from './metrics.ts'
import type { Outcome } from './outcome.ts'
import type { AttemptFact } from './record-entry.ts'
import { nextAttemptAt } from './retry.ts'
import type { Health, Turn } from './store-replies.ts'
import { composeHeaders, toTarget } from './target.ts'

export type DrainerOptions = EndpointFinderOptions & {
  readonly store: DeliveryStore
  readonly deliverer: Pick<Deliverer, 'attempt'>
  readonly credentials: Pick<CredentialCache, 'of'>
  readonly failureWatch: FailureWatch
  /** As {@link Drains.beginning}. */
  readonly beginning: Drains['beginning']
  /** Sees to it that other lanes are worked on. */
  readonly wake: (wakes: readonly WakeUp[]) => Promise<void>
  /** Sees to it that the endpoint's gate is opened at a time. */
  readonly reopen: (endpoint: EndpointRef, at: number) => Promise<void>
  readonly metrics: WebhookMetrics
  readonly clock: Pick<Clock, 'now'>
  /** Uniform in [0, 1), for jitter. */
  readonly random: () => number
}

/**
 * What to do next: send an event, ask for one, as who still owns the lane unless `fresh`, or leave the lane, to
 * come back at `again` if given.
 */
type Next =
  | { readonly kind: 'send'; readonly work: Work }
  | { readonly kind: 'begin'; readonly fresh: boolean }
  | { readonly kind: 'leave'; readonly again?: number }

const LEAVE: Next = { kind: 'leave' }
/**
 * Also after `lost`: a former owner may have taken the event off, and then the lane and its slot are still
 * ours. `begin` knows, and ends it if somebody else owns the lane.
 */
const GO_ON: Next = { kind: 'begin', fresh: false }
const BEGIN_AGAIN: Next = { kind: 'begin', fresh: true }
const leaveUntil = (again: number | undefined): Next => (again === undefined ? LEAVE : { kind: 'leave', again })

/** Until the records can be read again. */
const RECORDS_RETRY_MS = 1_000

/** What a 429 without, or with an excessive, Retry-After means. */
const PAUSE_MS = { default: 1_000, max: 3_600_000 }

/**
 * Works off lanes: sends the first event, again and again until it is delivered or given up, then the
 * next. Between attempts the lane is left, so that its slot and this process serve others.
 */
export class Drainer {
  readonly #options: DrainerOptions
  readonly #finder: EndpointFinder
  readonly #aborting = new AbortController()
  #stopping = false

  constructor(options: DrainerOptions) {
    this.#options = options
    this.#finder = new EndpointFinder(options)
  }

  /** Starts no more attempts; those under way go on until `deadline` and are handed back after it. */
  stop(deadline: AbortSignal): void {
    this.#stopping = true
    if (deadline.aborted) this.#aborting.abort()
    deadline.addEventListener('abort', () => this.#aborting.abort(), { once: true })
  }

  /**
   * Sends what is due in a lane, as `owner`, whose lease somebody renews meanwhile; `begun` is the owner's first turn
   * if it has that already. Resolves with when to come again, or undefined when a wake-up will tell. Rejects when a
   * store fails.
   */
  async drain(lane: Lane, owner: string, begun?: Turn): Promise<number | undefined> {
    let next: Next = begun === undefined ? BEGIN_AGAIN : await this.#enter(lane, owner, () => begun)
    for (;;) {
      if (next.kind === 'leave') return next.again
      next = next.kind === 'send' ? await this.#send(next.work) : await this.#begin(lane, owner, next.fresh)
    }
  }

  /** Sends what waits behind an endpoint's gate on its way, as far as it has opened. Rejects when a store fails. */
  async reopen(ref: EndpointRef): Promise<void> {
    const endpoint = await this.#finder.find(ref)
    if (endpoint === 'unknown') throw new GatewayError('store_unavailable')
    // What is pending for one that is no more is dropped by the sweeper.
    if (endpoint === undefined) return
    const { store, clock } = this.#options
    await this.#follow(ref, await store.reopen(ref, { now: clock.now(), rules: rulesOf(endpoint) }))
  }

  #begin(lane: Lane, owner: string, fresh: boolean): Next | Promise<Next> {
    const { store, clock } = this.#options
    if (fresh && this.#stopping) return leaveUntil(clock.now())
    return this.#enter(lane, owner, (rules) => store.begin(lane, { owner, fresh, now: clock.now(), rules }))
  }

  /** Does what the turn that `ask` gives says, by what is known of the endpoint. */
  async #enter(lane: Lane, owner: string, ask: (rules: LaneRules) => Turn | Promise<Turn>): Promise<Next> {
    const endpoint = await this.#finder.find(lane)
    if (endpoint === 'unknown') return leaveUntil(this.#options.clock.now() + RECORDS_RETRY_MS)
    if (endpoint === undefined) return leaveUntil(await this.#forget(lane))
    const rules = rulesOf(endpoint)
    return this.#take({ lane, owner, endpoint, rules }, await ask(rules))
  }

  /** What a turn asks for. */
  async #take(place: Place, turn: Turn): Promise<Next> {
    if (turn.kind === 'lost') return LEAVE
    if (turn.kind === 'busy') return leaveUntil(turn.until)
    const { lane, endpoint } = place
    await this.#follow(lane, turn)
    if (turn.kind === 'later') return leaveUntil(turn.due)
    if (turn.kind !== 'due') return LEAVE
    const policy = policyFor(turn.event.type, endpoint.policies)
    const deliveryId = messageIdOf(lane.endpointId, turn.event.eventId)
    return { kind: 'send', work: { ...place, policy, deliveryId, turn } }
  }

  async #send(work: Work): Promise<Next> {
    const { clock } = this.#options
    if (this.#stopping) return this.#handBack(work, clock.now())
    const credentials = await this.#findCredentials(work)
    if (credentials === 'unknown') return this.#handBack(work, clock.now() + RECORDS_RETRY_MS)
    if (credentials === undefined) {
      const again = await this.#forget(work.lane)
      return again === undefined ? LEAVE : this.#handBack(work, again)
    }
    // The answer may have taken its time.
    if (clock.now() >= work.turn.pending.expiresAt) return this.#settle(work, 'expired', [])
    const reports = await this.#attempt(work)
    const last = reports.at(-1)
    // Cut off by our own stop: nobody knows whether it arrived, so it does not count as failed.
    if (last === undefined) return this.#handBack(work, clock.now())
    const { attemptsBefore, isReplay } = work.turn.pending
    const records = reports.map((report, i) =>
      toAttemptRecord(report, { number: attemptsBefore + work.turn.attempts + 1 + i, isReplay }),
    )
    this.#measure(work, records)
    return this.#conclude(work, records, last.outcome)
  }

  async #attempt(work: Work): Promise<readonly AttemptReport[]> {
    const { deliverer, credentials, metrics, clock } = this.#options
    const { deliveryId, endpoint, policy, turn } = work
    const { pending, event, skipped } = turn
    const now = clock.now()
    const message = {
      messageId: deliveryId,
      payload: event.payload,
      number: pending.attemptsBefore + turn.attempts + 1,
      timeoutMs: policy.timeoutMs,
      expiresInMs: pending.expiresAt - now,
      headers: composeHeaders({ pending, event, skipped, now }),
    }
    metrics.inFlight.inc()
    try {
      const target = toTarget(endpoint, () => credentials.of(endpoint))
      return await deliverer.attempt(target, message, this.#aborting.signal)
    } finally {
      metrics.inFlight.dec()
    }
  }

  #conclude(work: Work, records: readonly AttemptRecord[], outcome: Outcome): Promise<Next> {
    if (outcome.kind === 'failed') return this.#fail(work, records, outcome)
    if (outcome.kind === 'gone') return this.#retire(work, records, outcome.status)
    this.#log(work, records, { ended: 'delivered' })
    return this.#settle(work, 'delivered', toFacts(work, records))
  }

  async #fail(
    work: Work,
    records: readonly AttemptRecord[],
    { notBefore, throttled }: Extract<Outcome, { kind: 'failed' }>,
  ): Promise<Next> {
    const { clock, random } = this.#options
    const { policy, turn } = work
    const { expiresAt } = turn.pending
    const now = clock.now()
    const url = urlOf(work, records)
    if (await this.#hasLeft(work, url)) return this.#sendElsewhere(work, records, now)
    const pause = throttled === true ? (notBefore ?? now + PAUSE_MS.default) : undefined
    const earliest = notBefore ?? pause
    const due = nextAttemptAt(patienceOf(turn.pending, policy), {
      failed: turn.failed + 1,
      expiresAt,
      now,
      random,
      ...(earliest !== undefined && { notBefore: earliest }),
    })
    const pausedUntil = pause === undefined ? undefined : Math.min(pause, now + PAUSE_MS.max)
    this.#log(work, records, due === undefined ? { ended: 'expired' } : { next_attempt_at: due })
    const postponed = await this.#postpone(work, {
      // Should the rest not happen, it expires then by itself.
      due: due ?? expiresAt,
      failed: true,
      attempts: toFacts(work, records, due),
      ...(pausedUntil !== undefined && { pausedUntil }),
    })
    if (await this.#isOver(work.lane, { ...postponed.health, url })) return LEAVE
    if (postponed.kind === 'lost') return GO_ON
    if (due !== undefined) return leaveUntil(postponed.due)
    // The lane was given back, so nobody goes on with it.
    const { kind } = await this.#takeOff(work, { result: 'expired', attempts: [] })
    return kind === 'idle' ? LEAVE : BEGIN_AGAIN
  }

  /** Whether the endpoint has other URLs by now than the one that was sent to. */
  async #hasLeft({ lane }: Work, url: string): Promise<boolean> {
    const endpoint = await this.#finder.find(lane)
    return typeof endpoint === 'object' && endpoint.url !== url && endpoint.failoverUrl !== url
  }

  /** What a URL that is no more the endpoint's answers counts for nothing: on to the one that it has. */
  async #sendElsewhere(work: Work, records: readonly AttemptRecord[], now: number): Promise<Next> {
    this.#log(work, records, { next_attempt_at: now })
    const { kind, due } = await this.#postpone(work, {
      due: now,
      failed: false,
      attempts: toFacts(work, records, now),
    })
    return kind === 'lost' ? GO_ON : leaveUntil(due)
  }

  /** The receiver wants nothing more, this event perhaps included; if it still is the receiver. */
  async #retire(work: Work, records: readonly AttemptRecord[], status: number): Promise<Next> {
    const { failureWatch, log } = this.#options
    const { lane, turn } = work
    const isDelivered = status >= 200 && status < 300
    const details = { status, type: turn.event.type }
    const isDisabled = await failureWatch
      .disable(lane, { reason: 'gone', details, onlyIfUrl: urlOf(work, records) })
      .catch((error: unknown) => {
        // Its next event will be answered likewise.
        log.error({ endpoint_id: lane.endpointId, err: error }, 'endpoint could not be disabled')
        return undefined
      })
    if (isDisabled === false && !isDelivered) {
      return this.#fail(work, records, { kind: 'failed', reason: 'http_status', status })
    }
    const result = isDelivered ? 'delivered' : 'dropped'
    this.#log(work, records, { ended: result })
    if (isDisabled !== true) return this.#settle(work, result, toFacts(work, records))
    await this.#takeOff(work, { result, attempts: toFacts(work, records) })
    await failureWatch.drop(lane, 'gone')
    return LEAVE
  }

  /** Whether the endpoint was disabled because it has failed for too long. */
  async #isOver(lane: Lane, health: Health & { readonly url: string }): Promise<boolean> {
    const { failureWatch, log } = this.#options
    try {
      return await failureWatch.observe(lane, health)
    } catch (error) {
      // Its next failure will tell again.
      log.error({ endpoint_id: lane.endpointId, err: error }, 'failing endpoint could not be seen to')
      return false
    }
  }

  /** Takes an event off and goes on with the next one in the same step, if the endpoint is known to be there. */
  async #settle(work: Work, result: EndedStatus, attempts: readonly AttemptFact[]): Promise<Next> {
    const { lane, owner } = work
    const endpoint = this.#finder.listed(lane)
    if (endpoint === undefined) {
      const { kind } = await this.#takeOff(work, { result, attempts })
      return kind === 'idle' ? LEAVE : GO_ON
    }
    const rules = rulesOf(endpoint)
    const { kind, turn } = await this.#options.beginning(this.#stopping ? 0 : 1, (places) =>
      this.#takeOff(work, { result, attempts, owner, rules, ...(places > 0 && { heir: randomUUID() }) }),
    )
    if (kind === 'idle') return LEAVE
    return turn === undefined ? GO_ON : this.#take({ lane, owner, endpoint, rules }, turn)
  }

  async #takeOff(
    { lane, rules, turn }: Work,
    end: {
      readonly result: EndedStatus
      readonly attempts: readonly AttemptFact[]
      /** Who goes on with the lane, by which rules. */
      readonly owner?: string
      readonly rules?: LaneRules
      /** Who works on the lane that takes the slot over; without it whoever is woken up. */
      readonly heir?: string
    },
  ) {
    const { store, clock } = this.#options
    const settled = await store.settle(lane, { rules, token: turn.pending.token, now: clock.now(), ...end })
    await this.#follow(lane, settled)
    return settled
  }

  async #postpone(
    { lane, owner, rules, turn }: Work,
    how: {
      readonly due: number
      readonly failed: boolean
      readonly attempts: readonly AttemptFact[]
      readonly pausedUntil?: number
    },
  ) {
    const { store, clock } = this.#options
    const { token } = turn.pending
    const postponed = await store.postpone(lane, { owner, token, rules, now: clock.now(), ...how })
    await this.#follow(lane, postponed)
    return postponed
  }

  /** Gives the lane back as if nothing had been tried. */
  async #handBack(work: Work, due: number): Promise<Next> {
    const { kind, due: again } = await this.#postpone(work, { due, failed: false, attempts: [] })
    return kind === 'lost' ? GO_ON : leaveUntil(again)
  }

  /** Does what an answer of the store asks for. */
  async #follow(
    { appId, endpointId }: EndpointRef,
    { wakes, reopenAt }: { readonly wakes: readonly WakeUp[]; readonly reopenAt?: number },
  ): Promise<void> {
    if (wakes.length > 0) await this.#options.wake(wakes)
    if (reopenAt !== undefined) await this.#options.reopen({ appId, endpointId }, reopenAt)
  }

  /** As {@link EndpointFinder.find}. */
  async #findCredentials({ endpoint }: Work): Promise<Credentials | 'unknown' | undefined> {
    try {
      return await this.#options.credentials.of(endpoint)
    } catch (error) {
      this.#options.log.warn({ endpoint_id: endpoint.endpointId, err: error }, 'credentials could not be read')
      return 'unknown'
    }
  }

  /** Of an endpoint that is no more; resolves with when to come again should it have come back. */
  async #forget({ appId, endpointId }: Lane): Promise<number | undefined> {
    const { log, clock } = this.#options
    const dropped = await forgetEndpoint(this.#options, { appId, endpointId })
    if (dropped === undefined) return clock.now() + RECORDS_RETRY_MS
    log.warn({ app_id: appId, endpoint_id: endpointId, dropped }, 'pending events of a removed endpoint dropped')
    return undefined
  }

  #measure({ turn }: Work, records: readonly AttemptRecord[]): void {
    const { class: kind, isReplay } = turn.pending
    for (const { number, startedAt, timing, outcome, reused } of records) {
      const { occurredAt } = turn.event.about
      this.#options.metrics.countAttempt({
        class: kind,
        number,
        isReplay,
        occurredAt,
        startedAt,
        timing,
        outcome,
        reused,
      })
    }
  }

  #log({ lane, deliveryId, turn }: Work, records: readonly AttemptRecord[], sequel: AttemptSequel): void {
    logAttempts(this.#options.log, { lane, deliveryId, turn, records, sequel })
  }
}
