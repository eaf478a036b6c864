import * as v from 'valibot'
import type { Clock } from '../core/clock.ts'
import type { Directory, EndpointSummary } from '../core/directory.ts'
import { wantsEvent } from '../core/endpoint.ts'
import type { EventLog, LogEntry, LogSlice } from '../core/event-log.ts'
import type { AppRef, EndpointId } from '../core/ids.ts'
import type { Logger } from '../core/logger.ts'
import type { Position } from '../core/position.ts'
import { formatPosition } from '../core/position.ts'
import { Waker } from '../core/waker.ts'
import { eventIdOf } from './delivery.ts'
import type { Lane } from './delivery.ts'
import type { DeliveryStore } from './delivery-store.ts'
import type { WebhookMetrics } from './metrics.ts'

export type FollowerOptions = {
  readonly app: AppRef
  readonly store: DeliveryStore
  readonly eventLog: EventLog
  readonly directory: Pick<Directory, 'endpointsOf'>
  /** Adds jobs for lanes that have something to send. */
  readonly wake: (lanes: readonly Lane[]) => Promise<void>
  readonly metrics: WebhookMetrics
  readonly log: Logger
  readonly clock: Clock
}

/** Endpoints of one app that are at the same place of its log. */
type Group = { readonly from: Position; readonly endpoints: readonly EndpointSummary[] }

/** Wake-ups may be lost: what was appended is found at the next look. */
const POLL_MS = 1_000
const ENTRIES_PER_READ = 100

const SequencedPayload = v.object({ sequence_number: v.string() })

/**
 * Takes an app's log for its endpoints. Each endpoint has a cursor of its own in the store, which moves in
 * the script that fills its lanes: a crash between reading and taking, or a second follower of the same
 * app, repeats nothing and skips nothing. Endpoints at the same place are moved together, one that lags
 * (its backlog is full) by itself.
 */
export class Follower {
  readonly #options: FollowerOptions
  readonly #waker: Waker
  /** Where each endpoint was last seen, to go on from there if the store loses its cursor. */
  #seen: ReadonlyMap<EndpointId, Position> = new Map()
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
      const cursors = await this.#locate(endpoints)
      this.#placed.resolve()
      more = false
      for (const group of groupByPosition(endpoints, cursors)) more = (await this.#advance(group)) || more
    }
  }

  /** Where the endpoints are, those included that start now. */
  async #locate(endpoints: readonly EndpointSummary[]): Promise<ReadonlyMap<EndpointId, Position>> {
    const { app, store, eventLog } = this.#options
    const cursors = await store.cursors(app.appId)
    const located = new Map<EndpointId, Position>()
    for (const { endpointId } of endpoints) {
      const start = cursors.get(endpointId) ?? this.#seen.get(endpointId) ?? (await eventLog.top(app))
      const isNew = !cursors.has(endpointId)
      located.set(endpointId, isNew ? await store.open({ appId: app.appId, endpointId }, start) : start)
    }
    this.#seen = located
    return located
  }

  /** Takes the next entries for a group; true when there may be more. */
  async #advance(group: Group): Promise<boolean> {
    const slice = await this.#options.eventLog.read(this.#options.app, group.from, ENTRIES_PER_READ)
    if (slice.kind === 'gap') return this.#jump(group, slice)
    const last = slice.entries.at(-1)
    if (last === undefined) return false
    const full = await this.#take(group.endpoints, slice.entries, last.position)
    return slice.entries.length === ENTRIES_PER_READ && full < group.endpoints.length
  }

  /** Resolves with how many of the endpoints had a full backlog. */
  async #take(endpoints: readonly EndpointSummary[], entries: readonly LogEntry[], last: Position): Promise<number> {
    const { app, store, wake, clock } = this.#options
    const { appId } = app
    const wanted = entries.filter(({ type }) => endpoints.some(({ eventTypes }) => wantsEvent(eventTypes, type)))
    const { wakes, full } = await store.take(
      {
        appId,
        last,
        events: wanted.map(({ position, type, payload }) => ({
          position,
          eventId: eventIdOf(appId, position),
          type,
          acceptedAt: clock.now(),
          payload,
          ...sequenceOf(payload),
        })),
        endpoints: endpoints.map(({ endpointId, eventTypes }) => ({
          endpointId,
          wanted: wanted
            .map(({ type, orderKey }, place) => ({ type, orderKey, place }))
            .filter(({ type }) => wantsEvent(eventTypes, type)),
        })),
      },
      clock.now(),
    )
    this.#reportFull(endpoints, full)
    await wake(wakes)
    return full.length
  }

  /**
   * Goes on behind a gap with everything that the log still has of its present epoch: entries may be taken
   * twice that way if the log went back, but none that exists is skipped.
   */
  async #jump({ from, endpoints }: Group, gap: Extract<LogSlice, { kind: 'gap' }>): Promise<boolean> {
    const { app, store, metrics, log } = this.#options
    const to = gap.oldest
    if (formatPosition(to) === formatPosition(from)) return false
    for (const { endpointId } of endpoints) {
      if (!(await store.jump(app.appId, endpointId, { from, to }))) continue
      metrics.gaps.inc({ reason: gap.reason })
      // A new epoch follows every restart of Redis and rarely means that something is missing; the calls are
      // read again then. Trimmed entries were never delivered.
      const level = gap.reason === 'epoch_changed' ? 'warn' : 'error'
      log[level]({ app_id: app.appId, endpoint_id: endpointId, reason: gap.reason, from, to }, 'gap in the app log')
    }
    return true
  }

  #reportFull(endpoints: readonly EndpointSummary[], full: readonly EndpointId[]): void {
    for (const { endpointId } of endpoints) {
      if (!full.includes(endpointId)) this.#full.delete(endpointId)
      else if (!this.#full.has(endpointId)) {
        this.#full.add(endpointId)
        this.#options.log.error({ endpoint_id: endpointId }, 'endpoint has too many pending events, log is held back')
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

function sequenceOf(payload: string): { readonly sequence?: string } {
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), SequencedPayload), payload)
  return parsed.success ? { sequence: parsed.output.sequence_number } : {}
}
