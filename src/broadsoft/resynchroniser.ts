import type { Call } from '../core/call.ts'
import type { Clock } from '../core/clock.ts'
import { isGatewayError } from '../core/errors.ts'
import type { NetworkRef, SubscriberId } from '../core/ids.ts'
import { toSubscriberId } from '../core/ids.ts'
import type { Logger } from '../core/logger.ts'
import type { DeliveryOutcome, Fence, ObservationSink } from '../core/observation.ts'
import type { UpstreamPosition } from '../core/upstream-position.ts'
import { compareUpstream } from '../core/upstream-position.ts'
import { backoffMs, WORK_BACKOFF } from './backoff.ts'
import { isAccepted, type Coverage } from './coverage.ts'
import type { BroadsoftMetrics } from './metrics.ts'
import type { ReadLease } from './read-lease.ts'
import { WorkQueue } from './work-queue.ts'

export type ResynchroniserOptions = {
  readonly network: NetworkRef
  readonly sink: ObservationSink
  readonly coverage: Coverage
  /** Asks for a snapshot event; false when the subscription cannot give one. */
  readonly requestSnapshot: (subscriberId: SubscriberId, delayMs: number) => boolean
  /** Reads the subscriber's calls from the network. */
  readonly readCalls: (subscriberId: SubscriberId, signal: AbortSignal) => Promise<readonly Call[]>
  /** The generation of the subscription that brings the subscriber's events; undefined: not known. */
  readonly generationFor: (subscriberId: SubscriberId) => Promise<number | undefined>
  readonly lease: Pick<ReadLease, 'acquire' | 'release'>
  readonly perSecond: number
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
  readonly metrics: BroadsoftMetrics
  readonly snapshotTimeoutMs?: number
}

/** Requests for the same subscriber within this time become one. */
const DEBOUNCE_MS = 250
/** How long a snapshot event may take after the subscription was renewed; then the calls are read. */
const SNAPSHOT_TIMEOUT_MS = 5_000
const READ_TIMEOUT_MS = 20_000
const READS_CONCURRENT = 4
const READ_ATTEMPTS = 3

/**
 * Gets the truth about subscribers' calls after anything that may have lost events. The cheap and exact
 * way is the snapshot event that renewing a user's subscription brings, in sequence with the others. The
 * other way is to read the calls: for collection subscriptions, which have no snapshot; for instances
 * that do not keep the subscriptions; and when the snapshot event does not come.
 *
 * A read is not in sequence with events, so it is handed in under the newest position known before it
 * began: whatever is newer than that wins against it. When that position moved during the read, the read
 * is repeated, at most twice; so is one that was not accepted.
 *
 * A request lives until a snapshot is accepted or the subscriber is not wanted any more.
 */
export class Resynchroniser {
  readonly #options: ResynchroniserOptions
  readonly #reads: WorkQueue
  /** Those to be confirmed; a subset of the wanted ones. */
  readonly #requested = new Set<SubscriberId>()
  readonly #failures = new Map<SubscriberId, number>()

  constructor(options: ResynchroniserOptions) {
    this.#options = options
    this.#reads = new WorkQueue({
      clock: options.clock,
      concurrency: READS_CONCURRENT,
      perSecond: options.perSecond,
      onIdle: () => void options.lease.release(), // does not reject
    })
  }

  /** Reads until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#reads.run((key) => this.#read(toSubscriberId(key), signal), signal)
    await this.#options.lease.release()
  }

  /** Asks for the wanted ones of these subscribers to be confirmed anew, all when undefined. */
  request(subscriberIds: readonly SubscriberId[] | undefined, reason: string, isUrgent = false): void {
    const { coverage, requestSnapshot, metrics, network } = this.#options
    const delayMs = isUrgent ? 0 : DEBOUNCE_MS
    for (const subscriberId of subscriberIds ?? coverage.wanted()) {
      if (!coverage.isWanted(subscriberId)) continue
      metrics.resyncs.inc({ network: network.networkId, reason })
      this.#requested.add(subscriberId)
      if (requestSnapshot(subscriberId, delayMs)) this.#reads.remove(subscriberId)
      else this.#reads.putEarlier(subscriberId, delayMs)
    }
  }

  /** The subscriptions are not this instance's any more: what they were to confirm is read. */
  readRequested(): void {
    for (const subscriberId of this.#requested) this.#reads.putEarlier(subscriberId, DEBOUNCE_MS)
  }

  /** A snapshot event should come, unless one has come since `since` (monotonic). */
  expectSnapshot(subscriberId: SubscriberId, since: number): void {
    const { coverage } = this.#options
    if (!coverage.isWanted(subscriberId) || coverage.isConfirmedSince(subscriberId, since)) return
    this.#requested.add(subscriberId)
    this.#reads.putEarlier(subscriberId, this.#options.snapshotTimeoutMs ?? SNAPSHOT_TIMEOUT_MS)
  }

  /** A snapshot of the subscriber was accepted: no read is needed. */
  confirm(subscriberId: SubscriberId): void {
    this.#options.coverage.confirm(subscriberId, this.#options.clock.monotonic())
    this.forget(subscriberId)
  }

  /** Another instance confirms everybody. */
  forgetAll(): void {
    for (const subscriberId of this.#requested) this.forget(subscriberId)
  }

  forget(subscriberId: SubscriberId): void {
    this.#requested.delete(subscriberId)
    this.#failures.delete(subscriberId)
    this.#reads.remove(subscriberId)
  }

  async #read(subscriberId: SubscriberId, signal: AbortSignal): Promise<void> {
    const fence = await this.#options.lease.acquire(signal)
    // It may have been confirmed or forgotten while it waited.
    if (fence === undefined || !this.#requested.has(subscriberId)) return
    try {
      const outcome = await this.#deliverRead(subscriberId, fence, signal)
      this.#count(isAccepted(outcome) ? 'ok' : outcome)
      if (isAccepted(outcome)) this.confirm(subscriberId)
      else this.#retry(subscriberId, outcome)
    } catch (error) {
      if (signal.aborted) return
      const code = isGatewayError(error) ? error.code : 'internal'
      this.#count(code)
      this.#retry(subscriberId, code)
    }
  }

  #retry(subscriberId: SubscriberId, code: string): void {
    const { coverage, random, log } = this.#options
    if (!this.#requested.has(subscriberId)) return
    // With the lease the right to read went elsewhere, and nothing is known against the subscriber.
    if (code === 'fenced') return this.#reads.putEarlier(subscriberId, DEBOUNCE_MS)
    const failures = (this.#failures.get(subscriberId) ?? 0) + 1
    this.#failures.set(subscriberId, failures)
    coverage.fail(subscriberId, code)
    const retryMs = backoffMs(failures, random(), WORK_BACKOFF)
    this.#reads.putEarlier(subscriberId, retryMs)
    log.warn({ code, failures, retry_ms: retryMs }, 'reading calls failed')
  }

  async #deliverRead(subscriberId: SubscriberId, fence: Fence, stop: AbortSignal): Promise<DeliveryOutcome> {
    const { network, sink, readCalls } = this.#options
    const signal = AbortSignal.any([stop, AbortSignal.timeout(READ_TIMEOUT_MS)])
    for (let attempt = 1; ; attempt += 1) {
      signal.throwIfAborted()
      const before = await this.#newest(subscriberId)
      const calls = await readCalls(subscriberId, signal)
      const after = attempt < READ_ATTEMPTS ? await this.#newest(subscriberId) : before
      if (compareUpstream(before, after) !== 0) continue
      const body = { type: 'snapshot', calls } as const
      const outcome = await sink.deliver({ networkId: network.networkId, subscriberId, upstream: before, body }, fence)
      if (outcome !== 'dropped' || attempt >= READ_ATTEMPTS) return outcome
    }
  }

  /** The newest position stored, or the beginning of the present subscription if that is later. */
  async #newest(subscriberId: SubscriberId): Promise<UpstreamPosition> {
    const { network, sink, generationFor } = this.#options
    const newest = await sink.newestUpstream(network.networkId, subscriberId)
    const generation = (await generationFor(subscriberId)) ?? 0
    return newest !== undefined && newest.generation >= generation ? newest : { generation, sequence: 0 }
  }

  #count(outcome: string): void {
    this.#options.metrics.snapshotReads.inc({ network: this.#options.network.networkId, outcome })
  }
}
