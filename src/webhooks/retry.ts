import type { DeliveryPolicy } from '../core/delivery-policy.ts'

/** A retry that would come this close to the end of an event's life, or later, is too late to be of use. */
const LAST_MOMENT_MS = 500

/**
 * When to try again after `failed` failed rounds (1 or more), in milliseconds since the epoch, or
 * undefined when that would be too late. Each wait is jittered into [half, full], so that many failures
 * at once do not come back at once; `notBefore` (a Retry-After) is honoured. A retry that the event would
 * not live to see is brought forward to its last moment, if that is within the jitter.
 */
export function nextAttemptAt(
  policy: Pick<DeliveryPolicy, 'delaysMs'>,
  {
    failed,
    expiresAt,
    now,
    random,
    notBefore = 0,
  }: {
    readonly failed: number
    readonly expiresAt: number
    readonly now: number
    /** Uniform in [0, 1). */
    readonly random: () => number
    readonly notBefore?: number
  },
): number | undefined {
  const full = policy.delaysMs[Math.min(failed, policy.delaysMs.length) - 1] ?? 1_000
  const earliest = Math.max(Math.ceil(now + full / 2), notBefore)
  const due = Math.max(Math.round(now + full * (0.5 + random() / 2)), notBefore)
  const last = expiresAt - LAST_MOMENT_MS
  if (due <= last) return due
  return earliest <= last ? last : undefined
}
