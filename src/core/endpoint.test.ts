import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { wantsEvent } from './endpoint.ts'
import type { EndpointFilter } from './endpoint.ts'
import { toSubscriberId } from './ids.ts'

const ringing = { type: 'call.ringing', subscriberId: 'anna@example.net', direction: 'incoming' }
const anna = toSubscriberId('anna@example.net')
const bert = toSubscriberId('bert@example.net')

test.each<[string, EndpointFilter, boolean]>([
  ['no filter', {}, true],
  ['its type', { eventTypes: ['call.held', 'call.ringing'] }, true],
  ['its prefix', { eventTypes: ['order.*', 'call.*'] }, true],
  ['other types', { eventTypes: ['call.held', 'subscriber.*'] }, false],
  ['no type at all', { eventTypes: [] }, false],
  ['its subscriber', { subscriberIds: [bert, anna] }, true],
  ['another subscriber', { subscriberIds: [bert] }, false],
  ['its direction', { directions: ['incoming'] }, true],
  ['the other direction', { directions: ['outgoing'] }, false],
  ['everything that it is', { eventTypes: ['call.*'], subscriberIds: [anna], directions: ['incoming'] }, true],
  ['one thing that it is not', { eventTypes: ['call.*'], subscriberIds: [anna], directions: ['outgoing'] }, false],
])('a filter for %s', (_, filter, wanted) => {
  expect(wantsEvent(filter, ringing)).toBe(wanted)
})

test('an event without a subscriber or a direction is not kept back by filters for them', () => {
  const filter: EndpointFilter = { subscriberIds: [bert], directions: ['outgoing'] }
  expect(wantsEvent(filter, { type: 'order.completed' })).toBe(true)
  expect(wantsEvent(filter, { type: 'subscriber.assigned', subscriberId: anna })).toBe(false)
  expect(wantsEvent(filter, { type: 'subscriber.assigned', subscriberId: bert })).toBe(true)
})

test('a filter wants exactly what each of its parts wants by itself', () => {
  const filters = fc.record(
    {
      eventTypes: fc.subarray(['call.*', 'call.held', 'order.*', 'subscriber.assigned']),
      subscriberIds: fc.subarray([anna, bert]),
      directions: fc.subarray<'incoming' | 'outgoing'>(['incoming', 'outgoing']),
    },
    { requiredKeys: [] },
  )
  const events = fc.record(
    {
      type: fc.constantFrom('call.held', 'call.ringing', 'order.completed', 'subscriber.assigned'),
      subscriberId: fc.constantFrom('anna@example.net', 'bert@example.net', 'carl@example.net'),
      direction: fc.constantFrom('incoming', 'outgoing'),
    },
    { requiredKeys: ['type'] },
  )
  fc.assert(
    fc.property(filters, events, (filter, event) => {
      const parts: EndpointFilter[] = [
        filter.eventTypes === undefined ? {} : { eventTypes: filter.eventTypes },
        filter.subscriberIds === undefined ? {} : { subscriberIds: filter.subscriberIds },
        filter.directions === undefined ? {} : { directions: filter.directions },
      ]
      expect(wantsEvent(filter, event)).toBe(parts.every((part) => wantsEvent(part, event)))
    }),
  )
})
