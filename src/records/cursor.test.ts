import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { isGatewayError } from '../core/errors.ts'
import { formatCursor, parseCursor, toPage } from './cursor.ts'

const id = fc.stringMatching(/^[A-Za-z0-9_:-]{1,128}$/)

test('a cursor comes back as it was given out', () => {
  expect(formatCursor({ at: 1_700_000_000_000, id: 'msg_1' })).toBe('MTcwMDAwMDAwMDAwMC5tc2dfMQ')
  expect(parseCursor('MTcwMDAwMDAwMDAwMC5tc2dfMQ')).toEqual({ at: 1_700_000_000_000, id: 'msg_1' })
  fc.assert(
    fc.property(fc.nat({ max: 999_999_999_999_999 }), id, (at, text) => {
      expect(parseCursor(formatCursor({ at, id: text }))).toEqual({ at, id: text })
    }),
  )
})

const encode = (text: string) => Buffer.from(text).toString('base64url')

test.each([
  ['nothing', ''],
  ['no base64', '%%%'],
  ['padding', 'MTcwMDAwMDAwMDAwMC5tc2dfMQ=='],
  ['another alphabet', 'MTcw MDAwMDAwMDAwMC5tc2dfMQ'],
  ['no id', encode('1.')],
  ['no time', encode('.msg_1')],
  ['a time with a leading zero', encode('01.msg_1')],
  ['a negative time', encode('-1.msg_1')],
  ['a time that is too long', encode(`${'9'.repeat(16)}.msg_1`)],
  ['an id with a quote', encode("1.a'b")],
  ['an id with a letter beyond ASCII', encode('1.ä')],
  ['an id that is too long', encode(`1.${'a'.repeat(129)}`)],
  ['something huge', 'A'.repeat(100_000)],
])('%s is refused as a cursor', (_what, text) => {
  expect(() => parseCursor(text)).toThrow(expect.objectContaining({ code: 'invalid_request' }))
  expect(() => parseCursor(text)).toThrow('cursor: is not one that was returned')
})

const reread = (text: string) => {
  try {
    return formatCursor(parseCursor(text))
  } catch (error) {
    return isGatewayError(error, 'invalid_request') ? 'refused' : error
  }
}

test('of any text exactly the one text of a place is taken', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.base64String(), fc.string().map(encode)), (text) => {
      expect([text, 'refused']).toContain(reread(text))
    }),
  )
})

const cursorOf = (n: number) => ({ at: n, id: 'x' })

test('a page has a cursor only when there is more', () => {
  expect(toPage([1, 2], 2, cursorOf)).toEqual({ rows: [1, 2] })
  expect(toPage([1, 2, 3], 2, cursorOf)).toEqual({ rows: [1, 2], cursor: formatCursor({ at: 2, id: 'x' }) })
  expect(toPage([], 2, cursorOf)).toEqual({ rows: [] })
})
