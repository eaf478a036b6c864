import type { Clock } from '../core/clock.ts'
import type { DeliveryRecords } from '../core/delivery-record.ts'
import type { Logger } from '../core/logger.ts'
import { Loop } from '../core/loop.ts'
import type { OperatorEventRepository } from '../core/operator-event.ts'
import type { Service } from '../core/service.ts'
import { Waker } from '../core/waker.ts'
import { reportToOperator } from './operator-report.ts'

export type PendingLossOptions = {
  readonly records: Pick<DeliveryRecords, 'abandon'>
  readonly events: Pick<OperatorEventRepository, 'append'>
  readonly clock: Clock
  readonly log: Logger
}

/**
 * Between the loss and its being noticed, with what clocks differ by: what was created so late may have
 * been taken after the loss. Also how long the recorder may go on writing what it had read before.
 */
const MARGIN_MS = 5_000
const RETRY_MS = 5_000
const IDLE_MS = 3_600_000

/**
 * Deliveries that were pending in a Redis that is no more: nothing will send them, and nothing in Redis says
 * so. In the records they are still pending; there they are dropped, so that they can be seen and replayed,
 * and the operator is told. Any number of instances may do so for the same loss; one of them finds them.
 */
export class PendingLoss implements Service {
  readonly name = 'pending-loss'
  readonly #options: PendingLossOptions
  readonly #waker: Waker
  #noticedAt: number | undefined
  readonly #loop = new Loop()

  constructor(options: PendingLossOptions) {
    this.#options = options
    this.#waker = new Waker(options.clock)
  }

  /** Redis was found empty, just now; may be called before the start. */
  notice(): void {
    this.#noticedAt = this.#options.clock.now()
    this.#waker.wake()
  }

  start(): Promise<void> {
    this.#loop.start((signal) => this.#run(signal))
    return Promise.resolve()
  }

  /** A statement under way ends by its own deadline, which is short. */
  stop(): Promise<void> {
    return this.#loop.stop()
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options
    while (!signal.aborted) {
      const noticedAt = this.#noticedAt
      if (noticedAt === undefined) {
        await this.#waker.wait(IDLE_MS, signal)
        continue
      }
      await clock.wait(Math.max(0, noticedAt + MARGIN_MS - clock.now()), signal).catch(() => undefined)
      if (signal.aborted) return
      const isDone = await this.#abandon(noticedAt - MARGIN_MS)
      // Another loss meanwhile is looked after next.
      if (isDone && this.#noticedAt === noticedAt) this.#noticedAt = undefined
      if (!isDone) await clock.wait(RETRY_MS, signal).catch(() => undefined)
    }
  }

  /** Resolves with whether all are dropped. Never rejects. */
  async #abandon(before: number): Promise<boolean> {
    const { records, log } = this.#options
    let deliveries = 0
    let isDone = false
    try {
      await records.abandon(before, (count) => {
        deliveries += count
      })
      isDone = true
    } catch (error) {
      log.warn({ err: error }, 'deliveries lost with redis could not be dropped, will be tried again')
    }
    if (deliveries > 0) await reportToOperator(this.#options, { type: 'webhook.pending_lost', details: { deliveries } })
    return isDone
  }
}
