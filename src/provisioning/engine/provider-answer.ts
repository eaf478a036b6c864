import { retryDelayMs } from '../model/retry-delay.ts'
import type { ResumableState } from '../model/fulfilment.ts'
import type { LineOutcome, ProviderResult } from '../model/provider.ts'
import type { Queries } from '../store/database.ts'
import { findClaimed, itemsOf, setFulfilment } from '../store/fulfilments.ts'
import type { Claim, FulfilmentChange, FulfilmentRow, ItemRow } from '../store/fulfilments.ts'
import { appendHistory } from '../store/order-rows.ts'
import { lockOrder, type LockedOrder } from './locked-order.ts'
import { advanceOrder, cancelUnsent, FINISHED, type EngineSettings } from './order-progress.ts'
import { applyLines } from './outcomes.ts'
import { recheckLater } from './rechecking.ts'
import { stickFulfilment, type ProviderCall, type Stuck } from './provider-call.ts'

const POLL_MIN_MS = 100
const POLL_MAX_MS = 3_600_000
/** For lines that wait for somebody else. */
const PENDING_POLL_MS = 30_000
const REASON_MAX = 500
/** For something that nothing waits for. */
const RECHECK_ATTEMPTS_MAX = 5

export type Answered = {
  readonly claim: Claim
  readonly call: ProviderCall
  /** Undefined: `find` found nothing, so the provider never got the request. */
  readonly result: ProviderResult | undefined
  readonly settings: EngineSettings
  /** After so many attempts in a row that came to nothing an operator is asked. */
  readonly attemptsMax: number
  /** Uniform in [0, 1). */
  readonly random: number
}

/** Writes down what came of a call, unless the claim was lost meanwhile: then whoever has it finds out. */
export async function applyAnswer(tx: Queries, answered: Answered): Promise<Stuck | undefined> {
  const order = await lockOrder(tx, answered.claim.orderId)
  const fulfilment = await findClaimed(tx, answered.claim)
  if (fulfilment === undefined) return undefined
  const step: Step = { ...answered, order, fulfilment }
  const { result } = answered
  switch (result?.kind) {
    case undefined:
      return applyNothingFound(tx, step)
    case 'answered':
      return applyLinesOf(tx, step, { lines: result.lines, ref: result.ref })
    case 'accepted':
      await setFulfilment(tx, fulfilment.fulfilment_id, {
        ...ACCEPTED,
        provider_ref: result.ref,
        // What nobody wants any more turns out to be under way.
        ...(fulfilment.rechecks > 0 && { is_cancel_requested: canCancel(step) }),
        // A cancellation that was asked for meanwhile goes there at once.
        dueInMs: fulfilment.is_cancel_requested && answered.call.kind !== 'cancel' ? 0 : clampPoll(result.pollAfterMs),
      })
      return undefined
    case 'refused':
      return applyRefusal(tx, step, result)
    case 'retry':
      return applyFailure(tx, step, {
        // Only of a request that was never sent before it is known that it was not carried out.
        state: answered.call.kind === 'execute' && answered.call.origin === 'due' ? 'due' : currentOf(answered.call),
        reason: result.reason,
        askedForMs: result.afterMs,
      })
    case 'unknown':
      return applyFailure(tx, step, { state: currentOf(answered.call), reason: result.reason })
    default:
      return result satisfies never
  }
}

type Step = Answered & { readonly order: LockedOrder; readonly fulfilment: FulfilmentRow }

/** The provider was heard of. */
const ACCEPTED = {
  state: 'accepted',
  attempts: 0,
  last_error: null,
  leased_until: null,
} as const satisfies FulfilmentChange

/** What a fulfilment is while the outcome of a call is not known. */
const currentOf = (call: ProviderCall): ResumableState => (call.origin === 'accepted' ? 'accepted' : 'sent')

const clampPoll = (ms: number): number => Math.min(Math.max(ms, POLL_MIN_MS), POLL_MAX_MS)

/** It never arrived: sent again at once, or given up if the customer wants no more of it. */
async function applyNothingFound(tx: Queries, step: Step): Promise<Stuck | undefined> {
  const { order, fulfilment, settings } = step
  if (fulfilment.rechecks > 0) return recheckLater(tx, fulfilment)
  if (step.call.origin === 'accepted') {
    return applyFailure(tx, step, { state: 'accepted', reason: 'the provider does not know it any more' })
  }
  await setFulfilment(tx, fulfilment.fulfilment_id, { state: 'due', leased_until: null, dueInMs: 0 })
  if (!fulfilment.is_cancel_requested) return undefined
  await cancelUnsent(tx, order)
  await advanceOrder(tx, order, { settings })
  // It may still be on its way there.
  return recheckLater(tx, fulfilment)
}

async function applyLinesOf(
  tx: Queries,
  step: Step,
  { lines, ref }: { readonly lines: readonly LineOutcome[]; readonly ref: string | undefined },
): Promise<Stuck | undefined> {
  const { order, fulfilment, settings, call } = step
  const waiting = await applyLines(tx, { order, fulfilment, lines, settings })
  const knownRef = ref ?? call.ref
  const refusal = fulfilment.is_compensation ? lines.find((line) => line.kind === 'rejected') : undefined
  if (waiting.length > 0 && refusal?.kind === 'rejected') {
    // What could not be undone may turn out to be undone after all; until then it is asked after.
    const reason = `what was done could not be undone: ${refusal.code}: ${refusal.message}`
    await setFulfilment(tx, fulfilment.fulfilment_id, { provider_ref: knownRef ?? null })
    if (knownRef !== undefined) return applyFailure(tx, step, { state: 'accepted', reason })
    return stickFulfilment(tx, { order, fulfilment, origin: 'due', settings, reason })
  }
  if (waiting.length > 0 && !isPending(waiting, lines)) {
    // Part of the answer is missing.
    const told = { state: knownRef === undefined ? 'sent' : 'accepted', reason: 'no answer for some numbers' } as const
    await setFulfilment(tx, fulfilment.fulfilment_id, { provider_ref: knownRef ?? null })
    return applyFailure(tx, step, told)
  }
  await setFulfilment(
    tx,
    fulfilment.fulfilment_id,
    waiting.length === 0
      ? { ...FINISHED, provider_ref: knownRef ?? null, last_error: null, leased_until: null }
      : { ...ACCEPTED, provider_ref: knownRef ?? null, dueInMs: PENDING_POLL_MS },
  )
  if (waiting.length === 0 && !fulfilment.is_compensation && (await hasGivenUp(tx, fulfilment))) {
    if (lines.some((line) => line.kind === 'pending')) await abandonStray(tx, step, knownRef)
    else if (knownRef !== undefined) await recheckLater(tx, { ...fulfilment, provider_ref: knownRef })
  }
  await advanceOrder(tx, order, { settings })
  return undefined
}

/** Whether there are items of which the provider may still turn out to have done something. */
async function hasGivenUp(tx: Queries, fulfilment: FulfilmentRow): Promise<boolean> {
  const items = await itemsOf(tx, fulfilment.fulfilment_id)
  return items.some((item) => item.state !== 'completed')
}

/** What was given up turns out to be under way: it is abandoned, or awaited and undone. */
async function abandonStray(tx: Queries, step: Step, ref: string | undefined): Promise<void> {
  await setFulfilment(tx, step.fulfilment.fulfilment_id, {
    ...ACCEPTED,
    provider_ref: ref ?? null,
    rechecks: Math.max(1, step.fulfilment.rechecks),
    is_cancel_requested: canCancel(step) && step.call.kind !== 'cancel',
    dueInMs: PENDING_POLL_MS,
  })
}

const canCancel = ({ call }: Step): boolean => call.provider.capabilities.canCancel

/** Whether the provider said of each number that waits that it does. */
function isPending(waiting: readonly ItemRow[], lines: readonly LineOutcome[]): boolean {
  const pending = new Set(lines.filter((line) => line.kind === 'pending').map((line) => line.e164))
  return waiting.every((item) => pending.has(item.e164))
}

async function applyRefusal(
  tx: Queries,
  step: Step,
  refusal: { readonly code: string; readonly message: string },
): Promise<Stuck | undefined> {
  const { order, fulfilment, call, settings } = step
  if (call.kind === 'cancel') return continueUncancelled(tx, step, refusal)
  if (fulfilment.rechecks > 0) return recheckLater(tx, fulfilment)
  if (fulfilment.is_compensation) {
    const reason = `what was done could not be undone: ${refusal.code}: ${refusal.message}`
    return stickFulfilment(tx, { order, fulfilment, origin: 'due', settings, reason })
  }
  const items = await itemsOf(tx, fulfilment.fulfilment_id)
  const lines = items.map((item) => ({
    e164: item.e164,
    kind: 'rejected' as const,
    code: refusal.code,
    message: refusal.message,
  }))
  return applyLinesOf(tx, step, { lines, ref: undefined })
}

/** The provider goes on, and so does the order, unless part of it is cancelled already. */
async function continueUncancelled(
  tx: Queries,
  { order, fulfilment, settings }: Step,
  refusal: { readonly code: string; readonly message: string },
): Promise<undefined> {
  if (fulfilment.rechecks > 0) {
    const later = { ...ACCEPTED, is_cancel_requested: false, dueInMs: PENDING_POLL_MS }
    await setFulfilment(tx, fulfilment.fulfilment_id, later)
    return
  }
  await setFulfilment(tx, fulfilment.fulfilment_id, { ...ACCEPTED, is_cancel_requested: false, dueInMs: POLL_MIN_MS })
  const text = `the provider does not cancel: ${refusal.code}: ${refusal.message}`
  await appendHistory(tx, order.order_id, [{ kind: 'note', text }])
  const { others } = await tx
    .selectFrom('fulfilments')
    .select(({ fn }) => fn.countAll<string>().as('others'))
    .where('order_id', '=', order.order_id)
    .where('is_cancel_requested', '=', true)
    .executeTakeFirstOrThrow()
  if (Number(others) > 0) return
  await tx.updateTable('orders').set({ cancel_requested_at: null }).where('order_id', '=', order.order_id).execute()
  await advanceOrder(tx, { ...order, cancel_requested_at: null }, { settings })
}

async function applyFailure(
  tx: Queries,
  step: Step,
  failure: { readonly state: ResumableState; readonly reason: string; readonly askedForMs?: number | undefined },
): Promise<Stuck | undefined> {
  const { order, fulfilment, settings, call } = step
  const reason = failure.reason.slice(0, REASON_MAX)
  // Nothing waits for it.
  if (fulfilment.rechecks > 0 && call.attempt >= RECHECK_ATTEMPTS_MAX) return recheckLater(tx, fulfilment)
  if (call.attempt >= step.attemptsMax) {
    return stickFulfilment(tx, { order, fulfilment, origin: failure.state, settings, reason })
  }
  await setFulfilment(tx, fulfilment.fulfilment_id, {
    state: failure.state,
    last_error: reason,
    leased_until: null,
    dueInMs: retryDelayMs(call.attempt, step.random, failure.askedForMs),
  })
  // Lines that were told before may have changed items.
  await advanceOrder(tx, order, { settings })
  return undefined
}
