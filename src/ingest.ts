import type { ReleaseCause } from './core/call.ts'
import { composePayload } from './core/call-payload.ts'
import type { CallStore, CommitEntry, CommitWrite, StoredSubscriber } from './core/call-store.ts'
import type { Clock } from './core/clock.ts'
import type { Assignment, Directory } from './core/directory.ts'
import { GatewayError } from './core/errors.ts'
import {
  toNetworkId,
  toSubscriberId,
  type CallId,
  type NetworkId,
  type NetworkRef,
  type SubscriberId,
} from './core/ids.ts'
import type { IngestMetrics } from './core/ingest-metrics.ts'
import type { Logger } from './core/logger.ts'
import type { DeliveryOutcome, Fence, Observation, ObservationSink } from './core/observation.ts'
import { SubscriberCache } from './core/subscriber-cache.ts'
import { liveCallIds, type SubscriberState } from './core/subscriber-state.ts'
import { applyTransition, releaseCall, transition, type CallEvent, type Transition } from './core/transition.ts'
import { Turns } from './core/turns.ts'
import type { UpstreamPosition } from './core/upstream-position.ts'

export type IngestOptions = {
  readonly store: CallStore
  readonly directory: Directory
  readonly metrics: IngestMetrics
  readonly clock: Clock
  readonly log: Logger
  /** Calls kept in memory, tombstones included; about 1 KB each. */
  readonly cachedCallsMax?: number
  /** Subscribers changed at the same time. */
  readonly concurrencyMax?: number
  /** Changes that may wait for their turn; more are refused and come again from the network. */
  readonly waitingMax?: number
}

const CACHED_CALLS_MAX = 100_000
const CONCURRENCY_MAX = 256
const WAITING_MAX = 20_000
/**
 * Each conflict is another writer's success. One with a burst of changes is always faster than one that
 * must read what changed, so the loser steps back a little longer each time: 0.4 s in all.
 */
const ATTEMPTS_MAX = 16
const STEP_BACK_MAX_MS = 32
const STALE_BATCH = 128
const RESTORE_BATCH = 128

/** Whose call state is changed, and under which lease. */
type Target = {
  readonly network: NetworkRef
  readonly subscriberId: SubscriberId
  readonly fence?: Fence
}

/**
 * The only writer of call state. Each observation is decided by `core/transition` on what is known of
 * the subscriber, and committed if nobody else wrote in between; otherwise it is decided again on what
 * the other writer stored. Subscribers used lately are known from memory, so the usual observation
 * costs one round trip to the store.
 */
export class Ingest implements ObservationSink {
  readonly #store: CallStore
  readonly #directory: Directory
  readonly #metrics: IngestMetrics
  readonly #clock: Clock
  readonly #log: Logger
  readonly #cache: SubscriberCache
  readonly #turns: Turns
  /** Grows when everything is forgotten: what was read before must not be remembered after. */
  #era = 0

  constructor(options: IngestOptions) {
    this.#store = options.store
    this.#directory = options.directory
    this.#metrics = options.metrics
    this.#clock = options.clock
    this.#log = options.log
    this.#cache = new SubscriberCache(options.cachedCallsMax ?? CACHED_CALLS_MAX)
    this.#turns = new Turns({
      runningMax: options.concurrencyMax ?? CONCURRENCY_MAX,
      waitingMax: options.waitingMax ?? WAITING_MAX,
    })
  }

  async deliver(observation: Observation, fence: Fence): Promise<DeliveryOutcome> {
    const { networkId, subscriberId } = observation
    const network = this.#directory.network(networkId)
    if (network === undefined || this.#directory.assignmentsOf(networkId, subscriberId).length === 0) {
      this.#metrics.observed('unassigned', undefined)
      return 'unassigned'
    }
    const decided = await this.#change({ network, subscriberId, fence }, (state) =>
      transition(state, observation, { now: this.#clock.now() }),
    )
    this.#metrics.observed(decided.outcome, decided.rule)
    for (const { event } of decided.writes) {
      const cause = event?.synthetic === true ? event.call.releaseCause : undefined
      if (cause === 'reconciled' || cause === 'superseded') this.#metrics.ghostReleased(cause)
    }
    return decided.outcome
  }

  /** Marks those that have live calls: without any there is nothing unconfirmed. */
  async markStale(networkId: NetworkId, subscriberIds: readonly SubscriberId[]): Promise<void> {
    const network = this.#directory.network(networkId)
    if (network === undefined || subscriberIds.length === 0) return
    const affected = await this.#store.withLiveCalls(network, subscriberIds)
    for (let start = 0; start < affected.length; start += STALE_BATCH) {
      await Promise.all(
        affected
          .slice(start, start + STALE_BATCH)
          .map((subscriberId) => this.#changeStored({ network, subscriberId }, markedStale)),
      )
    }
  }

  async newestUpstream(networkId: NetworkId, subscriberId: SubscriberId): Promise<UpstreamPosition | undefined> {
    const network = this.#directory.network(networkId)
    if (network === undefined) return undefined
    // Never from memory: another instance may have stored newer observations since.
    return (await this.#store.read(network, subscriberId)).state.head.newestUpstream
  }

  /**
   * Ends a call that nothing has confirmed since `unconfirmedSince` (milliseconds since the epoch, our
   * clock). False when it was confirmed in the meantime or has ended.
   */
  async release(call: {
    readonly networkId: NetworkId
    readonly subscriberId: SubscriberId
    readonly callId: CallId
    readonly cause: ReleaseCause
    readonly unconfirmedSince: number
  }): Promise<boolean> {
    const network = this.#directory.network(call.networkId)
    if (network === undefined) return false
    const decided = await this.#changeStored({ network, subscriberId: call.subscriberId }, (state) =>
      releaseCall(state, call, this.#clock.now()),
    )
    if (decided.outcome !== 'changed') return false
    this.#metrics.ghostReleased(call.cause)
    return true
  }

  /** Forgets what is known from memory: the store may have lost some of it. */
  forgetAll(): void {
    this.#era += 1
    this.#cache.clear()
  }

  /**
   * The store was emptied: puts the live calls back that are known from memory, unconfirmed and without an
   * event. Those that have ended meanwhile are thereby ended with an event once the network is read again,
   * instead of vanishing; nobody would be told otherwise.
   */
  async restoreAll(): Promise<void> {
    const remembered = this.#cache.liveEntries()
    this.forgetAll()
    for (let start = 0; start < remembered.length; start += RESTORE_BATCH) {
      const batch = remembered.slice(start, start + RESTORE_BATCH)
      await Promise.all(batch.map(([key, stored]) => this.#restoreByKey(key, stored.state)))
    }
  }

  async #restoreByKey(key: string, state: SubscriberState): Promise<void> {
    const slash = key.indexOf('/')
    const network = this.#directory.network(toNetworkId(key.slice(0, slash)))
    if (network === undefined) return
    await this.#restore({ network, subscriberId: toSubscriberId(key.slice(slash + 1)) }, state)
  }

  async #restore({ network, subscriberId }: Target, state: SubscriberState): Promise<void> {
    await this.#store.commit({
      network,
      subscriberId,
      // Whoever has written since the loss knows better: the commit is refused then.
      expected: undefined,
      head: { ...state.head, stale: true },
      writes: [...state.calls].map(([callId, record]) => ({ callId, record, restartsSequence: false })),
      live: liveCallIds(state),
    })
  }

  /**
   * A change that nobody reported, decided on what is stored now. What is in memory may lack what other
   * instances stored; for a report that does not matter (whatever is older than memory is older than the
   * store, and a write on an old version is refused), but here there would be nothing to write.
   */
  #changeStored(target: Target, decide: (state: SubscriberState) => Transition): Promise<Transition> {
    this.#cache.delete(keyOf(target.network.networkId, target.subscriberId))
    return this.#change(target, decide)
  }

  #change(target: Target, decide: (state: SubscriberState) => Transition): Promise<Transition> {
    const key = keyOf(target.network.networkId, target.subscriberId)
    return this.#turns.take(key, async () => {
      try {
        return await this.#decideAndCommit(target, decide)
      } catch (error) {
        // Whether the last commit took effect is unknown; and if the store has lost everything, nobody else knows.
        this.#cache.doubt(key)
        throw error
      }
    })
  }

  async #decideAndCommit(target: Target, decide: (state: SubscriberState) => Transition): Promise<Transition> {
    const { network, subscriberId, fence } = target
    const era = this.#era
    let known = await this.#known(network, subscriberId)
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
      const decided = decide(known.state)
      if (decided.head === known.state.head && decided.writes.length === 0) return decided
      const state = applyTransition(known.state, decided)
      const result = await this.#store.commit({
        network,
        subscriberId,
        ...(fence === undefined ? {} : { fence }),
        expected: known.version,
        head: decided.head,
        writes: this.#composeWrites(target, decided),
        live: liveCallIds(state),
      })
      if (result.kind === 'stored') {
        this.#remember(era, target, { version: result.version, state })
        return decided
      }
      if (result.kind === 'fenced') {
        this.#metrics.fenced()
        throw new GatewayError('fenced', { fields: { lease: fence?.lease } })
      }
      this.#metrics.conflicted()
      if (hasForgotten(result.current, known)) {
        // As `restoreAll` does, for a report that is faster than whoever watches the store.
        await this.#restore(target, known.state)
        known = await this.#store.read(network, subscriberId)
        this.#remember(era, target, known)
        continue
      }
      known = attempt === 1 ? result.current : await this.#readLater(target, Math.min(2 ** attempt, STEP_BACK_MAX_MS))
      this.#remember(era, target, known)
    }
    this.#log.warn({ networkId: network.networkId, subscriberId, attempts: ATTEMPTS_MAX }, 'commit kept conflicting')
    throw new GatewayError('store_unavailable', { detail: 'Other writers kept changing the same calls.' })
  }

  async #readLater({ network, subscriberId }: Target, waitMs: number): Promise<StoredSubscriber> {
    await this.#clock.wait(waitMs, new AbortController().signal)
    return this.#store.read(network, subscriberId)
  }

  #composeWrites({ network, subscriberId }: Target, decided: Transition): readonly CommitWrite[] {
    const assignments = this.#directory.assignmentsOf(network.networkId, subscriberId)
    const timestamp = this.#clock.now()
    return decided.writes.map(({ callId, record, restartsSequence, event }) => ({
      callId,
      record,
      restartsSequence,
      ...(event === undefined ? {} : { entry: composeEntry(event, { network, subscriberId, assignments, timestamp }) }),
    }))
  }

  async #known(network: NetworkRef, subscriberId: SubscriberId): Promise<StoredSubscriber> {
    const cached = this.#cache.get(keyOf(network.networkId, subscriberId))
    if (cached !== undefined) return cached
    const era = this.#era
    const stored = await this.#store.read(network, subscriberId)
    this.#remember(era, { network, subscriberId }, stored)
    return stored
  }

  #remember(era: number, { network, subscriberId }: Target, stored: StoredSubscriber): void {
    if (era === this.#era) this.#cache.set(keyOf(network.networkId, subscriberId), stored)
  }
}

const keyOf = (networkId: NetworkId, subscriberId: SubscriberId): string => `${networkId}/${subscriberId}`

/** Nothing is stored where something was stored before, and calls were live in it. */
const hasForgotten = (current: StoredSubscriber, known: StoredSubscriber): boolean =>
  current.version === undefined && known.version !== undefined && liveCallIds(known.state).length > 0

function markedStale(state: SubscriberState): Transition {
  if (state.head.stale || liveCallIds(state).length === 0) return { outcome: 'dropped', head: state.head, writes: [] }
  return { outcome: 'noop', head: { ...state.head, stale: true }, writes: [] }
}

/** Entries of one call share an order key, so that they reach every consumer in order. */
function composeEntry(
  event: CallEvent,
  context: {
    readonly network: NetworkRef
    readonly subscriberId: SubscriberId
    readonly assignments: readonly Assignment[]
    readonly timestamp: number
  },
): CommitEntry {
  return {
    type: event.type,
    orderKey: `${context.network.networkId}/${context.subscriberId}/${event.call.callId}`,
    payloads: context.assignments.map((assignment) => ({
      app: assignment.app,
      payload: composePayload(event, assignment, context.timestamp),
    })),
  }
}
