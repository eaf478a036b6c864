import type { InstanceId, InstanceRegistry } from '../../src/core/instances.ts'
import { toInstanceId } from '../../src/core/instances.ts'

/** Instances that come and go as a test says; their order is that of the list, unless `order` says otherwise. */
export class InstanceList {
  order: (ids: readonly InstanceId[], key: string) => readonly InstanceId[] = (ids) => ids
  readonly #listeners = new Set<() => void>()
  #ids: readonly InstanceId[] = []
  /** For how long every instance has been known. */
  steadyMs = 0

  /** Adds an instance, by default as the last in line. */
  join(name: string, place = this.#ids.length): InstanceRegistry {
    const self = { instanceId: toInstanceId(name), roles: ['channels'] }
    this.set(this.#ids.toSpliced(place, 0, self.instanceId))
    return {
      self,
      live: () => this.#ids.map((instanceId) => ({ instanceId, roles: ['channels'] })),
      ranked: (_role, key) => this.order(this.#ids, key),
      steadyMs: () => this.steadyMs,
      onChange: (listener) => {
        this.#listeners.add(listener)
        return () => this.#listeners.delete(listener)
      },
    }
  }

  /** One is dead. */
  drop(name: string): void {
    this.set(this.#ids.filter((id) => id !== name))
  }

  set(ids: readonly InstanceId[]): void {
    this.#ids = ids
    for (const listener of this.#listeners) listener()
  }
}
