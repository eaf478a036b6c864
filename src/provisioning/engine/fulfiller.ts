import type { Clock } from '../../core/clock.ts'
import { isGatewayError } from '../../core/errors.ts'
import type { Logger } from '../../core/logger.ts'
import { Loop } from '../../core/loop.ts'
import type { OperatorEventRepository } from '../../core/operator-event.ts'
import type { Service } from '../../core/service.ts'
import { Waker } from '../../core/waker.ts'
import type { LineOutcome, NumberProvider, ProviderResult, ProviderNotice } from '../model/provider.ts'
import type { ProvisioningDatabase } from '../store/database.ts'
import { claimDue, endClaims, type Claim } from '../store/fulfilments.ts'
import { recordProviderCall } from '../store/provider-calls.ts'
import type { FulfilmentMetrics } from './fulfilment-metrics.ts'
import { InterruptedClaims } from './interrupted-claims.ts'
import type { EngineSettings } from './order-progress.ts'
import { applyReport } from './provider-report.ts'
import { applyAnswer } from './provider-answer.ts'
import { prepareCall, type ProviderCall, type Stuck } from './provider-call.ts'
import { measureQueue } from './queue-measures.ts'
import { tellOfStuck, stickAfterFailure } from './stuck-fulfilments.ts'

export type FulfillerOptions = {
  readonly database: ProvisioningDatabase
  readonly settings: EngineSettings
  readonly metrics: FulfilmentMetrics
  readonly operatorEvents: Pick<OperatorEventRepository, 'append'>
  readonly clock: Pick<Clock, 'monotonic' | 'wait'>
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly log: Logger
  /** Calls to one provider at once. */
  readonly atOnceMax?: number
  /** For one call to a provider. */
  readonly callTimeoutMs?: number
  /** How long a fulfilment stays with a process that has died; longer than a call. */
  readonly leaseMs?: number
  /** Attempts in a row that come to nothing, after which an operator is asked. */
  readonly attemptsMax?: number
  /** How often to look for what is due, if nothing wakes it. */
  readonly pollMs?: number
  /** Something was done about a fulfilment, so that its order may have ended. */
  readonly onProgress?: () => void
}

const MEASURE_EVERY_MS = 5_000

/**
 * Carries orders out: claims fulfilments that are due, asks their providers, and applies what these say. Any
 * number of instances work on the same tables; each fulfilment is one's at a time, by a lease with a token. It may
 * die at any moment: what it was about to do is written down before, and what came of it in one transaction.
 */
export class Fulfiller implements Service {
  readonly name = 'fulfiller'
  readonly #options: FulfillerOptions
  readonly #atOnceMax: number
  readonly #callTimeoutMs: number
  readonly #leaseMs: number
  readonly #attemptsMax: number
  readonly #waker: Waker
  readonly #loop = new Loop()
  readonly #working = new Map<string, Set<Promise<void>>>()
  readonly #interrupted: InterruptedClaims<Claim>
  #unlisten: readonly (() => void)[] = []
  #calls = new AbortController()
  #measuredAt = Number.NEGATIVE_INFINITY

  constructor(options: FulfillerOptions) {
    this.#options = options
    this.#atOnceMax = options.atOnceMax ?? 8
    this.#callTimeoutMs = options.callTimeoutMs ?? 20_000
    this.#leaseMs = options.leaseMs ?? 30_000
    this.#attemptsMax = options.attemptsMax ?? 20
    this.#waker = new Waker(options.clock)
    this.#interrupted = new InterruptedClaims({ clock: options.clock, leaseMs: this.#leaseMs })
  }

  async start(): Promise<void> {
    this.#calls = new AbortController()
    this.#unlisten = [...this.#options.settings.providers.values()].flatMap((provider) => {
      const listener = ({ idempotencyKey, result }: ProviderNotice) =>
        this.report(provider.id, idempotencyKey, result.lines)
      return provider.listen?.(listener) ?? []
    })
    this.#loop.start((signal) => this.#run(signal))
    return Promise.resolve()
  }

  /** Lets calls under way finish until `deadline`, then cuts them short: they count as unknown. */
  async stop(deadline: AbortSignal): Promise<void> {
    for (const unlisten of this.#unlisten) unlisten()
    this.#unlisten = []
    this.#waker.wake()
    const cut = () => this.#calls.abort()
    if (deadline.aborted) cut()
    deadline.addEventListener('abort', cut, { once: true })
    await this.#loop.stop()
    await Promise.all([...this.#working.values()].flatMap((work) => [...work]))
    deadline.removeEventListener('abort', cut)
  }

  /** Something has become due. */
  wake(): void {
    this.#waker.wake()
  }

  /**
   * Takes what a provider tells of its own accord. `ref` is the provider's own reference of the request, or the
   * idempotency key that it was sent with. The same may be told any number of times, also of orders that are final.
   * Resolves with whether the reference is known: if not, our own answer may still be on its way, so that the
   * provider should tell it again.
   */
  async report(provider: string, ref: string, lines: readonly LineOutcome[]): Promise<boolean> {
    const { database, settings, metrics } = this.#options
    const isKnown = await database.transaction((tx) => applyReport(tx, { provider, ref, lines, settings }))
    metrics.reports.inc({ provider, known: String(isKnown) })
    if (isKnown) {
      this.wake()
      this.#options.onProgress?.()
    }
    return isKnown
  }

  /** Works on everything that is due now, and waits for it. Resolves with how many fulfilments that were. */
  async runDue(): Promise<number> {
    const claimed = await this.#claimAll()
    await Promise.all([...this.#working.values()].flatMap((work) => [...work]))
    return claimed
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { database, log, pollMs = 1_000 } = this.#options
    while (!signal.aborted) {
      try {
        await this.#claimAll()
        await this.#interrupted.giveBack((claims) => database.query((db) => endClaims(db, claims)))
        await this.#measure()
      } catch (error) {
        log.warn({ err: error }, 'fulfilments that are due could not be claimed')
      }
      // One that has ended wakes the loop, which has room for the next one then.
      await this.#waker.wait(pollMs, signal)
    }
  }

  /** Claims as much as there is room for, each provider for itself: one that hangs keeps no other waiting. */
  async #claimAll(): Promise<number> {
    const { database, settings } = this.#options
    let claimed = 0
    for (const provider of settings.providers.values()) {
      const limit = this.#atOnceMax - this.#workOf(provider).size
      if (limit <= 0) continue
      const claims = await database.query((db) =>
        claimDue(db, { provider: provider.id, limit, leaseMs: this.#leaseMs }),
      )
      for (const claim of claims) this.#begin(provider, claim)
      claimed += claims.length
    }
    return claimed
  }

  #begin(provider: NumberProvider, claim: Claim): void {
    const { metrics } = this.#options
    const work = this.#workOf(provider)
    const task = this.#attend(provider, claim).finally(() => {
      work.delete(task)
      metrics.inFlight.set({ provider: provider.id }, work.size)
      this.#waker.wake()
      this.#options.onProgress?.()
    })
    work.add(task)
    metrics.inFlight.set({ provider: provider.id }, work.size)
  }

  #workOf(provider: NumberProvider): Set<Promise<void>> {
    const work = this.#working.get(provider.id) ?? new Set<Promise<void>>()
    this.#working.set(provider.id, work)
    return work
  }

  /** Never rejects: what fails for want of the store is given back, or found by its lease. */
  async #attend(provider: NumberProvider, claim: Claim): Promise<void> {
    const { log } = this.#options
    try {
      const stuck = await this.#step(claim)
      if (stuck !== undefined) await tellOfStuck(this.#options, stuck)
    } catch (error) {
      const fields = { order_id: claim.orderId, fulfilment_id: claim.fulfilmentId, provider: provider.id, err: error }
      if (isGatewayError(error, 'store_unavailable')) {
        this.#interrupted.add(claim)
        log.warn(fields, 'a fulfilment waits for the store')
        return
      }
      log.error(fields, 'a fulfilment failed for a mistake of our own')
      await stickAfterFailure(this.#options, claim)
    }
  }

  async #step(claim: Claim): Promise<Stuck | undefined> {
    const { database, settings, random } = this.#options
    const prepared = await database.transaction((tx) => prepareCall(tx, { claim, settings, leaseMs: this.#leaseMs }))
    if (prepared.kind === 'none') return undefined
    if (prepared.kind === 'stuck') return prepared.stuck
    const { call } = prepared
    const result = await this.#call(claim, call)
    return database.transaction((tx) =>
      applyAnswer(tx, { claim, call, result, settings, attemptsMax: this.#attemptsMax, random: random() }),
    )
  }

  /** Asks the provider, within the deadline, and logs one line about it. Never rejects. */
  async #call(claim: Claim, call: ProviderCall): Promise<ProviderResult | undefined> {
    const { clock, metrics, log } = this.#options
    const startedAt = clock.monotonic()
    const result = await this.#ask(claim, call)
    const durationMs = Math.round(clock.monotonic() - startedAt)
    const outcome = result?.kind ?? 'not_found'
    metrics.calls.inc({ provider: call.provider.id, call: call.kind, outcome })
    metrics.callSeconds.observe({ provider: call.provider.id }, durationMs / 1_000)
    log.info(
      {
        order_id: claim.orderId,
        fulfilment_id: claim.fulfilmentId,
        provider: call.provider.id,
        call: call.kind,
        action: call.request.action,
        lines: call.request.lines.length,
        attempt: call.attempt,
        outcome,
        ...reasonOf(result),
        duration_ms: durationMs,
      },
      'provider call',
    )
    return result
  }

  async #ask(claim: Claim, call: ProviderCall): Promise<ProviderResult | undefined> {
    const signal = AbortSignal.any([AbortSignal.timeout(this.#callTimeoutMs), this.#calls.signal])
    const { promise: aborted, reject } = Promise.withResolvers<never>()
    const abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    if (signal.aborted) abort()
    try {
      return await Promise.race([invoke(call, this.#contextOf(claim, call, signal)), aborted])
    } catch (error) {
      const reason = signal.aborted ? 'no answer in time' : 'the adapter failed'
      if (!signal.aborted) this.#options.log.error({ provider: call.provider.id, err: error }, 'an adapter failed')
      return { kind: 'unknown', reason }
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  #contextOf(claim: Claim, call: ProviderCall, signal: AbortSignal) {
    const { database } = this.#options
    return {
      attempt: call.attempt,
      signal,
      record: (detail: Parameters<typeof recordProviderCall>[1]['detail']) =>
        database.query((db) =>
          recordProviderCall(db, {
            orderId: claim.orderId,
            fulfilmentId: claim.fulfilmentId,
            provider: call.provider.id,
            action: call.kind === 'execute' ? call.request.action : call.kind,
            attempt: call.attempt,
            detail,
          }),
        ),
    }
  }

  async #measure(): Promise<void> {
    const { clock, database, metrics } = this.#options
    if (clock.monotonic() - this.#measuredAt < MEASURE_EVERY_MS) return
    this.#measuredAt = clock.monotonic()
    await measureQueue(database, metrics)
  }
}

async function invoke(
  { kind, provider, request, ref = '' }: ProviderCall,
  context: Parameters<NumberProvider['execute']>[1],
): Promise<ProviderResult | undefined> {
  switch (kind) {
    case 'execute':
      return provider.execute(request, context)
    case 'poll':
      return provider.poll(ref, request, context)
    case 'find':
      return provider.find(request, context)
    case 'cancel':
      return provider.cancel(ref, request, context)
    default:
      return kind satisfies never
  }
}

/** What a provider gave as a reason; its own words, which hold nothing of a request. */
function reasonOf(result: ProviderResult | undefined): { readonly reason?: string; readonly code?: string } {
  if (result?.kind === 'retry' || result?.kind === 'unknown') return { reason: result.reason }
  return result?.kind === 'refused' ? { code: result.code } : {}
}
