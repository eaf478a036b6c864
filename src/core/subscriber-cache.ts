import type { StoredSubscriber } from './call-store.ts'
import { liveCallIds } from './subscriber-state.ts'

/**
 * The subscribers that this process used last, bounded by the calls they hold (tombstones included)
 * because those are what takes the memory.
 */
export class SubscriberCache {
  readonly #weightMax: number
  /** In order of last use. */
  readonly #entries = new Map<string, StoredSubscriber>()
  #weight = 0

  constructor(weightMax: number) {
    this.#weightMax = weightMax
  }

  get size(): number {
    return this.#entries.size
  }

  get(key: string): StoredSubscriber | undefined {
    const stored = this.#entries.get(key)
    if (stored === undefined) return undefined
    this.#entries.delete(key)
    this.#entries.set(key, stored)
    return stored
  }

  set(key: string, stored: StoredSubscriber): void {
    this.delete(key)
    this.#entries.set(key, stored)
    this.#weight += weightOf(stored)
    for (const oldest of this.#entries.keys()) {
      if (this.#weight <= this.#weightMax || oldest === key) break
      this.delete(oldest)
    }
  }

  /** The entry may differ from what is stored: it is kept under a version that nothing is stored under. */
  doubt(key: string): void {
    const stored = this.#entries.get(key)
    if (stored !== undefined) this.#entries.set(key, { version: DOUBTED, state: stored.state })
  }

  delete(key: string): void {
    const stored = this.#entries.get(key)
    if (stored === undefined) return
    this.#entries.delete(key)
    this.#weight -= weightOf(stored)
  }

  /** Those that have live calls, with their keys. */
  liveEntries(): readonly (readonly [key: string, stored: StoredSubscriber])[] {
    return [...this.#entries].filter(([, { state }]) => liveCallIds(state).length > 0)
  }

  clear(): void {
    this.#entries.clear()
    this.#weight = 0
  }
}

/** Versions in a store are longer. */
const DOUBTED = '?'

const weightOf = ({ state }: StoredSubscriber): number => 1 + state.calls.size
