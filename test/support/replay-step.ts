import { strict as assert } from 'node:assert'
import type { LaneRules } from '../../src/webhooks/delivery.ts'
import { createReplay, storedEvent } from './delivery-item.ts'
import type { DeliveryLedger } from './delivery-ledger.ts'
import { endpointRef } from './delivery-rig.ts'
import type { DeliveryRig } from './delivery-rig.ts'

/** Replays up to three events of an endpoint that have ended, and notes that; resolves with the store's answer. */
export async function replayEnded(
  rig: DeliveryRig,
  ledger: DeliveryLedger,
  { name, rules, backlogMax }: { readonly name: string; readonly rules: LaneRules; readonly backlogMax: number },
) {
  const chosen = ledger.ended.filter((item) => item.name === name).slice(0, 3)
  const items = chosen.map((item) => createReplay(item, rig.now))
  const room = Math.max(0, backlogMax - ledger.pendingOf(name))
  const reply = await rig.store.replay(endpointRef(name), {
    now: rig.now,
    rules,
    events: items.map(({ offset, key, token, class: kind }) => {
      const { orderKey: _, position: __, ...event } = storedEvent(kind, key, offset)
      return { event, orderKey: key, token }
    }),
  })
  assert.ok(reply !== undefined, 'replayed to an endpoint that has started')
  assert.equal(reply.taken, Math.min(items.length, room), 'replayed as far as there is room')
  for (const item of items.slice(0, reply.taken)) ledger.laneOf(name, item.key).push(item)
  for (const item of chosen.slice(0, reply.taken)) ledger.ended.splice(ledger.ended.indexOf(item), 1)
  return reply
}
