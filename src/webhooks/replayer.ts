import { randomUUID } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import { policyFor } from '../core/delivery-policy.ts'
import { ENDED_STATUSES, isEnded, REPLAY_MAX } from '../core/delivery-record.ts'
import type { DeliveryFilter, DeliveryRecords, RecordedEvent, ReplayableDelivery } from '../core/delivery-record.ts'
import type { Directory, EndpointSummary } from '../core/directory.ts'
import { GatewayError } from '../core/errors.ts'
import type { AppId } from '../core/ids.ts'
import type { Logger } from '../core/logger.ts'
import { formatToken, rulesOf } from './delivery.ts'
import type { EndpointRef, StoredEvent, WakeUp } from './delivery.ts'
import { DeliveryStore } from './delivery-store.ts'
import type { RedisRunner } from './endpoint-state.ts'
import { ReplayOrder } from './replay-order.ts'
import { measureAhead } from './store-clock.ts'

export type ReplayerOptions = {
  readonly run: RedisRunner
  readonly records: Pick<DeliveryRecords, 'find' | 'count' | 'replayable'>
  readonly directory: Pick<Directory, 'endpointsOf'>
  readonly wake: (wakes: readonly WakeUp[]) => Promise<void>
  /** Has somebody see to an endpoint whose gate opens at a time. */
  readonly reopen: (endpoint: EndpointRef, at: number) => Promise<void>
  readonly clock: Pick<Clock, 'now'>
  readonly log: Logger
}

export type ReplayResult = {
  /** Deliveries that match and have ended, counted no further than the limit. */
  readonly matched: number
  /** Fewer than matched when the backlog is full, or when some are of endpoints that are not enabled. */
  readonly replayed: number
  /** There is more than was replayed: beyond the limit, or because the backlog is full. */
  readonly truncated: boolean
}

const PAGE = 200
/** Somebody asked for it just now, so it gets more than the seconds that a ringing phone has. */
const TTL_MIN_MS = 3_600_000

/**
 * Sends ended deliveries again: each goes back into a lane of its endpoint with its `webhook-id` and body
 * of then. What is replayed of a call keeps its order among itself, in a lane apart from the call's live
 * events, which do not wait for it.
 */
export class Replayer {
  readonly #options: ReplayerOptions

  constructor(options: ReplayerOptions) {
    this.#options = options
  }

  /**
   * Rejects with `delivery_not_found`, with `delivery_pending` while it is still on its way, with
   * `webhook_not_found`, `webhook_disabled` or `webhook_unverified` when nothing may be sent to its endpoint
   * (any more), and with `store_unavailable`.
   */
  async one(appId: AppId, deliveryId: string): Promise<ReplayResult> {
    const found = await this.#options.records.find(appId, deliveryId)
    if (found === undefined) throw new GatewayError('delivery_not_found')
    const { delivery, payload } = found
    if (delivery.status === 'pending') throw new GatewayError('delivery_pending')
    const endpoint = this.#enabledEndpoint(appId, delivery.endpointId)
    const replayId = randomUUID()
    let replayed = 0
    let passed = 0
    try {
      const reply = await this.#replay(endpoint, [{ delivery, event: { ...delivery, payload } }])
      replayed = reply?.taken ?? 0
      passed = reply?.passed ?? 0
    } finally {
      const { endpointId } = delivery
      const fields = { replay_id: replayId, app_id: appId, endpoint_id: endpointId, delivery_id: deliveryId, replayed }
      this.#options.log.info(fields, 'delivery replayed')
    }
    // The records have not heard of it yet.
    if (passed > 0) throw new GatewayError('delivery_pending')
    return { matched: 1, replayed, truncated: replayed === 0 }
  }

  /**
   * Replays what matches, oldest first; what is pending never does. With `dryRun` only counts. Otherwise
   * rejects with `webhook_not_found`, `webhook_disabled` or `webhook_unverified` when the filter names an
   * endpoint that nothing may be sent to; of a filter without one, deliveries of such endpoints are passed
   * over. When a store fails half-way (`store_unavailable`), what was replayed so far stays replayed.
   */
  async matching(
    filter: DeliveryFilter,
    { dryRun, limit }: { readonly dryRun: boolean; readonly limit: number },
  ): Promise<ReplayResult> {
    const statuses = filter.statuses?.filter(isEnded) ?? ENDED_STATUSES
    if (!dryRun && filter.appId !== undefined && filter.endpointId !== undefined) {
      this.#enabledEndpoint(filter.appId, filter.endpointId)
    }
    if (statuses.length === 0) return { matched: 0, replayed: 0, truncated: false }
    const max = Math.min(limit, REPLAY_MAX)
    const ended = { ...filter, statuses }
    if (!dryRun) return this.#replayMatching(ended, max)
    const matched = await this.#options.records.count(ended, max + 1)
    return { matched: Math.min(matched, max), replayed: 0, truncated: matched > max }
  }

  async #replayMatching(filter: DeliveryFilter, max: number): Promise<ReplayResult> {
    const replayId = randomUUID()
    const order = new ReplayOrder()
    let matched = 0
    let replayed = 0
    let truncated = false
    let cursor: string | undefined
    try {
      for (let isLast = false; !isLast;) {
        const room = max - matched
        // One more than wanted tells whether there are more than wanted.
        const page = { limit: Math.min(PAGE, room + 1), ...(cursor !== undefined && { cursor }) }
        const found = await this.#options.records.replayable(filter, page)
        const wanted = found.deliveries.slice(0, room)
        matched += wanted.length
        cursor = found.cursor
        truncated = wanted.length < found.deliveries.length
        isLast = truncated || cursor === undefined
        const { taken, isFull } = await this.#replayAll([...order.push(wanted), ...(isLast ? order.flush() : [])])
        replayed += taken
        truncated ||= isFull
        isLast ||= isFull
      }
    } finally {
      const { appId, endpointId, ...rest } = filter
      const ids = { replay_id: replayId, app_id: appId, endpoint_id: endpointId }
      this.#options.log.info({ ...ids, filter: rest, matched, replayed, truncated }, 'deliveries replayed')
    }
    return { matched, replayed, truncated }
  }

  /** In their order; those of endpoints that are not enabled or have no place in the log are left out. */
  async #replayAll(deliveries: readonly ReplayableDelivery[]) {
    let taken = 0
    let isFull = false
    for (const own of Map.groupBy(deliveries, ({ delivery }) => delivery.endpointId).values()) {
      const [first] = own
      if (first === undefined || isFull) continue
      const endpoint = this.#findEndpoint(first.event.appId, first.delivery.endpointId)
      if (endpoint?.enabled !== true) continue
      for (let i = 0; i < own.length && !isFull; i += PAGE) {
        const part = own.slice(i, i + PAGE)
        const reply = await this.#replay(endpoint, part)
        if (reply === undefined) break
        taken += reply.taken
        isFull = reply.taken + reply.passed < part.length
      }
    }
    return { taken, isFull }
  }

  /**
   * `deliveries` are all of `endpoint`; resolves with how many its backlog had room for, and how many are pending
   * as replays already. Undefined when it has no place in the log: it was removed just now, or has not started.
   */
  async #replay(
    endpoint: EndpointSummary,
    deliveries: readonly ReplayableDelivery[],
  ): Promise<{ readonly taken: number; readonly passed: number } | undefined> {
    const { run, wake, reopen, clock } = this.#options
    const now = clock.now() + (await run((redis) => measureAhead(redis, clock)))
    const events = deliveries.map(({ delivery, event }) => ({
      event: toStoredEvent(event),
      orderKey: `replay:${event.orderKey}`,
      token: formatToken({
        eventId: event.eventId,
        class: delivery.class,
        takenAt: now,
        expiresAt: now + Math.max(policyFor(event.type, endpoint.policies).ttlMs, TTL_MIN_MS),
        attemptsBefore: delivery.attempts,
        isReplay: true,
        sequence: event.sequence,
      }),
    }))
    const ref = { appId: endpoint.app.appId, endpointId: endpoint.endpointId }
    const reply = await run((redis) => new DeliveryStore(redis).replay(ref, { events, now, rules: rulesOf(endpoint) }))
    if (reply === undefined) return undefined
    await wake(reply.wakes)
    if (reply.reopenAt !== undefined) await reopen(ref, reply.reopenAt)
    return reply
  }

  #enabledEndpoint(appId: AppId, endpointId: string): EndpointSummary {
    const endpoint = this.#findEndpoint(appId, endpointId)
    if (endpoint === undefined) throw new GatewayError('webhook_not_found')
    if (!endpoint.verified) throw new GatewayError('webhook_unverified')
    if (!endpoint.enabled) throw new GatewayError('webhook_disabled')
    return endpoint
  }

  #findEndpoint(appId: AppId, endpointId: string): EndpointSummary | undefined {
    return this.#options.directory.endpointsOf(appId).find((endpoint) => endpoint.endpointId === endpointId)
  }
}

const toStoredEvent = ({ eventId, type, payload, ...about }: RecordedEvent): StoredEvent => ({
  eventId,
  type,
  about: {
    occurredAt: about.occurredAt,
    ...(about.sequence !== undefined && { sequence: about.sequence }),
    ...(about.callId !== undefined && { callId: about.callId }),
    ...(about.subscriberId !== undefined && { subscriberId: about.subscriberId }),
  },
  payload,
})
