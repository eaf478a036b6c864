import { strict as assert } from 'node:assert'
import type { LaneRules } from '../../src/webhooks/delivery.ts'
import type { EndpointStatus } from '../../src/webhooks/store-replies.ts'

/** A plain account of what keeps endpoints' lanes waiting: slots, pauses, rate limits, breakers. */
export class GateLedger {
  readonly #rules: LaneRules
  readonly #now: () => number
  readonly #begun = new Map<string, number[]>()
  readonly #paused = new Map<string, number>()
  readonly #rows = new Map<string, { readonly count: number; readonly began: number; readonly last: number }>()

  constructor(rules: LaneRules, now: () => number) {
    this.#rules = rules
    this.#now = now
  }

  /** It is right that a lane begins beside so many others, given what the endpoint was like before. */
  checkBegin(name: string, before: EndpointStatus, others: number): void {
    assert.ok(others < this.#rules.slots, 'more lanes in work than there are slots')
    assert.ok((this.#paused.get(name) ?? 0) <= this.#now(), 'begun while the endpoint is paused')
    if (before.breaker !== 'closed') {
      assert.ok((before.openUntil ?? 0) <= this.#now(), 'begun while the breaker is open')
      assert.equal(others, 0, 'more than one probe')
    }
    this.#countBegun(name)
  }

  pause(name: string, until: number): void {
    if (until > this.#now()) this.#paused.set(name, until)
  }

  succeed(name: string): void {
    this.#rows.delete(name)
  }

  forget(name: string): void {
    this.#paused.delete(name)
    this.#begun.delete(name)
    this.#rows.delete(name)
  }

  /** What the breaker must not overlook: ten failures in a row, the first of them three seconds ago or more. */
  countFailure(name: string, breaker: string): void {
    const now = this.#now()
    const row = this.#rows.get(name)
    const goesOn = row !== undefined && now - row.last <= 10_000
    const next = goesOn ? { ...row, count: row.count + 1, last: now } : { count: 1, began: now, last: now }
    this.#rows.set(name, next)
    if (next.count >= 10 && now - next.began >= 3_000) assert.notEqual(breaker, 'closed', 'nothing but failure')
  }

  #countBegun(name: string): void {
    const { ratePerSecond } = this.#rules
    if (ratePerSecond === undefined) return
    const begun = [...(this.#begun.get(name) ?? []), this.#now()]
    this.#begun.set(name, begun)
    begun.forEach((since, i) => {
      const most = ratePerSecond + ((this.#now() - since) * ratePerSecond) / 1_000
      assert.ok(begun.length - i <= most + 0.001, `${begun.length - i} begun within ${this.#now() - since} ms`)
    })
  }
}
