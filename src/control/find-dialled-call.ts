import type { Call } from '../core/call.ts'
import { isSameNumber } from './phone-number.ts'

/** The network's clock and ours may differ by this much. */
const CLOCK_SKEW_MS = 2_000
/** Until when after the request its call may have started: a click-to-dial call restarts when it is picked up. */
const START_WINDOW_MS = 120_000

export type DialAttempt = {
  readonly remoteNumber: string
  /** When the request that may have dialled was claimed, in milliseconds since the epoch. */
  readonly startedAt: number
}

/**
 * The call that an interrupted request must have made, among the subscriber's calls: outgoing, to the
 * same number, started when the request ran. Undefined when there is none, and also when there are
 * several: then nobody can tell which is which, and to guess would give an app somebody else's call.
 */
export function findDialledCall(calls: readonly Call[], attempt: DialAttempt): Call | undefined {
  const candidates = calls.filter(
    (call) =>
      call.direction === 'outgoing' &&
      isSameNumber(call.remoteNumber, attempt.remoteNumber) &&
      call.startedAt >= attempt.startedAt - CLOCK_SKEW_MS &&
      call.startedAt <= attempt.startedAt + START_WINDOW_MS,
  )
  return candidates.length === 1 ? candidates[0] : undefined
}
