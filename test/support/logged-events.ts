import { toEndpointId } from '../../src/core/ids.ts'
import type { LaneRules } from '../../src/webhooks/delivery.ts'
import type { Batch } from '../../src/webhooks/delivery-store.ts'
import { createItem, storedEvent } from './delivery-item.ts'
import type { Item } from './delivery-item.ts'
import type { DeliveryLedger } from './delivery-ledger.ts'
import { appId, position } from './delivery-rig.ts'
import type { LoggedEntry } from './delivery-steps.ts'

/** An app's log, and how far each endpoint must have got with it. */
export class LoggedEvents {
  readonly #names: readonly string[]
  readonly #rules: LaneRules
  readonly #backlogMax: number
  readonly #ledger: DeliveryLedger
  readonly #now: () => number
  readonly #log: LoggedEntry[] = []
  readonly #cursors = new Map<string, number>()

  constructor(options: {
    readonly names: readonly string[]
    readonly rules: LaneRules
    readonly backlogMax: number
    readonly ledger: DeliveryLedger
    readonly now: () => number
  }) {
    this.#names = options.names
    this.#rules = options.rules
    this.#backlogMax = options.backlogMax
    this.#ledger = options.ledger
    this.#now = options.now
  }

  get length(): number {
    return this.#log.length
  }

  append(entries: readonly LoggedEntry[]): void {
    this.#log.push(...entries)
  }

  /** An endpoint begins, or begins again, at the end of the log. */
  open(name: string): void {
    this.#cursors.set(name, this.#log.length)
  }

  lagOf(name: string): number {
    return this.#log.length - (this.#cursors.get(name) ?? 0)
  }

  /**
   * The next batch for some endpoints, `back` entries of it for the second time, what they must take of it, and
   * whose backlog must turn out to be full. Undefined when there is none.
   */
  take(names: readonly string[], back: number) {
    const from = Math.max(0, Math.min(...names.map((name) => this.#cursors.get(name) ?? 0)) - back)
    const entries = this.#log.slice(from, from + 8)
    if (entries.length === 0) return undefined
    const full: string[] = []
    const items: Item[] = []
    const endpoints = names.map((name) => {
      const own = entries.flatMap((entry, place) =>
        entry.to.some((index) => this.#names[index % this.#names.length] === name)
          ? [{ place, item: createItem(name, entry, { offset: from + 1 + place, now: this.#now() }) }]
          : [],
      )
      let cursor = from + entries.length
      let count = this.#ledger.pendingOf(name)
      for (const { item } of own) {
        if (item.offset <= (this.#cursors.get(name) ?? 0)) continue
        if (count >= this.#backlogMax) {
          full.push(name)
          cursor = item.offset - 1
          break
        }
        count += 1
        items.push(item)
      }
      this.#cursors.set(name, Math.max(cursor, this.#cursors.get(name) ?? 0))
      const wanted = own.map(({ place, item: { token } }) => ({ place, token }))
      return { endpointId: toEndpointId(name), rules: this.#rules, wanted }
    })
    const batch: Batch = {
      appId,
      last: position(from + entries.length),
      events: entries.map((entry, i) => storedEvent(entry.class, entry.key, from + 1 + i)),
      endpoints,
    }
    return { batch, items, full }
  }
}
