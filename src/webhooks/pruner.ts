import type { Clock } from '../core/clock.ts'
import type { DeliveryRecords } from '../core/delivery-record.ts'
import type { Logger } from '../core/logger.ts'
import { Loop } from '../core/loop.ts'
import type { OperatorEventRepository } from '../core/operator-event.ts'
import type { Service } from '../core/service.ts'

export type PrunerOptions = {
  readonly records: Pick<DeliveryRecords, 'prune'>
  readonly events: Pick<OperatorEventRepository, 'prune'>
  /** For how long deliveries are kept after they ended. */
  readonly retentionMs: number
  readonly clock: Clock
  readonly log: Logger
  /** Uniform in [0, 1), for jitter. */
  readonly random?: () => number
}

const ROUND_MS = 60_000
/** Few enough that a batch holds up nobody else's statements. */
const BATCH = 5_000
/** Lets others have the database between two batches. */
const PAUSE_MS = 100
/** 200,000 deliveries a minute: more than an instance can make. */
const BATCHES_PER_ROUND = 40
const EVENTS_RETENTION_MS = 90 * 86_400_000

/** By the names that the log has for them. */
type Removed = { deliveries: number; operator_events: number }

/**
 * Removes what has been kept for long enough: deliveries after their retention, operator events after 90
 * days. Every instance may run one; what another has removed already is simply not there any more.
 */
export class Pruner implements Service {
  readonly name = 'delivery-pruner'
  readonly #options: PrunerOptions
  readonly #loop = new Loop()

  constructor(options: PrunerOptions) {
    this.#options = options
  }

  start(): Promise<void> {
    this.#loop.start((signal) => this.#run(signal))
    return Promise.resolve()
  }

  /** The statement under way ends by its own deadline, which is short. */
  stop(): Promise<void> {
    return this.#loop.stop()
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, log, random = Math.random } = this.#options
    while (!signal.aborted) {
      // Jittered, so that instances started together do not prune together.
      await clock.wait(ROUND_MS * (0.75 + random() / 2), signal).catch(() => undefined)
      if (signal.aborted) return
      const startedAt = clock.monotonic()
      const removed: Removed = { deliveries: 0, operator_events: 0 }
      await this.#prune(removed, signal).catch((error: unknown) => {
        if (!signal.aborted) log.warn({ err: error }, 'old deliveries could not be removed')
      })
      if (removed.deliveries + removed.operator_events === 0) continue
      log.info({ ...removed, duration_ms: Math.round(clock.monotonic() - startedAt) }, 'old deliveries removed')
    }
  }

  /** Counts in `removed` as it goes, so that a failure half-way hides nothing. */
  async #prune(removed: Removed, signal: AbortSignal): Promise<void> {
    const { records, events, retentionMs, clock } = this.#options
    removed.operator_events = await events.prune(clock.now() - EVENTS_RETENTION_MS)
    const before = clock.now() - retentionMs
    for (let batch = 0; batch < BATCHES_PER_ROUND && !signal.aborted; batch += 1) {
      const count = await records.prune(before, BATCH)
      removed.deliveries += count
      if (count < BATCH) return
      await clock.wait(PAUSE_MS, signal).catch(() => undefined)
    }
  }
}
