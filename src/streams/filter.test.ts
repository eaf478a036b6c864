import { expect, test } from 'vitest'
import { toSubscriberId } from '../core/ids.ts'
import { Filter } from './filter.ts'

const ann = toSubscriberId('ann@example.net')
const bob = toSubscriberId('bob@example.net')

test.each([
  ['nothing restricts nothing', {}, 'call.ringing', bob, true],
  ['a subscriber', { subscriber_ids: [ann] }, 'call.ringing', ann, true],
  ['another subscriber', { subscriber_ids: [ann] }, 'call.ringing', bob, false],
  ['what is about no subscriber', { subscriber_ids: [ann] }, 'subscriber.assigned', undefined, true],
  ['an order, which is about no subscriber', { subscriber_ids: [ann] }, 'order.completed', undefined, true],
  ['orders', { event_types: ['order.*'] }, 'order.completed', undefined, true],
  ['numbers', { event_types: ['number.*'] }, 'order.completed', undefined, false],
  ['an exact type', { event_types: ['call.ringing' as const] }, 'call.ringing', bob, true],
  ['another type', { event_types: ['call.ringing' as const] }, 'call.active', bob, false],
  ['a prefix', { event_types: ['call.*' as const] }, 'call.updated', bob, true],
  ['another prefix', { event_types: ['subscriber.*' as const] }, 'call.updated', bob, false],
  ['both', { subscriber_ids: [ann], event_types: ['call.*' as const] }, 'call.updated', bob, false],
])('%s', (_, filter, event, subscriberId, isWanted) => {
  const asked = new Filter(filter)
  expect(asked.wants({ event, subscriberId })).toBe(isWanted)
  expect(asked.wants({ event, subscriberId })).toBe(isWanted)
})

test('a snapshot has the calls whose present state is told', () => {
  const filter = new Filter({ subscriber_ids: [ann], event_types: ['call.ringing', 'call.released'] })
  expect(filter.wantsCall({ subscriberId: ann, state: 'ringing' })).toBe(true)
  expect(filter.wantsCall({ subscriberId: ann, state: 'active' })).toBe(false)
  expect(filter.wantsCall({ subscriberId: bob, state: 'ringing' })).toBe(false)
})
