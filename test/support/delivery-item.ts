import type { DeliveryClass } from '../../src/core/delivery-policy.ts'
import { toEndpointId } from '../../src/core/ids.ts'
import { formatToken, messageIdOf } from '../../src/webhooks/delivery.ts'
import { eventId, position } from './delivery-rig.ts'
import type { LoggedEntry } from './delivery-steps.ts'

/** A delivery, as the model of the engine keeps account of it. */
export type Item = {
  readonly name: string
  readonly offset: number
  readonly class: DeliveryClass
  readonly takenAt: number
  readonly expiresAt: number
  readonly isReplay: boolean
  key: string
  token: string
  attempts: number
  failed: number
  due: number
}

const TYPES = { act_now: 'call.ringing', state: 'call.held', record: 'call.released' } as const
/** Records live longer than any run takes, so that one which is forgotten does not end by itself. */
const TTLS_MS = { act_now: 8_000, state: 30_000, record: 72 * 3_600_000 } as const

/** An event of the log in an endpoint's lane, taken at `now`. */
export function createItem(name: string, entry: LoggedEntry, { offset, now }: { offset: number; now: number }): Item {
  const timing = { takenAt: now, expiresAt: now + TTLS_MS[entry.class] - (entry.ageMs ?? 0) }
  const own = { eventId: eventId(offset), class: entry.class, ...timing, attemptsBefore: 0, isReplay: false }
  const token = formatToken({ ...own, sequence: String(offset) })
  return {
    name,
    offset,
    ...timing,
    class: entry.class,
    isReplay: false,
    key: entry.key,
    token,
    attempts: 0,
    failed: 0,
    due: 0,
  }
}

/** The same delivery again, as a replay of `now`. */
export function createReplay(item: Item, now: number): Item {
  const timing = { takenAt: now, expiresAt: now + 60_000 }
  const { offset } = item
  const token = formatToken({
    eventId: eventId(offset),
    class: item.class,
    ...timing,
    attemptsBefore: item.attempts,
    isReplay: true,
    sequence: String(offset),
  })
  const key = item.key.startsWith('replay:') ? item.key : `replay:${item.key}`
  return { ...item, ...timing, key, token, isReplay: true, attempts: 0, failed: 0, due: 0 }
}

/** Of what is left out when it is overtaken. */
export const goesStale = (item: Item): boolean => item.class !== 'record' && !item.isReplay

export const idOf = (name: string, key: string): string => `${name} ${key}`
export const splitId = (id: string): readonly string[] => [id.slice(0, id.indexOf(' ')), id.slice(id.indexOf(' ') + 1)]
export const deliveryOf = ({ name, offset }: Item): string => messageIdOf(toEndpointId(name), eventId(offset))
/** What the store is given of an event. */
export const storedEvent = (kind: DeliveryClass, orderKey: string, offset: number) => ({
  position: position(offset),
  eventId: eventId(offset),
  type: TYPES[kind],
  orderKey,
  about: { sequence: String(offset), occurredAt: 0 },
  payload: `{"n":${offset}}`,
})
