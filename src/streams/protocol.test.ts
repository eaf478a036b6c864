import * as fc from 'fast-check'
import * as v from 'valibot'
import { describe, expect, test } from 'vitest'
import { EVENT_TYPES } from '../core/app-event.ts'
import type { LogEntry } from '../core/event-log.ts'
import {
  PollAnswerSchema,
  ServerFrameSchema,
  parseClientFrame,
  toCoalescedFrame,
  toEventFrame,
  toFilteredFrame,
  toGapFrame,
  toPingFrame,
  toPollText,
  toRecoveredFrame,
  toReplyFrame,
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

const OPS = 'op: must be subscribe, filter, answer, hold, resume, end or dial'

describe('what a client sends', () => {
  test('subscribe with null asks for a fresh start', () => {
    expect(parseClientFrame('{"op":"subscribe","after":null}')).toEqual({ frame: { op: 'subscribe', after: null } })
  })

  test('subscribe with a position asks to resume', () => {
    expect(parseClientFrame('{"op":"subscribe","after":{"epoch":"e1","offset":12}}')).toEqual({
      frame: { op: 'subscribe', after: { epoch: 'e1', offset: 12 } },
    })
  })

  test('subscribe and filter name the events that are wanted', () => {
    const filter = { subscriber_ids: ['ann@example.net'], event_types: ['call.ringing', 'call.*', '*'] }
    const subscribe = { op: 'subscribe', after: null, filter }
    expect(parseClientFrame(JSON.stringify(subscribe))).toEqual({ frame: subscribe })
    const change = { op: 'filter', filter, request_id: 'r1' }
    expect(parseClientFrame(JSON.stringify(change))).toEqual({ frame: change })
    expect(parseClientFrame('{"op":"filter","filter":null}')).toEqual({ frame: { op: 'filter', filter: null } })
  })

  test('of a command only the op and the request id are looked at here', () => {
    const command = { op: 'answer', request_id: 'r1', call_id: 7, more: true }
    expect(parseClientFrame(JSON.stringify(command))).toEqual({ frame: command })
  })

  test.each([
    ['a command without a request id', '{"op":"answer","call_id":"1"}', 'request_id: is required'],
    ['an empty request id', '{"op":"dial","request_id":""}', 'request_id: must not be empty'],
    [
      'a filter of an unknown event',
      '{"op":"filter","filter":{"event_types":["call.rung"]}}',
      `filter.event_types.0: must be one of ${EVENT_TYPES.join(', ')} or a prefix of them such as call.*`,
    ],
    [
      'a filter for nobody',
      '{"op":"filter","filter":{"subscriber_ids":[]}}',
      'filter.subscriber_ids: must have at least one',
    ],
    ['a filter with an unknown field', '{"op":"filter","filter":{"calls":[]}}', 'filter.calls: is not a known field'],
    [
      'a filter for more than 1,000 subscribers',
      JSON.stringify({ op: 'filter', filter: { subscriber_ids: Array.from({ length: 1_001 }, (_, i) => `${i}`) } }),
      'filter.subscriber_ids: must have 1000 at most',
    ],
  ])('%s is a problem, too', (_, text, problem) => {
    expect(parseClientFrame(text)).toEqual({ problem })
  })

  test.each([
    ['not JSON', 'subscribe', 'the message is not JSON'],
    ['an unknown op', '{"op":"dance"}', OPS],
    ['no object', '[]', OPS],
    ['null', 'null', 'the message is not an object with a known op'],
    ['no position', '{"op":"subscribe"}', 'after: is required'],
    ['a negative offset', '{"op":"subscribe","after":{"epoch":"e1","offset":-1}}', 'after.offset: must be >=0'],
    [
      'an epoch of wrong form',
      '{"op":"subscribe","after":{"epoch":"E 1","offset":1}}',
      'after.epoch: must have up to 32 characters of 0-9 and a-z',
    ],
    ['an unknown field', '{"op":"subscribe","after":null,"filters":{}}', 'filters: is not a known field'],
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

const restart = { position: { epoch: 'e1', offset: 7 }, calls: '[]' }

describe('what the gateway sends', () => {
  test('an event frame holds the payload unchanged beside type and position', () => {
    expect(toEventFrame(entry).json).toBe(
      `{"type":"event","event":"call.ringing","position":{"epoch":"e1","offset":7},"data":${entry.payload}}`,
    )
  })

  test.each([
    ['event', toEventFrame(entry)],
    ['recovered', toRecoveredFrame({ epoch: 'e1', offset: 7 })],
    ['fresh', toSubscribedFrame(restart, undefined)],
    ['not recovered', toSubscribedFrame(restart, 'trimmed')],
    ['snapshot', toSnapshotFrame(restart)],
    ['filtered', toFilteredFrame(restart, undefined)],
    ['filtered on request', toFilteredFrame(restart, 'r"1')],
    ['coalesced', toCoalescedFrame(3)],
    ['reply', toReplyFrame('r1', { status: 204 })],
    ['replayed reply', toReplyFrame('r1', { status: 201, body: { call_id: 'x' }, isReplay: true })],
    ['refusal', toReplyFrame('r1', { status: 429, problem: { status: 429, code: 'x' }, retryAfterMs: 1000 })],
    ['gap', toGapFrame('epoch_changed')],
    ['ping', toPingFrame({ epoch: 'e1', offset: 7 })],
  ])('the %s frame is valid by the schema', (_, frame) => {
    expect(v.is(ServerFrameSchema, JSON.parse(frame.json))).toBe(true)
  })

  test('as a server-sent event it has the position as id and the frame type as event', () => {
    expect(toRecoveredFrame({ epoch: 'e1', offset: 7 }).sse.toString()).toBe(
      'id: e1:7\nevent: subscribed\ndata: {"type":"subscribed","recovered":true,"position":{"epoch":"e1","offset":7}}\n\n',
    )
  })

  test('a gap has no id, so that a client that breaks off there cannot resume past it', () => {
    expect(toGapFrame('trimmed').sse.toString()).toBe('event: gap\ndata: {"type":"gap","reason":"trimmed"}\n\n')
  })

  test('a ping is a server-sent event without data: nobody is told, and its position is kept', () => {
    expect(toPingFrame({ epoch: 'e1', offset: 7 }).sse.toString()).toBe(': ping\nid: e1:7\n\n')
    expect(toPingFrame(undefined).sse.toString()).toBe(': ping\n\n')
  })

  test('a reply repeats the request id, and says what HTTP says in headers', () => {
    const reply = toReplyFrame('r1', { status: 201, body: { call_id: 'x' }, isReplay: true, retryAfterMs: 1000.4 })
    expect(JSON.parse(reply.json)).toEqual({
      type: 'reply',
      request_id: 'r1',
      status: 201,
      body: { call_id: 'x' },
      idempotent_replayed: true,
      retry_after_ms: 1000,
    })
  })

  test('the answer to a long poll has the events without their frame, or the calls', () => {
    const position = { epoch: 'e1', offset: 9 }
    const events = JSON.parse(toPollText({ recovered: true, position, events: [toEventFrame(entry)] }))
    expect(events).toEqual({
      recovered: true,
      position,
      events: [{ event: 'call.ringing', position: { epoch: 'e1', offset: 7 }, data: payload }],
    })
    const fresh = JSON.parse(toPollText({ recovered: false, position, calls: '[]', reason: 'trimmed' }))
    expect(fresh).toEqual({ recovered: false, reason: 'trimmed', position, snapshot: [], events: [] })
    for (const answer of [events, fresh]) expect(v.is(PollAnswerSchema, answer)).toBe(true)
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
    expect(frame.websocket).toBe(frame.websocket)
    expect(frame.sse).toBe(frame.sse)
  })
})
