import type { WantedSubscribers } from '../core/adapter.ts'
import type { Directory } from '../core/directory.ts'
import type { NetworkId, SubscriberId } from '../core/ids.ts'

/**
 * The subscribers wanted in one network. The directory tells about every change in any network;
 * `check` passes on only those that change this list.
 */
export class WantedView implements WantedSubscribers {
  readonly #directory: Directory
  readonly #networkId: NetworkId
  readonly #listeners = new Set<() => void>()
  #last: readonly SubscriberId[]

  constructor(directory: Directory, networkId: NetworkId) {
    this.#directory = directory
    this.#networkId = networkId
    this.#last = directory.subscribersOf(networkId)
  }

  list(): readonly SubscriberId[] {
    return this.#directory.subscribersOf(this.#networkId)
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Tells the listeners if the list differs from the one at the last check. */
  check(): void {
    const current = this.list()
    const isSame = isSameList(this.#last, current)
    this.#last = current
    if (!isSame) for (const listener of this.#listeners) listener()
  }
}

function isSameList(before: readonly SubscriberId[], after: readonly SubscriberId[]): boolean {
  if (before === after) return true
  if (before.length !== after.length) return false
  const known = new Set(before)
  return after.every((subscriberId) => known.has(subscriberId))
}
