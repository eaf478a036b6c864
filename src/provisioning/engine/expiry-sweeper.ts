import { Counter, type Registry } from 'prom-client'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../core/logger.ts'
import { Loop } from '../../core/loop.ts'
import type { Service } from '../../core/service.ts'
import type { ProvisioningDatabase } from '../store/database.ts'
import { expireBatch, EXPIRING, type Expiring } from '../store/expiry.ts'

export type ExpirySweeperOptions = {
  readonly database: ProvisioningDatabase
  readonly clock: Clock
  readonly log: Logger
  readonly registry: Registry
  /** Uniform in [0, 1), for jitter. */
  readonly random?: () => number
}

const ROUND_MS = 5_000
/** Few enough that a batch holds up nobody else's statements. */
const BATCH = 500
/** Lets others have the database between two batches. */
const PAUSE_MS = 20
/** Of each kind: 25,000 a round. */
const BATCHES_PER_ROUND = 50

/**
 * Tidies up after time: lapsed holds, reservations that are over, numbers that have aged, answers kept for long
 * enough. Every instance may run one; what one has locked the others leave alone.
 */
export class ExpirySweeper implements Service {
  readonly name = 'provisioning-expiry'
  readonly #options: ExpirySweeperOptions
  readonly #swept: Counter<'what'>
  readonly #failures: Counter
  readonly #loop = new Loop()

  constructor(options: ExpirySweeperOptions) {
    this.#options = options
    const registers = [options.registry]
    this.#swept = new Counter({
      name: 'callhalf_provisioning_expired_total',
      help: 'What ended by itself and was tidied up by this instance',
      labelNames: ['what'] as const,
      registers,
    })
    for (const what of EXPIRING) this.#swept.inc({ what }, 0)
    this.#failures = new Counter({
      name: 'callhalf_provisioning_expiry_failures_total',
      help: 'Rounds of tidying up that failed; nothing is sold twice for that, but tables grow',
      registers,
    })
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
      // Jittered, so that instances started together do not sweep together.
      await clock.wait(ROUND_MS * (0.75 + random() / 2), signal).catch(() => undefined)
      for (const what of EXPIRING) {
        if (signal.aborted) return
        await this.#sweep(what, signal).catch((error: unknown) => {
          this.#failures.inc()
          log.warn({ err: error, what }, 'what has expired could not be tidied up')
        })
      }
    }
  }

  async #sweep(what: Expiring, signal: AbortSignal): Promise<void> {
    const { clock, database } = this.#options
    for (let batch = 0; batch < BATCHES_PER_ROUND && !signal.aborted; batch += 1) {
      const count = await database.query((db) => expireBatch[what](db, BATCH))
      this.#swept.inc({ what }, count)
      if (count < BATCH) return
      await clock.wait(PAUSE_MS, signal).catch(() => undefined)
    }
  }
}
