import { strict as assert } from 'node:assert'
import type { EndedStatus } from '../../src/core/delivery-record.ts'
import type { LaneRules } from '../../src/webhooks/delivery.ts'
import { deliveryOf, goesStale, idOf, splitId } from './delivery-item.ts'
import type { Item } from './delivery-item.ts'
import { eventId } from './delivery-rig.ts'
import type { DueTurn } from './delivery-rig.ts'

/** A plain account of what is pending, in which order, and of what came to an end and why it may. */
export class DeliveryLedger {
  /** Ended deliveries that may be replayed. */
  readonly ended: Item[] = []
  /** What the present step itself ends: delivery id → status. */
  readonly settling = new Map<string, EndedStatus>()
  isRemoving = false
  isSweeping = false
  readonly #rules: LaneRules
  readonly #now: () => number
  /** What is pending, by endpoint and order key, in the order of intake. */
  readonly #lanes = new Map<string, Item[]>()
  readonly #skipped = new Map<string, string[]>()

  constructor(rules: LaneRules, now: () => number) {
    this.#rules = rules
    this.#now = now
  }

  /** A record that held up its lane goes on in one of its own, `key`. */
  setAside(name: string, key: string, at: number): void {
    const id = key.slice('parked:'.length)
    const entry = [...this.#lanes].find(([laneId, items]) => {
      return splitId(laneId)[0] === name && items[0] !== undefined && eventId(items[0].offset) === id
    })
    const item = entry?.[1][0]
    assert.ok(entry !== undefined && item !== undefined, `set aside: ${key}`)
    assert.ok(!goesStale(item), 'only records and replays are set aside')
    this.#checkHold(item)
    assert.equal(at, Math.max(item.due, this.#now()), 'when a record that was set aside goes on')
    entry[1].shift()
    this.#noteSkipped(item, 'parked')
    item.key = key
    item.token += 'p'
    this.laneOf(name, key).push(item)
  }

  /** Checks an end that was recorded, and notes it. */
  end(deliveryId: string, status: EndedStatus, isOwned: (item: Item) => boolean): void {
    const now = this.#now()
    const items = [...this.#lanes.values()].find((own) => own.some((item) => deliveryOf(item) === deliveryId))
    const item = items?.find((own) => deliveryOf(own) === deliveryId)
    assert.ok(items !== undefined && item !== undefined, `${status}, but it is not pending: ${deliveryId}`)
    const isFirst = items[0] === item
    if (this.settling.get(deliveryId) === status) {
      this.settling.delete(deliveryId)
      if (status === 'delivered') this.#skipped.delete(idOf(item.name, item.key))
    } else {
      switch (status) {
        case 'expired':
          assert.ok(item.expiresAt <= now, 'expired too early')
          assert.ok(isFirst || this.isSweeping, 'expired out of order')
          assert.ok(!this.isSweeping || !isOwned(item), 'taken from under its owner')
          break
        case 'superseded':
          assert.ok(this.#rules.coalesce && goesStale(item), 'must not be superseded')
          assert.ok(isFirst && this.#followingOf(item) !== undefined, 'superseded by nothing')
          break
        case 'parked':
          assert.ok(goesStale(item), 'a record or a replay goes on by itself')
          this.#checkHold(item)
          break
        case 'dropped':
          assert.ok(this.isRemoving, 'dropped, but the endpoint is there')
          break
        case 'delivered':
          assert.fail('delivered by nobody')
      }
    }
    items.splice(items.indexOf(item), 1)
    this.ended.push(item)
    if (status !== 'delivered' && status !== 'dropped') this.#noteSkipped(item, status)
  }

  #checkHold(item: Item): void {
    const following = this.#followingOf(item)
    assert.equal(this.laneOf(item.name, item.key)[0], item, 'only the first event holds up others')
    assert.ok(item.attempts > 0, 'it was not attempted')
    assert.ok(following !== undefined, 'it held up nothing')
    assert.ok(following.takenAt + this.#rules.orderHoldMs <= this.#now(), 'the hold has not ended')
  }

  /** It is right that this event goes out, and not the one behind it. */
  #checkPrecedence(first: Item): void {
    const following = this.#followingOf(first)
    if (following === undefined) return
    assert.ok(!this.#rules.coalesce || !goesStale(first), 'an overtaken change was handed out')
    const holdEnds = following.takenAt + this.#rules.orderHoldMs
    assert.ok(first.attempts === 0 || holdEnds > this.#now(), 'the next event was held up for too long')
  }

  /** What waits behind the first event of a lane: of the next eight the first one that has not expired. */
  #followingOf({ name, key }: Item): Item | undefined {
    return this.laneOf(name, key)
      .slice(1, 9)
      .find(({ expiresAt }) => expiresAt > this.#now())
  }

  #noteSkipped({ name, key, offset }: Item, why: string): void {
    const id = idOf(name, key)
    this.#skipped.set(id, [...(this.#skipped.get(id) ?? []), `${offset};${why}`])
  }

  /** When a lane is to be looked at, given its first event. */
  resumesAt(first: Item): number {
    const following = this.#followingOf(first)
    if (following === undefined || first.attempts === 0) return first.due
    return Math.min(first.due, Math.max(this.#now(), following.takenAt + this.#rules.orderHoldMs))
  }

  /** What is pending in a lane, in the order of intake; changing it changes the account. */
  laneOf(name: string, key: string): Item[] {
    const id = idOf(name, key)
    const items = this.#lanes.get(id) ?? []
    this.#lanes.set(id, items)
    return items
  }

  pendingOf(name: string): number {
    return [...this.#lanes].reduce((sum, [id, items]) => (splitId(id)[0] === name ? sum + items.length : sum), 0)
  }

  /** It is right that this turn is given for the first event of a lane. */
  checkTurn(first: Item, turn: DueTurn): void {
    assert.equal(turn.pending.token, first.token, 'the first event of the lane')
    assert.ok(first.expiresAt > this.#now(), 'an expired event was handed out')
    assert.ok(this.resumesAt(first) <= this.#now(), 'an event was handed out before it is due')
    this.#checkPrecedence(first)
    assert.deepEqual([turn.attempts, turn.failed], [first.attempts, first.failed], 'attempts so far')
    const skipped = this.#skipped.get(idOf(first.name, first.key)) ?? []
    assert.deepEqual(turn.skipped, skipped.slice(-32), 'what was left out')
  }

  /** The lanes of an endpoint that have something pending; to be handed to `forgetSkipped`. */
  pendingLanesOf(name: string): readonly string[] {
    return [...this.#lanes].flatMap(([id, items]) => (splitId(id)[0] === name && items.length > 0 ? [id] : []))
  }

  forgetSkipped(ids: readonly string[]): void {
    for (const id of ids) this.#skipped.delete(id)
  }

  /** `endpoint, order key` of every lane there was. */
  lanes(): readonly (readonly string[])[] {
    return [...this.#lanes.keys()].map(splitId)
  }
}
