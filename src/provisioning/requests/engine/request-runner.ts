import { Counter, type Registry } from 'prom-client'
import type { Clock } from '../../../core/clock.ts'
import { isGatewayError, GatewayError } from '../../../core/errors.ts'
import type { Logger } from '../../../core/logger.ts'
import { Loop } from '../../../core/loop.ts'
import type { Service } from '../../../core/service.ts'
import { Waker } from '../../../core/waker.ts'
import type { Ordering } from '../../engine/ordering.ts'
import { InterruptedClaims } from '../../engine/interrupted-claims.ts'
import type { ProvisioningDatabase, Queries } from '../../store/database.ts'
import { fromNow } from '../../store/from-now.ts'
import type { Order } from '../../store/orders.ts'
import { REQUEST_STATUS } from '../model/status.ts'
import { claimRequests, endClaims, lockClaimed, releaseRequest, type RequestClaim } from '../store/request-rows.ts'
import { setStep } from '../store/request-steps.ts'
import { shouldWaitFor } from './busy-number.ts'
import { advanceRequest, failStep, type RequestMove, type RequestOutcome } from './request-advance.ts'
import { ENGINE, enterStatus } from './request-state.ts'
import { isAllowed } from './safeguarding.ts'
import type { ReadGlobals } from './step-values.ts'

export type RequestRunnerOptions = {
  readonly database: ProvisioningDatabase
  readonly ordering: Pick<Ordering, 'place' | 'cancel'>
  readonly readGlobals: ReadGlobals
  readonly clock: Pick<Clock, 'wait' | 'monotonic'>
  readonly log: Logger
  readonly registry: Registry
  /** Apps may have to be told something. */
  readonly onEvent?: () => void
  /** Requests at once. */
  readonly atOnceMax?: number
  /** How long a request stays with a process that has died. */
  readonly leaseMs?: number
  /** How often to look for what is due, if nothing wakes it. */
  readonly pollMs?: number
  /** How soon to look at an order whose end was not noticed. */
  readonly recheckMs?: number
  /** For how long a step waits for another order that is about its number. */
  readonly busyWaitMs?: number
}

/** More moves than that in one go are not made: the rest when it is claimed again. */
const MOVES_MAX = 100
/** Whoever ends an order makes its request due; this is only in case that nobody did. */
const RECHECK_MS = 600_000
/** Longer than most orders take; one that takes days is not waited for. */
const BUSY_WAIT_MS = 600_000
/** How soon to try again meanwhile. */
const BUSY_RETRY_MS = 2_000

type Placing = Extract<RequestMove, { kind: 'place' }>

/**
 * Runs provisioning requests: claims those that are due, places an order for each step, and goes on when the order has
 * ended. Any number of instances work on the same tables; each request is one's at a time, by a lease with a token. It
 * may die at any moment: an order is placed in the transaction that writes down whose step it is, so that a step has
 * its order or has none, and whoever ends the order makes the request due.
 */
export class RequestRunner implements Service {
  readonly name = 'request-runner'
  readonly #options: RequestRunnerOptions
  readonly #waker: Waker
  readonly #loop = new Loop()
  readonly #working = new Set<Promise<void>>()
  readonly #leaseMs: number
  readonly #interrupted: InterruptedClaims<RequestClaim>
  readonly #ended: Counter<'outcome'>

  constructor(options: RequestRunnerOptions) {
    this.#options = options
    this.#waker = new Waker(options.clock)
    this.#leaseMs = options.leaseMs ?? 30_000
    this.#interrupted = new InterruptedClaims({ clock: options.clock, leaseMs: this.#leaseMs })
    this.#ended = new Counter({
      name: 'callhalf_provisioning_requests_total',
      help: 'Runs of provisioning requests that this instance has brought to an end',
      labelNames: ['outcome'],
      registers: [options.registry],
    })
  }

  start(): Promise<void> {
    this.#loop.start((signal) => this.#run(signal))
    return Promise.resolve()
  }

  /** Lets the transactions under way end: they wait for nothing but the database. */
  async stop(): Promise<void> {
    this.#waker.wake()
    await this.#loop.stop()
    await Promise.all(this.#working)
  }

  /** Something may have become due. */
  wake(): void {
    this.#waker.wake()
  }

  /** Works on everything that is due now, and waits for it. Resolves with how many requests that were. */
  async runDue(): Promise<number> {
    const claimed = await this.#claimAll()
    await Promise.all(this.#working)
    return claimed
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { database, log, pollMs = 1_000 } = this.#options
    while (!signal.aborted) {
      try {
        await this.#claimAll()
        await this.#interrupted.giveBack((claims) => database.query((db) => endClaims(db, claims)))
      } catch (error) {
        log.warn({ err: error }, 'provisioning requests that are due could not be claimed')
      }
      await this.#waker.wait(pollMs, signal)
    }
  }

  async #claimAll(): Promise<number> {
    const { database, atOnceMax = 8 } = this.#options
    const limit = atOnceMax - this.#working.size
    if (limit <= 0) return 0
    const claims = await database.query((db) => claimRequests(db, { limit, leaseMs: this.#leaseMs }))
    for (const claim of claims) {
      const task = this.#attend(claim).finally(() => {
        this.#working.delete(task)
        // There is room for the next one.
        this.#waker.wake()
      })
      this.#working.add(task)
    }
    return claims.length
  }

  /** Never rejects: what fails for want of the store is given back, or found by its lease. */
  async #attend(claim: RequestClaim): Promise<void> {
    const { log, onEvent } = this.#options
    const fields = { provisioning_request_id: claim.requestId }
    try {
      await this.#work(claim)
    } catch (error) {
      if (isGatewayError(error, 'store_unavailable')) {
        this.#interrupted.add(claim)
        log.warn({ ...fields, err: error }, 'a provisioning request waits for the store')
        return
      }
      log.error({ ...fields, err: error }, 'a provisioning request failed for a mistake of our own')
      await this.#giveUp(claim).catch((again: unknown) => {
        log.warn({ ...fields, err: again }, 'a provisioning request stays as it is until its lease has run out')
      })
    }
    onEvent?.()
  }

  async #work(claim: RequestClaim): Promise<void> {
    const { database, readGlobals, recheckMs = RECHECK_MS } = this.#options
    let hasCancelled = false
    for (let move = 0; move < MOVES_MAX; move += 1) {
      const advancing = { claim, readGlobals, recheckMs, hasCancelled }
      const next = await database.transaction((tx) => advanceRequest(tx, advancing))
      if (next.kind === 'rest') return this.#note(claim, next.outcome)
      if (next.kind === 'cancel') {
        await this.#cancel(next)
        hasCancelled = true
      } else if (!(await this.#place(claim, next))) {
        return
      }
    }
  }

  /**
   * The order and whose it is become true together. What cannot be ordered ends the run of the request, or waits.
   * Resolves with whether there is more to be done with the request now.
   */
  async #place(claim: RequestClaim, placing: Placing): Promise<boolean> {
    const { step, order, number } = placing
    const { ordering, log, recheckMs = RECHECK_MS } = this.#options
    const { requestId } = claim
    try {
      const placed = await ordering.place(order, {
        before: (tx) => mustHold(tx, claim),
        inTransaction: (tx, made) => recordOrder(tx, { claim, step, made, number, recheckMs }),
      })
      log.info(
        { provisioning_request_id: requestId, step: step.sequence_number, order_id: placed.orderId },
        'a step of a provisioning request was ordered',
      )
      return true
    } catch (error) {
      if (!isGatewayError(error) || (error.status >= 500 && error.code !== 'fenced')) throw error
      // Changed by somebody else meanwhile: looked at again.
      if (error.code === 'fenced') return true
      this.#note(claim, await this.#notOrdered(claim, { ...placing, error }))
      return false
    }
  }

  /** What becomes of a request whose step could not be ordered; undefined: it waits, or is somebody else's. */
  #notOrdered(
    claim: RequestClaim,
    { step, number, error }: Placing & { readonly error: GatewayError },
  ): Promise<RequestOutcome | undefined> {
    const { database, busyWaitMs = BUSY_WAIT_MS } = this.#options
    return database.transaction(async (tx) => {
      const request = await lockClaimed(tx, claim)
      if (request === undefined) return undefined
      const isBusy = error.code === 'number_busy'
      if (isBusy && (await shouldWaitFor(tx, { request, number, waitMs: busyWaitMs }))) {
        await releaseRequest(tx, request.request_id, BUSY_RETRY_MS)
        return undefined
      }
      await failStep(tx, { request, step, reason: `${error.code}: ${error.detail ?? error.title}` })
      return 'in_error'
    })
  }

  /** One line for each run that is over. */
  #note({ requestId }: RequestClaim, outcome: RequestOutcome | undefined): void {
    if (outcome === undefined) return
    this.#ended.inc({ outcome })
    this.#options.log.info({ provisioning_request_id: requestId, outcome }, 'a run of a provisioning request is over')
  }

  async #cancel({ orderId, customerId }: Extract<RequestMove, { kind: 'cancel' }>): Promise<void> {
    try {
      await this.#options.ordering.cancel({ customerId, orderId, actor: ENGINE })
    } catch (error) {
      // It goes its own way, and is heard of when it ends.
      if (!isGatewayError(error, 'order_not_cancellable')) throw error
    }
  }

  async #giveUp(claim: RequestClaim): Promise<void> {
    await this.#options.database.transaction(async (tx) => {
      const request = await lockClaimed(tx, claim)
      if (request === undefined) return
      const mayFail = request.status_id === REQUEST_STATUS.submitted || request.status_id === REQUEST_STATUS.inProgress
      if (!mayFail) return
      const note = `The gateway made a mistake; its log has more of it, as request ${claim.requestId}.`
      await enterStatus(tx, request, { to: REQUEST_STATUS.inError, actor: ENGINE, note })
    })
  }
}

/** The claim still holds, and the safeguard lets the request through. Rejects with `fenced`. */
async function mustHold(tx: Queries, claim: RequestClaim): Promise<void> {
  const request = await lockClaimed(tx, claim)
  const mayGo = request?.status_id === REQUEST_STATUS.inProgress && (await isAllowed(tx, request))
  if (!mayGo) throw new GatewayError('fenced')
}

async function recordOrder(
  tx: Queries,
  {
    claim,
    step,
    made,
    number,
    recheckMs,
  }: {
    readonly claim: RequestClaim
    readonly step: Placing['step']
    readonly made: Order
    readonly number: string | undefined
    readonly recheckMs: number
  },
): Promise<void> {
  const { requestId } = claim
  const sequenceNumber = step.sequence_number
  await tx
    .insertInto('request_orders')
    .values({ order_id: made.orderId, request_id: requestId, sequence_number: sequenceNumber })
    .execute()
  await setStep(
    tx,
    { requestId, sequenceNumber },
    { state: 'running', order_id: made.orderId, e164: number ?? made.items[0]?.number ?? null, error: null },
  )
  await tx
    .updateTable('provisioning_requests')
    .set({
      customer_id: made.customerId,
      due_at: fromNow(recheckMs),
    })
    .where('request_id', '=', requestId)
    .execute()
}
