import { afterEach } from 'vitest'

/** What is pushed into the list in a test is called after it, the last one first. */
export function useCleanups(): (() => Promise<unknown>)[] {
  const cleanups: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
  })
  return cleanups
}
