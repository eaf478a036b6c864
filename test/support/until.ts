import { setTimeout as delay } from 'node:timers/promises'

/** Resolves with the first defined result of `probe`, asked again and again; fails after `timeoutMs`. */
export async function until<Result>(
  what: string,
  probe: () => Result | undefined | Promise<Result | undefined>,
  timeoutMs = 15_000,
): Promise<Result> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const result = await probe()
    if (result !== undefined && result !== false) return result
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`)
    await delay(10)
  }
}
