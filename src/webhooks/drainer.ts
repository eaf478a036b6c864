import { randomUUID } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import type { Directory } from '../core/directory.ts'
import type { EndpointRepository } from '../core/endpoint.ts'
import type { Logger } from '../core/logger.ts'
import type { Deliverer } from './deliverer.ts'
import { messageIdOf, positionOf } from './delivery.ts'
import type { Lane, StoredEvent } from './delivery.ts'
import type { DeliveryStore } from './delivery-store.ts'
import type { WebhookMetrics } from './metrics.ts'
import type { Outcome } from './outcome.ts'
import { nextAttemptAt } from './retry-schedule.ts'
import type { RetrySchedule } from './retry-schedule.ts'
import type { SecretCache } from './secret-cache.ts'

export type DrainerOptions = {
  readonly store: DeliveryStore
  readonly deliverer: Deliverer
  readonly secrets: SecretCache
  readonly directory: Pick<Directory, 'endpointsOf'>
  readonly endpoints: Pick<EndpointRepository, 'find' | 'update'>
  readonly schedule: RetrySchedule
  /** Adds jobs for lanes that were given a slot. */
  readonly wake: (lanes: readonly Lane[]) => Promise<void>
  readonly metrics: WebhookMetrics
  readonly log: Logger
  readonly clock: Clock
  readonly random: () => number
}

/** An event that its owner may now send. */
type Work = { readonly lane: Lane; readonly owner: string; readonly event: StoredEvent; readonly attempts: number }

/** What to do after an event: go on with the lane, or leave it, to come back at `again` if given. */
type Next = { readonly kind: 'continue' } | { readonly kind: 'leave'; readonly again?: number }

const LEAVE: Next = { kind: 'leave' }
/**
 * Also after `lost`: a former owner may have taken the event off, and then the lane and its slot are still
 * ours. `begin` knows, and ends it if somebody else owns the lane.
 */
const CONTINUE: Next = { kind: 'continue' }
/** Until the records can be read again. */
const RECORDS_RETRY_MS = 1_000
/** From this many failures on, a failed attempt is a warning. */
const WARN_FROM_ATTEMPT = 5

/**
 * Works off lanes: sends the first event, again and again until it is delivered or given up, then the
 * next. Between attempts the lane is left, so that its slot and this process serve others.
 */
export class Drainer {
  readonly #options: DrainerOptions
  readonly #aborting = new AbortController()
  #stopping = false

  constructor(options: DrainerOptions) {
    this.#options = options
  }

  /** Starts no more attempts; those under way go on until `deadline` and are handed back after it. */
  stop(deadline: AbortSignal): void {
    this.#stopping = true
    if (deadline.aborted) this.#aborting.abort()
    deadline.addEventListener('abort', () => this.#aborting.abort(), { once: true })
  }

  /** Sends what is due in a lane; see {@link DrainLane}. Rejects when a store fails. */
  async drain(lane: Lane): Promise<number | undefined> {
    const { store, clock, wake } = this.#options
    const owner = randomUUID()
    for (let fresh = true; ; fresh = false) {
      const turn = await store.begin(lane, { owner, fresh, now: clock.now() })
      switch (turn.kind) {
        case 'full':
        case 'lost':
          return undefined
        case 'idle':
          await wake(turn.wakes)
          return undefined
        case 'later':
          await wake(turn.wakes)
          return turn.due
        case 'gone': {
          const next = await this.#giveUp(lane, turn.eventId, { reason: 'payload_expired', attempts: turn.attempts })
          if (next.kind === 'leave') return next.again
          break
        }
        case 'due': {
          const next = await this.#send({ lane, owner, event: turn.event, attempts: turn.attempts })
          if (next.kind === 'leave') return next.again
          break
        }
      }
    }
  }

  async #send(work: Work): Promise<Next> {
    const { deliverer, metrics, clock } = this.#options
    const { lane, event, attempts } = work
    if (this.#stopping) return this.#postpone(work, { due: clock.now(), count: false })
    const target = await this.#findTarget(work)
    if (target === undefined) return this.#forget(lane, 'endpoint_removed')
    if (target === 'unknown') return this.#postpone(work, { due: clock.now() + RECORDS_RETRY_MS, count: false })

    const startedAt = clock.monotonic()
    metrics.inFlight.inc()
    const outcome = await deliverer
      .attempt(
        {
          ...target,
          messageId: messageIdOf(lane.endpointId, event.eventId),
          type: event.type,
          position: positionOf(event.eventId),
          ...(event.sequence !== undefined && { sequence: event.sequence }),
          number: attempts + 1,
          payload: event.payload,
        },
        this.#aborting.signal,
      )
      .finally(() => metrics.inFlight.dec())
    // Cut off by our own stop: nobody knows whether it arrived, so it does not count as failed.
    if (outcome === undefined) return this.#postpone(work, { due: clock.now(), count: false })

    metrics.attemptSeconds.observe((clock.monotonic() - startedAt) / 1_000)
    metrics.attempts.inc({ outcome: outcome.kind === 'failed' ? outcome.reason : outcome.kind })
    return this.#conclude(work, outcome)
  }

  async #conclude(work: Work, outcome: Outcome): Promise<Next> {
    const { metrics, clock, schedule, random } = this.#options
    const { lane, event } = work
    if (outcome.kind === 'delivered') {
      metrics.deliverySeconds.observe((clock.now() - event.acceptedAt) / 1_000)
      this.#options.log.debug({ ...this.#about(work), status: outcome.status }, 'event delivered')
      return this.#settle(lane, event.eventId)
    }
    if (outcome.kind === 'gone') {
      await this.#options.endpoints.update(lane.appId, lane.endpointId, { enabled: false })
      this.#options.log.warn(this.#about(work), 'endpoint disabled because it answered 410')
      return this.#forget(lane, 'endpoint_gone')
    }
    const { reason, status, notBefore } = outcome
    const failed = work.attempts + 1
    const due = nextAttemptAt(schedule, {
      failed,
      acceptedAt: event.acceptedAt,
      now: clock.now(),
      random,
      ...(notBefore !== undefined && { notBefore }),
    })
    if (due === undefined) return this.#giveUp(lane, event.eventId, { reason: 'retries_exhausted', attempts: failed })
    const fields = { ...this.#about(work), reason, status, due }
    if (failed < WARN_FROM_ATTEMPT) this.#options.log.info(fields, 'attempt failed')
    else this.#options.log.warn(fields, 'attempt failed again')
    return this.#postpone(work, { due, count: true })
  }

  /**
   * Where to send and how to sign. Undefined when the endpoint was removed or disabled: the records decide
   * that, because the directory may be some seconds behind. `unknown` when the records do not answer.
   */
  async #findTarget({ lane }: Work) {
    const { directory, endpoints, secrets, log } = this.#options
    try {
      const listed = directory.endpointsOf(lane.appId).find(({ endpointId }) => endpointId === lane.endpointId)
      const keys = await secrets.keysOf(lane.endpointId)
      if (listed?.enabled === true && keys.length > 0) return { url: listed.url, keys }
      const recorded = await endpoints.find(lane.appId, lane.endpointId)
      if (recorded === undefined || !recorded.enabled) return undefined
      return keys.length === 0 ? ('unknown' as const) : { url: recorded.url, keys }
    } catch (error) {
      log.warn({ endpoint_id: lane.endpointId, err: error }, 'endpoint could not be read')
      return 'unknown' as const
    }
  }

  async #settle(lane: Lane, eventId: string): Promise<Next> {
    const { kind, wakes } = await this.#options.store.settle(lane, eventId, this.#options.clock.now())
    await this.#options.wake(wakes)
    return kind === 'done' ? LEAVE : CONTINUE
  }

  async #postpone(work: Work, { due, count }: { readonly due: number; readonly count: boolean }): Promise<Next> {
    const { store, clock, wake } = this.#options
    const { owner, event } = work
    const now = clock.now()
    const { kind, wakes } = await store.postpone(work.lane, { owner, eventId: event.eventId, due, count, now })
    await wake(wakes)
    return kind === 'lost' ? CONTINUE : { kind: 'leave', again: due }
  }

  async #giveUp(
    lane: Lane,
    eventId: string,
    why: { readonly reason: string; readonly attempts: number },
  ): Promise<Next> {
    this.#options.metrics.dropped.inc({ reason: why.reason })
    this.#options.log.error({ endpoint_id: lane.endpointId, event_id: eventId, ...why }, 'event given up')
    return this.#settle(lane, eventId)
  }

  async #forget(lane: Lane, reason: string): Promise<Next> {
    const dropped = await this.#options.store.remove(lane)
    this.#options.metrics.dropped.inc({ reason }, dropped)
    this.#options.log.warn({ endpoint_id: lane.endpointId, reason, dropped }, 'pending events of an endpoint dropped')
    return LEAVE
  }

  #about({ lane, event, attempts }: Work) {
    const { appId, endpointId } = lane
    return { app_id: appId, endpoint_id: endpointId, event_id: event.eventId, type: event.type, attempt: attempts + 1 }
  }
}
