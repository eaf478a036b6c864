import * as fc from 'fast-check'
import * as v from 'valibot'
import { describe, expect, test } from 'vitest'
import type { LogEntry } from '../core/event-log.ts'
import {
  ServerFrameSchema,
  parseClientFrame,
  toEventFrame,
  toGapFrame,
  toPingFrame,
  toRecoveredFrame,
  toSnapshotFrame,
  toSubscribedFrame,
} from './protocol.ts'

const payload = {
  app_id: 'app-1',
  subscriber_id: 'ann@example.net',
  subscriber_number: '+15550100',
  remote_number: '+15550199',
  call_id: 'callhalf-1:0',
  sequence_number: '2',
  direction: 'incoming',
  state: 'ringing',
  timestamp: 1_533_331_051_226,
  event: 'call.ringing',
  network_id: 'network-1',
  tracking_id: 'track-1',
  started_at: 1_533_331_051_000,
}
const entry: LogEntry = {
  position: { epoch: 'e1', offset: 7 },
  type: 'call.ringing',
  orderKey: 'callhalf-1:0',
  payload: JSON.stringify(payload),
}

describe('what a client sends', () => {
  test('subscribe with null asks for a fresh start', () => {
    expect(parseClientFrame('{"op":"subscribe","after":null}')).toEqual({ frame: { op: 'subscribe', after: null } })
  })

  test('subscribe with a position asks to resume', () => {
    expect(parseClientFrame('{"op":"subscribe","after":{"epoch":"e1","offset":12}}')).toEqual({
      frame: { op: 'subscribe', after: { epoch: 'e1', offset: 12 } },
    })
  })

  test.each([
    ['not JSON', 'subscribe', 'the message is not JSON'],
    ['an unknown op', '{"op":"dance"}', 'op is not valid'],
    ['no object', '[]', 'op is not valid'],
    ['null', 'null', 'the message is not an object with a known op'],
    ['no position', '{"op":"subscribe"}', 'after is not valid'],
    ['a negative offset', '{"op":"subscribe","after":{"epoch":"e1","offset":-1}}', 'after.offset is not valid'],
    ['an epoch of wrong form', '{"op":"subscribe","after":{"epoch":"E 1","offset":1}}', 'after.epoch is not valid'],
    ['an unknown field', '{"op":"subscribe","after":null,"filter":{}}', 'filter is not valid'],
  ])('%s is a problem that names the place', (_, text, problem) => {
    expect(parseClientFrame(text)).toEqual({ problem })
  })

  test('no text whatever makes the parser throw', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        expect(Object.keys(parseClientFrame(text))).toHaveLength(1)
      }),
    )
  })
})

describe('what the gateway sends', () => {
  test('an event frame holds the payload unchanged beside type and position', () => {
    expect(toEventFrame(entry).json.toString()).toBe(
      `{"type":"event","event":"call.ringing","position":{"epoch":"e1","offset":7},"data":${entry.payload}}`,
    )
  })

  test.each([
    ['event', toEventFrame(entry)],
    ['recovered', toRecoveredFrame({ epoch: 'e1', offset: 7 })],
    ['fresh', toSubscribedFrame({ epoch: 'e1', offset: 7 }, '[]', undefined)],
    ['not recovered', toSubscribedFrame({ epoch: 'e1', offset: 7 }, '[]', 'trimmed')],
    ['snapshot', toSnapshotFrame({ epoch: 'e1', offset: 7 }, '[]')],
    ['gap', toGapFrame('epoch_changed')],
    ['ping', toPingFrame({ epoch: 'e1', offset: 7 })],
  ])('the %s frame is valid by the schema', (_, frame) => {
    expect(v.is(ServerFrameSchema, JSON.parse(frame.json.toString()))).toBe(true)
  })

  test('as a server-sent event it has the position as id and the frame type as event', () => {
    expect(toRecoveredFrame({ epoch: 'e1', offset: 7 }).sse.toString()).toBe(
      'id: e1:7\nevent: subscribed\ndata: {"type":"subscribed","recovered":true,"position":{"epoch":"e1","offset":7}}\n\n',
    )
  })

  test('a gap has no id, so that a client that breaks off there cannot resume past it', () => {
    expect(toGapFrame('trimmed').sse.toString()).toBe('event: gap\ndata: {"type":"gap","reason":"trimmed"}\n\n')
  })

  test('a ping is a comment for server-sent events', () => {
    expect(toPingFrame({ epoch: 'e1', offset: 7 }).sse.toString()).toBe(': ping e1:7\n\n')
  })

  test('a payload with line breaks between its tokens stays one data line', () => {
    const spaced = toEventFrame({ ...entry, payload: '{\n  "a": "x\\ny"\r\n}' })
    expect(spaced.sse.toString().split('\n').slice(2)).toEqual([
      'data: {"type":"event","event":"call.ringing","position":{"epoch":"e1","offset":7},"data":{   "a": "x\\ny" }}',
      '',
      '',
    ])
  })

  test('a frame is encoded once for all clients', () => {
    const frame = toEventFrame(entry)
    expect(frame.json).toBe(frame.json)
    expect(frame.sse).toBe(frame.sse)
  })
})
