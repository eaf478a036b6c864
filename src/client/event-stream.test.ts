import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { StreamEvent } from './event-stream.ts'
import { EventStreamParser } from './event-stream.ts'

const TEXT = [
  'id: 7:1\nevent: event\ndata: {"type":"event","n":"ä€😀"}\n\n',
  ': ping\nid: 7:2\n\n',
  'retry: 2500\r\nevent: close\r\ndata: {"type":\r\ndata: "close"}\r\n\r\n',
  '\n\nevent\rdata:none\r\r',
  'event: lost',
].join('')

const EVENTS: readonly StreamEvent[] = [
  { event: 'event', id: '7:1', data: '{"type":"event","n":"ä€😀"}' },
  { event: '', id: '7:2', data: '' },
  { event: 'close', id: undefined, data: '{"type":\n"close"}' },
  { event: '', id: undefined, data: 'none' },
]

function parse(pieces: readonly string[]): readonly StreamEvent[] {
  const events: StreamEvent[] = []
  const parser = new EventStreamParser((event) => events.push(event))
  for (const piece of pieces) parser.push(piece)
  return events
}

test('an event ends with an empty line; one without an end is none', () => {
  expect(parse([TEXT])).toEqual(EVENTS)
})

test('it is the same however the text is cut', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(TEXT.length), { maxLength: 40 }), (cuts) => {
      const at = [0, ...cuts.toSorted((a, b) => a - b), TEXT.length]
      expect(parse(at.slice(1).map((end, index) => TEXT.slice(at[index], end)))).toEqual(EVENTS)
    }),
  )
})

test('text without any line break is given up instead of being kept', () => {
  const parser = new EventStreamParser(() => undefined)
  const piece = 'x'.repeat(16 * 1024 * 1024)
  for (let count = 0; count < 4; count += 1) parser.push(piece)
  expect(() => parser.push('x')).toThrow(RangeError)
})
