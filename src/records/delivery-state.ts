import type { AttemptOutcome, DeliveryFact, DeliveryStatus } from '../core/delivery-record.ts'

/** The part of a delivery's record that changes. */
export type DeliveryState = {
  readonly status: DeliveryStatus
  readonly attempts: number
  readonly replays: number
  readonly expiresAt: number
  readonly endedAt?: number
  readonly nextAttemptAt?: number
  readonly lastAttemptAt?: number
  readonly lastOutcome?: AttemptOutcome
  readonly lastStatus?: number
  /** Ids of the facts that ended or replayed it, so that none of them counts twice. */
  readonly marks: readonly string[]
}

/** A delivery that only replays make longer: a fact is repeated long before a hundred others follow it. */
const MARKS_MAX = 100

/** A delivery just taken. */
export const newState = (expiresAt: number): DeliveryState => ({
  status: 'pending',
  attempts: 0,
  replays: 0,
  expiresAt,
  marks: [],
})

/**
 * What a fact makes of a delivery; the same object when it changes nothing. An `attempted` fact must not
 * have been applied before: whether it was is known by the row of the attempt. The end that is reported
 * first stands until a replay; but what was dropped while it was being sent, and arrived, was delivered.
 */
export function applyFact(state: DeliveryState, fact: Exclude<DeliveryFact, { kind: 'taken' }>): DeliveryState {
  if (fact.kind === 'attempted') return applyAttempt(state, fact)
  if (state.marks.includes(fact.factId)) return state
  const marks = [...state.marks, fact.factId].slice(-MARKS_MAX)
  const { endedAt: _ended, nextAttemptAt: _next, ...rest } = state
  if (fact.kind === 'replayed') {
    return { ...rest, marks, status: 'pending', replays: state.replays + 1, expiresAt: fact.expiresAt }
  }
  const counts = state.status === 'pending' || (state.status === 'dropped' && fact.status === 'delivered')
  return counts ? { ...rest, marks, status: fact.status, endedAt: fact.at } : { ...state, marks }
}

function applyAttempt(state: DeliveryState, fact: Extract<DeliveryFact, { kind: 'attempted' }>): DeliveryState {
  const { lastStatus: _status, nextAttemptAt: _next, ...rest } = state
  const { attempt, nextAttemptAt } = fact
  const arrived = state.status === 'dropped' && attempt.outcome === 'delivered'
  return {
    ...rest,
    ...(arrived && { status: 'delivered', endedAt: Math.round(attempt.startedAt + attempt.timing.totalMs) }),
    attempts: state.attempts + 1,
    lastAttemptAt: attempt.startedAt,
    lastOutcome: attempt.outcome,
    ...(attempt.status !== undefined && { lastStatus: attempt.status }),
    ...(state.status === 'pending' && nextAttemptAt !== undefined && { nextAttemptAt }),
  }
}
