import { say, type Condition } from '../webhooks/rig/figures.ts'

/** What a bench has to show. A busy machine misses `timing` without anything being wrong. */
export type Goal = Condition & { readonly kind: 'timing' | 'correctness' }

export const timing = (what: string, holds: boolean, seen: string): Goal => ({ kind: 'timing', what, holds, seen })
export const correctness = (what: string, holds: boolean, seen: string): Goal => ({
  kind: 'correctness',
  what,
  holds,
  seen,
})

/**
 * Prints which goals are met. The process exits with 1 when one of correctness is not, and with `strict`
 * when any is not.
 */
export function report(goals: readonly Goal[], { strict }: { readonly strict: boolean }): void {
  say()
  for (const { what, holds, seen } of goals) say(`${holds ? 'ok    ' : 'MISSED'}  ${what}: ${seen}`)
  if (goals.some(({ holds, kind }) => !holds && (strict || kind === 'correctness'))) process.exitCode = 1
}
