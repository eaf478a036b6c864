import type { PlaceOrder } from '../../model/order-terms.ts'
import type { Queries } from '../../store/database.ts'
import { REQUEST_STATUS } from '../model/status.ts'
import { lockClaimed, releaseRequest, type RequestClaim, type RequestRow } from '../store/request-rows.ts'
import { makeSteps, readStepOrder, readSteps, setStep, type RequestStep } from '../store/request-steps.ts'
import { ExpressionError } from '../model/expression.ts'
import { updateProvisionedObject } from './provisioned-object.ts'
import { ENGINE, enterStatus } from './request-state.ts'
import { holdRequest, isAllowed } from './safeguarding.ts'
import { planStep } from './step-plan.ts'
import type { ReadGlobals } from './step-values.ts'
import { appendUnsentCall } from './unsent-call.ts'

/** What a run comes to, for metrics and the log. */
export type RequestOutcome = 'complete' | 'in_error' | 'held'

/** What is to be done with a claimed request outside the transaction that looked at it. */
export type RequestMove =
  /** Nothing: it waits, or is somebody else's, or its run is over with this outcome. */
  | { readonly kind: 'rest'; readonly outcome?: RequestOutcome }
  | { readonly kind: 'place'; readonly step: RequestStep; readonly order: PlaceOrder; readonly number?: string }
  /** An order of a request that is in error; to be cancelled if it can be. */
  | { readonly kind: 'cancel'; readonly orderId: string; readonly customerId: string }

/** What a request is moved on with. */
export type Advancing = {
  readonly claim: RequestClaim
  readonly readGlobals: ReadGlobals
  /** How soon to look again at an order that should have told of its end. */
  readonly recheckMs: number
  /** Whether the open order of a request in error was asked to be cancelled just now. */
  readonly hasCancelled: boolean
}

const REST: RequestMove = { kind: 'rest' }
const restAs = (outcome: RequestOutcome): RequestMove => ({ kind: 'rest', outcome })

/**
 * Moves a claimed request as far as it goes without an order: holds it or lets it begin, takes the end of its order
 * into account, finds what is done already, and ends it. A request without steps waits for whoever does the work to
 * complete it, unless nobody may.
 */
export async function advanceRequest(tx: Queries, advancing: Advancing): Promise<RequestMove> {
  const request = await lockClaimed(tx, advancing.claim)
  if (request === undefined) return REST
  switch (request.status_id) {
    case REQUEST_STATUS.held:
      if (!(await isAllowed(tx, request))) return rest(tx, request)
      return begin(tx, await enter(tx, request, REQUEST_STATUS.submitted), advancing)
    case REQUEST_STATUS.submitted:
      return begin(tx, request, advancing)
    case REQUEST_STATUS.inProgress:
      return goOn(tx, { request, steps: await readSteps(tx, request.request_id), advancing })
    case REQUEST_STATUS.inError:
      return abandon(tx, request, advancing)
    case REQUEST_STATUS.complete:
    case REQUEST_STATUS.cancelled:
      return rest(tx, request)
    default:
      return request.status_id satisfies never
  }
}

async function rest(tx: Queries, { request_id: requestId }: RequestRow, dueInMs?: number): Promise<RequestMove> {
  await releaseRequest(tx, requestId, dueInMs)
  return REST
}

/** Another status, in which whoever has claimed it still works on it. */
const enter = (tx: Queries, request: RequestRow, to: RequestRow['status_id']): Promise<RequestRow> =>
  enterStatus(tx, request, { to, actor: ENGINE, more: claimOf(request) })

const claimOf = (request: RequestRow) => ({
  lease_token: request.lease_token,
  leased_until: request.leased_until,
  due_at: request.due_at,
})

async function begin(tx: Queries, request: RequestRow, advancing: Advancing): Promise<RequestMove> {
  const steps = await makeSteps(tx, request)
  if (!(await isAllowed(tx, request))) {
    await holdRequest(tx, { request, steps, readGlobals: advancing.readGlobals })
    return restAs('held')
  }
  return goOn(tx, { request: await enter(tx, request, REQUEST_STATUS.inProgress), steps, advancing })
}

type Going = { readonly request: RequestRow; readonly steps: readonly RequestStep[]; readonly advancing: Advancing }

async function goOn(tx: Queries, { request, steps, advancing }: Going): Promise<RequestMove> {
  const { request_id: requestId } = request
  const done: RequestStep[] = []
  for (const step of steps) {
    if (step.state === 'running') {
      const order = await readStepOrder(tx, step.order_id ?? '')
      if (order.isOpen) return rest(tx, request, advancing.recheckMs)
      if (order.state !== 'completed')
        return failStep(tx, { request, step, reason: order.outcome_reason ?? order.state })
      await setStep(tx, { requestId, sequenceNumber: step.sequence_number }, { state: 'done', error: null })
    }
    if (step.state !== 'waiting') {
      done.push(step)
      continue
    }
    if (!(await isAllowed(tx, request))) {
      await holdRequest(tx, { request, steps: steps.slice(done.length), readGlobals: advancing.readGlobals })
      return restAs('held')
    }
    const plan = await planStep(tx, { request, step, earlier: done, readGlobals: advancing.readGlobals })
    if (plan.kind === 'order') return { ...plan, kind: 'place', step }
    if (plan.kind === 'refused') return failStep(tx, { request, step, reason: plan.reason })
    await finishStep(tx, { request, step, plan })
    done.push({ ...step, state: 'done', e164: plan.number ?? null })
  }
  // Of one that is read-only nobody could say that its work is done elsewhere.
  if (steps.length === 0 && !request.is_read_only) return rest(tx, request)
  return complete(tx, request)
}

async function finishStep(
  tx: Queries,
  {
    request,
    step,
    plan,
  }: { request: RequestRow; step: RequestStep; plan: { readonly reason: string; readonly number?: string } },
): Promise<void> {
  await setStep(
    tx,
    { requestId: request.request_id, sequenceNumber: step.sequence_number },
    { state: 'done', e164: plan.number ?? null, error: null },
  )
  await appendUnsentCall(tx, { requestId: request.request_id, step, reason: plan.reason })
}

/** All steps are done. What the request makes of the object may still turn out not to be computable. */
async function complete(tx: Queries, request: RequestRow): Promise<RequestMove> {
  try {
    await updateProvisionedObject(tx, request)
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error
    await enterStatus(tx, request, { to: REQUEST_STATUS.inError, actor: ENGINE, note: error.message })
    return restAs('in_error')
  }
  await enterStatus(tx, request, { to: REQUEST_STATUS.complete, actor: ENGINE })
  return restAs('complete')
}

/** A step that cannot be done ends the run of its request; the caller has its lock. Call it last in the transaction. */
export async function failStep(
  tx: Queries,
  { request, step, reason }: { readonly request: RequestRow; readonly step: RequestStep; readonly reason: string },
): Promise<RequestMove> {
  const sequenceNumber = step.sequence_number
  await setStep(tx, { requestId: request.request_id, sequenceNumber }, { state: 'failed', error: reason })
  const note = `Step ${sequenceNumber}, ${step.action_code}: ${reason}`
  await enterStatus(tx, request, { to: REQUEST_STATUS.inError, actor: ENGINE, note: note.slice(0, NOTE_LENGTH_MAX) })
  return restAs('in_error')
}

const NOTE_LENGTH_MAX = 4_000

/** Of a request that somebody else put in error: its open order is cancelled, and what came of it is written down. */
async function abandon(tx: Queries, request: RequestRow, advancing: Advancing): Promise<RequestMove> {
  const step = (await readSteps(tx, request.request_id)).find(({ state }) => state === 'running')
  if (step === undefined) return rest(tx, request)
  const order = await readStepOrder(tx, step.order_id ?? '')
  if (order.isOpen) {
    if (advancing.hasCancelled) return rest(tx, request, advancing.recheckMs)
    return { kind: 'cancel', orderId: order.order_id, customerId: order.customer_id }
  }
  const isDone = order.state === 'completed'
  await setStep(
    tx,
    { requestId: request.request_id, sequenceNumber: step.sequence_number },
    isDone ? { state: 'done', error: null } : { state: 'failed', error: order.outcome_reason ?? order.state },
  )
  return rest(tx, request)
}
