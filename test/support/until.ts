import { setTimeout as delay } from 'node:timers/promises'

/**
 * Resolves with the first defined result of `probe`, asked again and again; fails after `timeoutMs`. What is dear to
 * ask is asked less often: tests that wait are to leave the processor to those that work.
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
    await delay(pauseAfter(now - askedAt))
  }
}

/** Resolves once `assertion` holds, tried again and again; after `timeoutMs` rejects as it does. */
export async function untilHolds(assertion: () => unknown, timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const askedAt = performance.now()
    try {
      await assertion()
      return
    } catch (error) {
      const now = performance.now()
      if (now > deadline) throw error
      await delay(pauseAfter(now - askedAt))
    }
  }
}

const pauseAfter = (costMs: number): number => Math.min(Math.max(10, 4 * costMs), 250)
