import { setTimeout as delay } from 'node:timers/promises'

/**
 * Resolves with the first defined result of `probe`, asked again and again; fails after `timeoutMs`. What is dear to
 * ask is asked less often, so that tests which wait leave the processor to those that work: no place to look for what
 * lasts for a moment.
 */
export async function until<Result>(
  what: string,
  probe: () => Result | undefined | Promise<Result | undefined>,
  timeoutMs = 15_000,
): Promise<Result> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const askedAt = performance.now()
    const result = await probe()
    if (result !== undefined && result !== false) return result
    const now = performance.now()
    if (now > deadline) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`)
    await delay(Math.min(Math.max(10, 4 * (now - askedAt)), 250))
  }
}

/** Resolves once `assertion` holds, tried every 10 ms; after `timeoutMs` rejects as it does. */
export async function untilHolds(assertion: () => unknown, timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    try {
      await assertion()
      return
    } catch (error) {
      if (performance.now() > deadline) throw error
      await delay(10)
    }
  }
}
