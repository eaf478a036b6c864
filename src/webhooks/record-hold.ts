import type { Clock } from '../core/clock.ts'
import type { DeliveryFact } from '../core/delivery-record.ts'
import type { ClaimedFacts } from './record-log.ts'

/** A fact, the entry that tells it and the entry before that one, and when it was read, in monotonic milliseconds. */
type Item = {
  readonly fact: DeliveryFact
  readonly entryId: string
  readonly previousId: string | undefined
  readonly readAt: number
}

export type ReadyFacts = {
  readonly facts: readonly DeliveryFact[]
  /** Nothing is left for want of room. */
  readonly isAll: boolean
  /** The entry up to which nothing is held back then, if there is any. */
  readonly last: string | undefined
}

/** For so long a delivery's end is waited for: longer than nearly all take, shorter than anybody waits to see one. */
const HOLD_MS = 1_000
/** Beyond so many facts nothing is waited for. */
const HELD_MAX = 20_000

/**
 * Holds back what is known of deliveries that have only just begun, so that they are written once, when they have
 * ended: a delivery that is inserted first and updated later costs the records twice as much. What is held back
 * stays in the log, so that nothing is lost with this process.
 */
export class RecordHold {
  readonly #clock: Pick<Clock, 'monotonic'>
  #items: readonly Item[] = []
  #left: readonly Item[] = []
  #lastRead: string | undefined

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock
  }

  /** After which entry to read on; undefined to read from the oldest. */
  get after(): string | undefined {
    return this.#items.length === 0 ? undefined : this.#lastRead
  }

  /** The oldest fact that was read and not written. */
  get oldest(): DeliveryFact | undefined {
    return this.#items[0]?.fact
  }

  /** Adds what was read after {@link after}. */
  add({ facts, entryIds, last }: Pick<ClaimedFacts, 'facts' | 'entryIds' | 'last'>): void {
    const readAt = this.#clock.monotonic()
    const { after } = this
    let [entryId, previousId] = [after, after]
    const items: Item[] = [...this.#items]
    for (const [i, fact] of facts.entries()) {
      const id = entryIds[i] ?? ''
      if (id !== entryId) [previousId, entryId] = [entryId, id]
      items.push({ fact, entryId: id, previousId, readAt })
    }
    this.#items = items
    this.#lastRead = last ?? after
  }

  /**
   * About `limit` facts to be written now, in order: those about deliveries that have ended, or have been waited for
   * long enough, or `all`. What is known of a delivery is never divided by the limit. The others are for later.
   */
  next(limit: number, { all }: { readonly all: boolean }): ReadyFacts {
    const isHolding = !all && this.#items.length <= HELD_MAX
    const youngest = this.#clock.monotonic() - HOLD_MS
    const sorter = new Sorter(this.#items, limit)
    const ready: DeliveryFact[] = []
    const left: Item[] = []
    for (const item of this.#items) {
      if (sorter.isReady(item.fact, isHolding && item.readAt > youngest)) ready.push(item.fact)
      else left.push(item)
    }
    this.#left = left
    return { facts: ready, isAll: sorter.room > 0, last: left.length === 0 ? this.#lastRead : left[0]?.previousId }
  }

  /** What {@link next} gave is written. */
  done(): void {
    this.#items = this.#left
  }

  /** Forgets everything: it is to be read again. */
  clear(): void {
    this.#items = []
    this.#lastRead = undefined
  }
}

/** Says of facts, in their order, which are to be written. */
class Sorter {
  /** How many more. */
  room: number
  readonly #counts = new Map<string, number>()
  readonly #ended = new Set<string>()
  /** Deliveries of which everything is written, or nothing. */
  readonly #chosen = new Set<string>()
  readonly #waiting = new Set<string>()

  constructor(items: readonly Item[], limit: number) {
    this.room = limit
    for (const { fact } of items) {
      if (fact.kind === 'taken') continue
      this.#counts.set(fact.deliveryId, (this.#counts.get(fact.deliveryId) ?? 0) + 1)
      if (fact.kind === 'ended') this.#ended.add(fact.deliveryId)
    }
  }

  /** `mayWait`: it is young enough. */
  isReady(fact: DeliveryFact, mayWait: boolean): boolean {
    const ids = fact.kind === 'taken' ? fact.endpoints.map(({ deliveryId }) => deliveryId) : [fact.deliveryId]
    if (ids.some((id) => this.#chosen.has(id))) return true
    const isOpen = fact.kind === 'taken' && ids.some((id) => !this.#ended.has(id))
    if (this.room > 0 && !(mayWait && isOpen) && !ids.some((id) => this.#waiting.has(id))) {
      this.#choose(ids)
      return true
    }
    for (const id of ids) this.#waiting.add(id)
    return false
  }

  #choose(ids: readonly string[]): void {
    for (const id of ids) {
      this.#chosen.add(id)
      this.room -= 1 + (this.#counts.get(id) ?? 0)
    }
  }
}
