/** When a failed attempt is repeated. */
export type RetrySchedule = {
  /** The longest wait before each retry, in order; the last one repeats. */
  readonly delaysMs: readonly number[]
  /** How long after the gateway took the event it is given up. */
  readonly horizonMs: number
}

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

/** Fast while a phone may still ring, then politely for three days. */
export const RETRY_SCHEDULE: RetrySchedule = {
  delaysMs: [
    SECOND / 2,
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    4 * HOUR,
    6 * HOUR,
    12 * HOUR,
  ],
  horizonMs: 72 * HOUR,
}

/**
 * When to try again after `failed` failed attempts (1 or more), in milliseconds since the epoch, or
 * undefined when the event is to be given up. Each wait is jittered into [half, full] so that many
 * failures at once do not come back at once; `notBefore` (a Retry-After) is honoured. The last attempt
 * is at the horizon itself.
 */
export function nextAttemptAt(
  schedule: RetrySchedule,
  {
    failed,
    acceptedAt,
    now,
    random,
    notBefore = 0,
  }: {
    readonly failed: number
    readonly acceptedAt: number
    readonly now: number
    /** Uniform in [0, 1). */
    readonly random: () => number
    readonly notBefore?: number
  },
): number | undefined {
  const giveUpAt = acceptedAt + schedule.horizonMs
  if (now >= giveUpAt) return undefined
  const full = schedule.delaysMs[Math.min(failed, schedule.delaysMs.length) - 1] ?? SECOND
  const due = now + Math.round(full * (0.5 + random() / 2))
  return Math.min(Math.max(due, notBefore), giveUpAt)
}
