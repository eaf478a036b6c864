import type { TestProject } from 'vitest/node'
import { makeStoreTemplates } from './store-templates.ts'

/** Before all tests of a run, once: what those that need stores share. */
export async function setup({ vitest }: TestProject): Promise<(() => Promise<void>) | undefined> {
  return vitest.projects.some(({ name }) => name !== 'unit') ? makeStoreTemplates() : undefined
}
