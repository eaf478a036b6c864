import type { StreamFilter } from './filter.ts'
import { Filter } from './filter.ts'

const KEPT_MAX = 1_000
/** Of their keys, in UTF-16 units: a filter may name a thousand subscribers. */
const KEPT_LENGTH_MAX = 1024 * 1024

/** An app's filters: whoever asks for the same gets the same object, so that it is applied once for all of them. */
export class Filters {
  readonly #known = new Map<string, Filter>()
  #length = 0

  get(filter: StreamFilter): Filter {
    const key = toKey(filter)
    const found = this.#known.get(key)
    const wanted = found ?? new Filter(filter)
    // The least recently asked for comes first. Those who have one that is forgotten here keep it.
    if (found !== undefined) this.#forget(key)
    this.#known.set(key, wanted)
    this.#length += key.length
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= KEPT_MAX && this.#length <= KEPT_LENGTH_MAX) break
      this.#forget(oldest)
    }
    return wanted
  }

  #forget(key: string): void {
    this.#known.delete(key)
    this.#length -= key.length
  }
}

const toKey = ({ subscriber_ids: ids, event_types: types }: StreamFilter): string =>
  JSON.stringify([ids && [...new Set(ids)].toSorted(), types && [...new Set(types)].toSorted()])
