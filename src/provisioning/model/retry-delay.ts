const BASE_MS = 1_000
const CAP_MS = 600_000
const FLOOR_MS = 250

/**
 * How long to leave a provider alone after `failures` attempts (from 1) that came to nothing: exponential
 * backoff with full jitter, but not shorter than the provider itself asked for. `random` is uniform in [0, 1).
 */
export function retryDelayMs(failures: number, random: number, askedForMs = 0): number {
  const ceiling = Math.min(CAP_MS, BASE_MS * 2 ** Math.min(Math.max(failures - 1, 0), 30))
  return Math.max(FLOOR_MS, Math.floor(random * ceiling), Math.min(askedForMs, 3_600_000))
}
