import { expect, test } from 'vitest'
import { describePayload } from './event-about.ts'

test('a call event is described by its payload', () => {
  const payload = {
    app_id: 'app-1',
    subscriber_id: 'user@example.net',
    call_id: 'callhalf-1:0',
    direction: 'incoming',
    sequence_number: '3',
    timestamp: 1_700_000_000_123,
    state: 'ringing',
  }
  expect(describePayload(JSON.stringify(payload), 5)).toEqual({
    sequence: '3',
    callId: 'callhalf-1:0',
    subscriberId: 'user@example.net',
    direction: 'incoming',
    occurredAt: 1_700_000_000_123,
  })
})

test('what a payload does not tell is left out, and its time is when it was taken', () => {
  expect(describePayload('{"subscriber_id":"user@example.net"}', 5)).toEqual({
    subscriberId: 'user@example.net',
    occurredAt: 5,
  })
})

test.each(['', 'not json', '[]', 'null', '7', '"text"', '{"call_id":7}', '{"timestamp":"soon"}'])(
  'a payload that cannot be described (%s) has only a time',
  (payload) => {
    expect(describePayload(payload, 5)).toEqual({ occurredAt: 5 })
  },
)
