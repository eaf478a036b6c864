import type { Call } from '../core/call.ts'
import type { Clock } from '../core/clock.ts'
import { isGatewayError } from '../core/errors.ts'
import type { NetworkRef, SubscriberId } from '../core/ids.ts'
import { toSubscriberId } from '../core/ids.ts'
import type { Logger } from '../core/logger.ts'
import type { Fence, ObservationSink } from '../core/observation.ts'
import type { UpstreamPosition } from '../core/upstream-position.ts'
import { compareUpstream } from '../core/upstream-position.ts'
import { backoffMs, WORK_BACKOFF } from './backoff.ts'
import type { Coverage } from './coverage.ts'
import type { BroadsoftMetrics } from './metrics.ts'
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
  /** Runs `use` with proof of a lease that this instance holds; undefined when it can get none now. */
  readonly withFence: <T>(use: (fence: Fence) => Promise<T>) => Promise<T | undefined>
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
const NO_FENCE_RETRY_MS = 1_000
/** An instance that may hold no leases at all leaves it to those that may. */
const NO_FENCE_ATTEMPTS_MAX = 5
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
 * is repeated, at most twice.
 */
export class Resynchroniser {
  readonly #options: ResynchroniserOptions
  readonly #reads: WorkQueue
  readonly #failures = new Map<SubscriberId, number>()

  constructor(options: ResynchroniserOptions) {
    this.#options = options
    this.#reads = new WorkQueue({ clock: options.clock, concurrency: READS_CONCURRENT, perSecond: options.perSecond })
  }

  /** Reads until `signal` aborts. */
  run(signal: AbortSignal): Promise<void> {
    return this.#reads.run((key) => this.#read(toSubscriberId(key), signal), signal)
  }

  /** Asks for the wanted ones of these subscribers to be confirmed anew, all when undefined. */
  request(subscriberIds: readonly SubscriberId[] | undefined, reason: string, isUrgent = false): void {
    const { coverage, requestSnapshot, metrics, network } = this.#options
    const delayMs = isUrgent ? 0 : DEBOUNCE_MS
    for (const subscriberId of subscriberIds ?? coverage.wanted()) {
      if (!coverage.isWanted(subscriberId)) continue
      metrics.resyncs.inc({ network: network.networkId, reason })
      if (!requestSnapshot(subscriberId, delayMs)) this.#reads.putEarlier(subscriberId, delayMs)
    }
  }

  /** A snapshot event should come, unless one has come since `since` (monotonic). */
  expectSnapshot(subscriberId: SubscriberId, since: number): void {
    if (this.#options.coverage.isConfirmedSince(subscriberId, since)) return
    this.#reads.putEarlier(subscriberId, this.#options.snapshotTimeoutMs ?? SNAPSHOT_TIMEOUT_MS)
  }

  /** A snapshot of the subscriber is stored: no read is needed. */
  confirm(subscriberId: SubscriberId): void {
    this.#options.coverage.confirm(subscriberId, this.#options.clock.monotonic())
    this.#failures.delete(subscriberId)
    this.#reads.remove(subscriberId)
  }

  forget(subscriberId: SubscriberId): void {
    this.#failures.delete(subscriberId)
    this.#reads.remove(subscriberId)
  }

  async #read(subscriberId: SubscriberId, signal: AbortSignal): Promise<void> {
    const { coverage, withFence, random, log } = this.#options
    if (!coverage.isWanted(subscriberId)) return
    try {
      const timeout = AbortSignal.any([signal, AbortSignal.timeout(READ_TIMEOUT_MS)])
      const outcome = await withFence(async (fence) => {
        await this.#deliverRead(subscriberId, fence, timeout)
        return true
      })
      if (outcome === undefined) return this.#retryWithoutFence(subscriberId)
      this.#count('ok')
      this.confirm(subscriberId)
    } catch (error) {
      if (signal.aborted) return
      const code = isGatewayError(error) ? error.code : 'internal'
      const failures = (this.#failures.get(subscriberId) ?? 0) + 1
      this.#failures.set(subscriberId, failures)
      this.#count(code)
      coverage.fail(subscriberId, code)
      const retryMs = backoffMs(failures, random(), WORK_BACKOFF)
      this.#reads.putEarlier(subscriberId, retryMs)
      log.warn({ code, failures, retry_ms: retryMs }, 'reading calls failed')
    }
  }

  #retryWithoutFence(subscriberId: SubscriberId): void {
    const failures = (this.#failures.get(subscriberId) ?? 0) + 1
    if (failures >= NO_FENCE_ATTEMPTS_MAX) return this.forget(subscriberId)
    this.#failures.set(subscriberId, failures)
    this.#reads.putEarlier(subscriberId, NO_FENCE_RETRY_MS)
  }

  async #deliverRead(subscriberId: SubscriberId, fence: Fence, signal: AbortSignal): Promise<void> {
    const { network, sink, readCalls } = this.#options
    for (let attempt = 1; ; attempt += 1) {
      signal.throwIfAborted()
      const before = await this.#newest(subscriberId)
      const calls = await readCalls(subscriberId, signal)
      const after = attempt < READ_ATTEMPTS ? await this.#newest(subscriberId) : before
      if (compareUpstream(before, after) !== 0) continue
      const body = { type: 'snapshot', calls } as const
      await sink.deliver({ networkId: network.networkId, subscriberId, upstream: before, body }, fence)
      return
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
