import type { Clock } from '../core/clock.ts'
import type { Directory, EndpointSummary } from '../core/directory.ts'
import { wantsEvent } from '../core/endpoint.ts'
import type { EventLog, LogEntry, LogSlice } from '../core/event-log.ts'
import { classOf, policyFor } from '../core/delivery-policy.ts'
import type { AppId, AppRef, EndpointId } from '../core/ids.ts'
import type { Logger } from '../core/logger.ts'
import type { OperatorEventRepository } from '../core/operator-event.ts'
import type { Position } from '../core/position.ts'
import { formatPosition } from '../core/position.ts'
import { Waker } from '../core/waker.ts'
import { eventIdOf, formatToken, rulesOf } from './delivery.ts'
import type { EndpointRef, StoredEvent, WakeUp } from './delivery.ts'
import type { Batch, DeliveryStore } from './delivery-store.ts'
import type { Drains } from './drains.ts'
import { describePayload } from './event-about.ts'
import type { IntakeBrake } from './intake-brake.ts'
import type { WebhookMetrics } from './metrics.ts'
import { reportToOperator } from './operator-report.ts'

export type FollowerOptions = {
  readonly app: AppRef
  readonly store: DeliveryStore
  readonly eventLog: EventLog
  readonly directory: Pick<Directory, 'endpointsOf'>
  /** As {@link Drains.beginning}. */
  readonly beginning: Drains['beginning']
  /** Sees to it that the other lanes that have something to send are worked on. */
  readonly wake: (wakes: readonly WakeUp[]) => Promise<void>
  /** Sees to it that the endpoint's gate is opened at a time. */
  readonly reopen: (endpoint: EndpointRef, at: number) => Promise<void>
  readonly brake: IntakeBrake
  readonly events: Pick<OperatorEventRepository, 'append'>
  readonly metrics: WebhookMetrics
  readonly log: Logger
  readonly clock: Clock
}

/** Endpoints of one app that are at the same place of its log. */
type Group = { readonly from: Position; readonly endpoints: readonly EndpointSummary[] }

/** Wake-ups may be lost: what was appended is found at the next look. */
const POLL_MS = 1_000
const ENTRIES_PER_READ = 100
/** How long nobody else must have been in the way before we take it that we are alone. */
const SHARED_MS = 10_000

/**
 * Takes an app's log for its endpoints. Each endpoint has a cursor of its own in the store, which moves in
 * the script that fills its lanes: a crash between reading and taking, or a second follower of the same
 * app, repeats nothing and skips nothing. Endpoints at the same place are moved together, one that lags
 * (its backlog is full) by itself.
 */
export class Follower {
  readonly #options: FollowerOptions
  readonly #waker: Waker
  /** Where each endpoint was last seen, to go on from there, also if the store loses its cursor. */
  #seen: ReadonlyMap<EndpointId, Position> = new Map()
  /** Since when it is known that each was there, in monotonic milliseconds. */
  #seenAt = -Infinity
  /** Until then others are taken to follow this log, too. */
  #sharedUntil = -Infinity
  /** Endpoints with a full backlog, to say so once. */
  readonly #full = new Set<EndpointId>()
  #listed = ''
  readonly #placed = Promise.withResolvers<void>()

  constructor(options: FollowerOptions) {
    this.#options = options
    this.#waker = new Waker(options.clock)
  }

  /** Resolves once the endpoints known at first have their place in the log, or that has failed once. */
  get placed(): Promise<void> {
    return this.#placed.promise
  }

  /** Follows until `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { app, eventLog, log } = this.#options
    const unwatch = eventLog.watch(app, () => this.#waker.wake())
    try {
      while (!signal.aborted) {
        await this.#catchUp(signal).catch((error: unknown) => {
          this.#seenAt = -Infinity
          if (!signal.aborted) log.warn({ app_id: app.appId, err: error }, 'app log could not be dispatched')
        })
        this.#placed.resolve()
        await this.#waker.wait(POLL_MS, signal)
      }
    } finally {
      this.#placed.resolve()
      unwatch()
    }
  }

  /** Looks at once if the app's endpoints have changed, so that a new one starts now. */
  refresh(): void {
    const ids = this.#endpoints().map(({ endpointId }) => endpointId)
    // One that was removed or disabled has no place to go on from, should it come back.
    this.#seen = new Map([...this.#seen].filter(([endpointId]) => ids.includes(endpointId)))
    const listed = ids.join(' ')
    if (listed !== this.#listed) this.#waker.wake()
    this.#listed = listed
  }

  async #catchUp(signal: AbortSignal): Promise<void> {
    for (let more = true; more && !signal.aborted;) {
      const endpoints = this.#endpoints()
      if (endpoints.length === 0) return
      const cursors = await this.#whereAre(endpoints)
      this.#placed.resolve()
      more = false
      for (const group of groupByPosition(endpoints, cursors)) more = (await this.#advance(group, signal)) || more
    }
  }

  /**
   * What was seen lately will do: a cursor that somebody else has moved on since refuses what it has had. But to read
   * and send that for nothing costs more than to ask, so where others follow the log it is asked for each time.
   */
  #whereAre(
    endpoints: readonly EndpointSummary[],
  ): ReadonlyMap<EndpointId, Position> | Promise<ReadonlyMap<EndpointId, Position>> {
    const now = this.#options.clock.monotonic()
    const isFresh = now >= this.#sharedUntil && now - this.#seenAt < POLL_MS
    return isFresh && endpoints.every(({ endpointId }) => this.#seen.has(endpointId))
      ? this.#seen
      : this.#locate(endpoints)
  }

  /** Where the endpoints are, those included that start now. */
  async #locate(endpoints: readonly EndpointSummary[]): Promise<ReadonlyMap<EndpointId, Position>> {
    const { app, store, eventLog, clock } = this.#options
    const now = clock.monotonic()
    const cursors = await store.cursors(app.appId)
    const located = new Map<EndpointId, Position>()
    for (const { endpointId } of endpoints) {
      const start = cursors.get(endpointId) ?? this.#seen.get(endpointId) ?? (await eventLog.top(app))
      const isNew = !cursors.has(endpointId)
      located.set(endpointId, isNew ? await store.open({ appId: app.appId, endpointId }, start) : start)
    }
    this.#seen = located
    this.#seenAt = now
    return located
  }

  /** Takes the next entries for a group; true when there may be more. */
  async #advance(group: Group, signal: AbortSignal): Promise<boolean> {
    const slice = await this.#options.eventLog.read(this.#options.app, group.from, ENTRIES_PER_READ)
    if (slice.kind === 'gap') return this.#jump(group, slice)
    const last = slice.entries.at(-1)
    if (last === undefined) return false
    await this.#options.brake.release(slice.entries[0]?.at ?? 0, signal)
    if (signal.aborted) return false
    const taken = await this.#take(group.endpoints, slice.entries, last.position)
    if (taken.isLost) return true
    return slice.entries.length === ENTRIES_PER_READ && taken.full < group.endpoints.length
  }

  /** Resolves with how many of the endpoints had a full backlog, and whether the store has lost where one is. */
  async #take(endpoints: readonly EndpointSummary[], entries: readonly LogEntry[], last: Position) {
    const { app, store, beginning, wake, reopen, brake, clock } = this.#options
    const now = clock.now()
    const batch = composeBatch({ appId: app.appId, endpoints, entries, last }, now)
    const most = batch.endpoints.reduce((sum, { wanted }) => sum + wanted.length, 0)
    const taken = await beginning(most, (places) => store.take(batch, now, places))
    const { wakes, full, reopens, recordsAreBehind, cursors, isShared } = taken
    if (isShared) this.#sharedUntil = clock.monotonic() + SHARED_MS
    const isLost = endpoints.some(({ endpointId }) => !cursors.has(endpointId))
    if (isLost) this.#seenAt = -Infinity
    else this.#seen = new Map([...this.#seen].map(([id, seen]) => [id, cursors.get(id) ?? seen]))
    brake.note(recordsAreBehind)
    await wake(wakes)
    for (const { endpoint, at } of reopens) await reopen(endpoint, at)
    // Last: records that are away hold up nothing that could be sent.
    await this.#reportFull(endpoints, full)
    return { full: full.length, isLost }
  }

  /**
   * Goes on behind a gap with everything that the log still has of its present epoch: entries may be taken
   * twice that way if the log went back, but none that exists is skipped.
   */
  async #jump({ from, endpoints }: Group, gap: Extract<LogSlice, { kind: 'gap' }>): Promise<boolean> {
    const { app, store, metrics, log } = this.#options
    const to = gap.oldest
    if (formatPosition(to) === formatPosition(from)) return false
    this.#seenAt = -Infinity
    for (const { endpointId } of endpoints) {
      if (!(await store.jump({ appId: app.appId, endpointId }, { from, to }))) continue
      metrics.gaps.inc({ reason: gap.reason })
      const range = { from: formatPosition(from), to: formatPosition(to) }
      // A new epoch follows every restart of Redis and rarely means that something is missing; the calls are
      // read again then. Trimmed entries were never delivered.
      if (gap.reason === 'epoch_changed') {
        log.warn({ app_id: app.appId, endpoint_id: endpointId, ...range }, 'app log has begun a new epoch')
      } else {
        const details = { reason: gap.reason, ...range }
        await reportToOperator(this.#options, { type: 'webhook.log_gap', appId: app.appId, endpointId, details })
      }
    }
    return true
  }

  async #reportFull(endpoints: readonly EndpointSummary[], full: readonly EndpointId[]): Promise<void> {
    const { appId } = this.#options.app
    for (const { endpointId } of endpoints) {
      if (!full.includes(endpointId)) this.#full.delete(endpointId)
      else if (!this.#full.has(endpointId)) {
        this.#full.add(endpointId)
        await reportToOperator(this.#options, { type: 'webhook.backlog_full', appId, endpointId, details: {} })
      }
    }
  }

  #endpoints(): readonly EndpointSummary[] {
    return this.#options.directory.endpointsOf(this.#options.app.appId).filter(({ enabled }) => enabled)
  }
}

function groupByPosition(
  endpoints: readonly EndpointSummary[],
  cursors: ReadonlyMap<EndpointId, Position>,
): readonly Group[] {
  const located = endpoints.flatMap((endpoint) => {
    const from = cursors.get(endpoint.endpointId)
    return from === undefined ? [] : [{ endpoint, from }]
  })
  const groups = Map.groupBy(located, ({ from }) => formatPosition(from))
  return [...groups.values()].flatMap((members) =>
    members[0] === undefined ? [] : [{ from: members[0].from, endpoints: members.map(({ endpoint }) => endpoint) }],
  )
}

/** What each endpoint wants of consecutive log entries, ready to be stored. */
function composeBatch(
  {
    appId,
    endpoints,
    entries,
    last,
  }: {
    readonly appId: AppId
    readonly endpoints: readonly EndpointSummary[]
    readonly entries: readonly LogEntry[]
    readonly last: Position
  },
  takenAt: number,
): Batch {
  const candidates = entries.map(({ position, type, orderKey, payload, at = takenAt }) => {
    const about = describePayload(payload, takenAt)
    const takers = endpoints.filter((endpoint) => wantsEvent(endpoint, { type, ...about }))
    const event = { position, eventId: eventIdOf(appId, position), type, orderKey, about, payload }
    // Of the two clocks, the one that has the event live shorter.
    return { takers, event, bornAt: Math.min(at, takenAt) }
  })
  const wanted = candidates.filter(({ takers }) => takers.length > 0)
  return {
    appId,
    last,
    events: wanted.map(({ event }) => event),
    endpoints: endpoints.map((endpoint) => ({
      endpointId: endpoint.endpointId,
      rules: rulesOf(endpoint),
      wanted: wanted.flatMap(({ takers, event, bornAt }, place) =>
        takers.includes(endpoint) ? [{ place, token: tokenFor(endpoint, event, { takenAt, bornAt }) }] : [],
      ),
    })),
  }
}

/** What has waited in the log, because the gateway was down or the backlog full, has lived for as long. */
const tokenFor = (
  { policies }: EndpointSummary,
  { eventId, type, about }: StoredEvent,
  { takenAt, bornAt }: { readonly takenAt: number; readonly bornAt: number },
): string =>
  formatToken({
    eventId,
    class: classOf(type),
    takenAt,
    expiresAt: bornAt + policyFor(type, policies).ttlMs,
    attemptsBefore: 0,
    isReplay: false,
    sequence: about.sequence,
  })
