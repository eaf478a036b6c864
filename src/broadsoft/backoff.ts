export type BackoffOptions = {
  /** The ceiling of the first delay. */
  readonly baseMs: number
  /** The ceiling never grows beyond this. */
  readonly capMs: number
  /** No delay is shorter: a peer that ends each attempt at once must not be stormed. */
  readonly floorMs: number
}

/**
 * Reconnecting channels: never at once, so that a server that opens and ends every channel is not stormed,
 * but soon. Without a channel rings are lost after a few seconds, and one request per node every few
 * seconds is no load for a server that is coming back; one that wants to be left alone longer says so
 * (`Retry-After`).
 */
export const CHANNEL_BACKOFF: BackoffOptions = { baseMs: 500, capMs: 5_000, floorMs: 250 }

/** A standby's channel: without it nothing is lost yet, and a network that allows no further channel in a set says so every time. */
export const STANDBY_BACKOFF: BackoffOptions = { baseMs: 500, capMs: 30_000, floorMs: 250 }

/** Repeating a failed subscription or read. */
export const WORK_BACKOFF: BackoffOptions = { baseMs: 500, capMs: 15_000, floorMs: 250 }

/**
 * Exponential backoff with full jitter: uniform in [0, base·2^failures), but within floor and cap.
 * `failures` counts the attempts that failed before, from 0; `random` is uniform in [0, 1).
 */
export function backoffMs(failures: number, random: number, options: BackoffOptions): number {
  const ceiling = Math.min(options.capMs, options.baseMs * 2 ** Math.min(Math.max(failures, 0), 30))
  return Math.max(options.floorMs, Math.floor(random * ceiling))
}
