import type { StreamFilter } from './filter.ts'
import { Filter } from './filter.ts'

const KEPT_MAX = 1_000

/** An app's filters: whoever asks for the same gets the same object, so that it is applied once for all of them. */
export class Filters {
  readonly #known = new Map<string, Filter>()

  get(filter: StreamFilter): Filter {
    const key = toKey(filter)
    const found = this.#known.get(key) ?? new Filter(filter)
    // The least recently asked for comes first. Those who have one that is forgotten here keep it.
    this.#known.delete(key)
    this.#known.set(key, found)
    const [oldest] = this.#known.keys()
    if (this.#known.size > KEPT_MAX && oldest !== undefined) this.#known.delete(oldest)
    return found
  }
}

const toKey = ({ subscriber_ids: ids, event_types: types }: StreamFilter): string =>
  JSON.stringify([ids && [...new Set(ids)].toSorted(), types && [...new Set(types)].toSorted()])
