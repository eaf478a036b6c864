import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { RESPONSE_BYTES_MAX, toResponseText } from './response-text.ts'

const jsonBytesOf = (text: string): number => Buffer.byteLength(JSON.stringify(text)) - 2

test('a text is kept as it is, with its tabs and lines', () => {
  expect(toResponseText(Buffer.from('{\r\n\t"error": "no"\n}'), { cut: false })).toBe('{\r\n\t"error": "no"\n}')
})

test('control characters and bytes that are no text are replaced', () => {
  expect(toResponseText(Buffer.from([0x61, 0, 1, 0x0b, 0x1f, 0xff, 0x62]), { cut: false })).toBe('a�����b')
})

test('half a character at the end of what was cut off is left out, a whole answer keeps what it has', () => {
  const half = Buffer.from('aé').subarray(0, 2)
  expect(toResponseText(half, { cut: true })).toBe('a')
  expect(toResponseText(half, { cut: false })).toBe('a�')
})

test('four kilobytes of control characters are no more than six in JSON', () => {
  expect(toResponseText(Buffer.alloc(4_096, 1), { cut: false })).toBe('�'.repeat(2_048))
  expect(toResponseText(Buffer.alloc(4_096, '"'), { cut: false })).toBe('"'.repeat(3_072))
  expect(toResponseText(Buffer.alloc(4_096, 'a'), { cut: false })).toBe('a'.repeat(4_096))
})

test('property: whatever comes, it is well-formed text of six kilobytes of JSON at most', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: RESPONSE_BYTES_MAX, size: 'max' }),
    fc.string({ unit: 'binary', maxLength: 1_024, size: 'max' }).map((text) => new TextEncoder().encode(text)),
  )
  fc.assert(
    fc.property(bytes, fc.boolean(), (body, cut) => {
      const text = toResponseText(Buffer.from(body), { cut })
      expect(jsonBytesOf(text)).toBeLessThanOrEqual(6_144)
      expect(text.isWellFormed()).toBe(true)
    }),
  )
})
