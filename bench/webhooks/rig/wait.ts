import { setTimeout as delay } from 'node:timers/promises'
import { preciseNow } from './figures.ts'

/** Resolves once `holds`; rejects after `timeoutMs`. */
export async function waitUntil(
  what: string,
  holds: () => boolean | Promise<boolean>,
  { timeoutMs = 60_000, pollMs = 50 }: { readonly timeoutMs?: number; readonly pollMs?: number } = {},
): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`)
    await delay(pollMs)
  }
}

/**
 * Calls `emit` for 0, 1, 2 … at an even pace, each call with the time (see {@link preciseNow}) at which it
 * was due. Open loop: falling behind does not stretch the schedule.
 */
export async function paced(
  { perSecond, seconds }: { readonly perSecond: number; readonly seconds: number },
  emit: (index: number) => void,
): Promise<void> {
  const total = Math.round(perSecond * seconds)
  const startedAt = preciseNow()
  for (let index = 0; index < total;) {
    const due = Math.min(total, Math.floor(((preciseNow() - startedAt) * perSecond) / 1_000) + 1)
    for (; index < due; index += 1) emit(index)
    if (index < total) await delay(Math.max(1, Math.min(10, startedAt + (index * 1_000) / perSecond - preciseNow())))
  }
}
