import * as fc from 'fast-check'
import { ENDED_STATUSES } from '../../src/core/delivery-record.ts'
import type { DeliveryFact } from '../../src/core/delivery-record.ts'
import { attempted, ENDPOINT, T0, taken } from './delivery-facts.ts'

/** A sequence of facts as the engine reports them, and batches of it that go back any distance any time. */
export const history = fc
  .array(fc.record({ delivery: fc.nat({ max: 11 }), kind: fc.nat({ max: 9 }), value: fc.nat({ max: 9 }) }), {
    minLength: 30,
    maxLength: 120,
  })
  .chain((steps) => {
    const facts = toFacts(steps)
    return fc.record({
      facts: fc.constant(facts),
      batches: fc
        .array(fc.record({ back: fc.nat({ max: facts.length }), size: fc.integer({ min: 1, max: 60 }) }), {
          maxLength: 12,
        })
        .map((moves) => toBatches(moves, facts.length)),
    })
  })

function toBatches(
  moves: readonly { readonly back: number; readonly size: number }[],
  length: number,
): readonly (readonly [number, number])[] {
  const batches: (readonly [number, number])[] = []
  let written = 0
  for (const { back, size } of moves) {
    // Every third goes on where the one before ended; the others go back and may end before it.
    const from = batches.length % 3 === 0 ? written : Math.max(0, written - back)
    const to = Math.min(length, from + size)
    batches.push([from, to])
    written = Math.max(written, to)
  }
  return [...batches, [written, length], [0, length]]
}

/** Deliveries 0 to 9 are taken before anything else of them, two of one event at once; 10 and 11 never are. */
function toFacts(
  steps: readonly { readonly delivery: number; readonly kind: number; readonly value: number }[],
): readonly DeliveryFact[] {
  const facts: DeliveryFact[] = []
  const known = new Set<number>()
  for (const [n, { delivery, kind, value }] of steps.entries()) {
    const id = `msg_${delivery}`
    const factId = `fact-${n}`
    if (delivery < 10 && !known.has(delivery)) {
      known.add(delivery)
      const fact = taken(id, { eventId: `e${Math.floor(delivery / 3)}`, at: T0 + n })
      const second = { endpointId: ENDPOINT, deliveryId: 'msg_9', class: 'record', expiresAt: T0 + n } as const
      const isPair = delivery === 8 && !known.has(9)
      if (isPair) known.add(9)
      facts.push(isPair ? { ...fact, endpoints: [...fact.endpoints, second] } : fact)
    }
    if (kind < 5) {
      const outcome = value < 3 ? 'delivered' : 'timeout'
      const attempt = { number: 1 + (value % 4), startedAt: T0 + n, outcome, factId } as const
      facts.push(attempted(id, { ...attempt, ...(value % 2 === 0 && { nextAttemptAt: T0 + n + 500 }) }))
    } else if (kind < 8) {
      const status = ENDED_STATUSES[value % 5] ?? 'dropped'
      facts.push({ kind: 'ended', factId, deliveryId: id, class: 'act_now', at: T0 + n, status })
    } else {
      facts.push({ kind: 'replayed', factId, deliveryId: id, at: T0 + n, expiresAt: T0 + n + 9_000 })
    }
  }
  return facts
}
