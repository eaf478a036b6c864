import { describe, expect, test } from 'vitest'
import { checkFilter, coversCalls, toWireFilter, wantsType } from './filter.ts'

describe('a filter', () => {
  test.each([
    [null, true],
    [{}, true],
    [{ subscriber_ids: ['ann'] }, true],
    [{ event_types: ['*'] }, true],
    [{ event_types: ['subscriber.*', 'call.*'] }, true],
    [{ event_types: ['call.ringing', 'call.released'] }, false],
    [{ event_types: ['subscriber.*'] }, false],
  ])('%j tells everything of a call: %s', (filter, covers) => {
    expect(coversCalls(filter)).toBe(covers)
  })

  test('that keeps a mirror is extended by what ends the calls of a subscriber', () => {
    expect(toWireFilter({ event_types: ['call.*'], subscriber_ids: ['ann'] })).toEqual({
      event_types: ['call.*', 'subscriber.*'],
      subscriber_ids: ['ann'],
    })
    expect(toWireFilter({ event_types: ['call.*', 'subscriber.*'] })).toEqual({
      event_types: ['call.*', 'subscriber.*'],
    })
  })

  test.each([null, {}, { subscriber_ids: ['ann'] }, { event_types: ['call.ringing'] }])(
    '%j is sent as it is',
    (filter) => {
      expect(toWireFilter(filter)).toEqual(filter)
    },
  )

  test('wants the types that it names', () => {
    const filter = { event_types: ['call.*', 'order.completed'] }
    const types = ['call.ringing', 'subscriber.assigned', 'order.completed', 'order.cancelled'] as const
    expect(types.filter((event) => wantsType(filter, { event }))).toEqual(['call.ringing', 'order.completed'])
    expect(wantsType(null, { event: 'call.ringing' })).toBe(true)
  })

  test.each([
    [{ subscriber_ids: [] }],
    [{ event_types: [] }],
    [{ event_types: ['call'] }],
    [{ event_types: ['call.**'] }],
    [{ subscriber_ids: Array.from({ length: 1_001 }, (_, index) => String(index)) }],
    [{ subscriber_ids: ['x'.repeat(70_000)] }],
  ])('that would end the stream is not sent (%#)', (filter) => {
    expect(() => checkFilter(filter)).toThrow(RangeError)
  })

  test.each([null, {}, { subscriber_ids: ['ann'], event_types: ['*', 'call.*', 'call.remote_held'] }])(
    '%j is fine',
    (filter) => {
      expect(() => checkFilter(filter)).not.toThrow()
    },
  )
})
