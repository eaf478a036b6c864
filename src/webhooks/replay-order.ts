import type { ReplayableDelivery } from '../core/delivery-record.ts'
import { parsePosition } from '../core/position.ts'
import { positionOf } from './delivery.ts'

/** How far apart the clocks of two instances may be. */
const SKEW_MS = 1_000

/**
 * Puts deliveries that come by the time they were taken into the order of their app's log. The two differ:
 * entries that were taken together have one time, and those taken by different instances the times of
 * different clocks. A delivery is held back until everything that may belong before it has come.
 */
export class ReplayOrder {
  #held: readonly ReplayableDelivery[] = []

  /** Takes the next deliveries; returns those, in order, that nothing can come before any more. */
  push(deliveries: readonly ReplayableDelivery[]): readonly ReplayableDelivery[] {
    const known = [...this.#held, ...deliveries]
    const newest = known.reduce((latest, { delivery }) => Math.max(latest, delivery.createdAt), 0)
    const logs = [...Map.groupBy(known, ({ event }) => event.appId).values()].map((log) => {
      const sorted = log.toSorted(byPosition)
      const end = sorted.findLastIndex(({ delivery }) => delivery.createdAt < newest - SKEW_MS) + 1
      return { ready: sorted.slice(0, end), held: sorted.slice(end) }
    })
    this.#held = logs.flatMap(({ held }) => held)
    return logs.flatMap(({ ready }) => ready)
  }

  /** The rest. */
  flush(): readonly ReplayableDelivery[] {
    const rest = this.#held
    this.#held = []
    return rest
  }
}

function byPosition(a: ReplayableDelivery, b: ReplayableDelivery): number {
  const one = parsePosition(positionOf(a.event.eventId))
  const two = parsePosition(positionOf(b.event.eventId))
  if (one === undefined || two === undefined) return a.delivery.createdAt - b.delivery.createdAt
  return compareEpochs(one.epoch, two.epoch) || one.offset - two.offset
}

/** They are times in decimal, so that a later one is greater. */
const compareEpochs = (a: string, b: string): number => a.length - b.length || (a < b ? -1 : a > b ? 1 : 0)
