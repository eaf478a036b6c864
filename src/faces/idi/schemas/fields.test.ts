import * as fc from 'fast-check'
import * as v from 'valibot'
import { expect, test } from 'vitest'
import { internalIdField, present, timeField, toInternalId } from './fields.ts'

test('a time is read as it is written, and is in UTC if it does not say otherwise', () => {
  const min = new Date('0001-01-01T00:00:00Z')
  const max = new Date('9999-12-31T23:59:59.999Z')
  fc.assert(
    fc.property(fc.date({ min, max, noInvalidDate: true }), (date) => {
      const text = date.toISOString()
      expect(v.parse(timeField, text)).toBe(date.getTime())
      expect(v.parse(timeField, text.slice(0, -1))).toBe(date.getTime())
      expect(v.parse(timeField, text.slice(0, 10))).toBe(Date.parse(`${text.slice(0, 10)}T00:00:00Z`))
    }),
  )
})

test.each([
  ['2026-01-31T12:00', '2026-01-31T12:00:00.000Z'],
  ['2026-01-31T12:00+02:00', '2026-01-31T10:00:00.000Z'],
  ['2026-01-31T12:00:00.5', '2026-01-31T12:00:00.500Z'],
  ['2017-12-11T00:33:00.11-05:00', '2017-12-11T05:33:00.110Z'],
  ['2020-02-29', '2020-02-29T00:00:00.000Z'],
])('%s is %s', (text, expected) => {
  expect(new Date(v.parse(timeField, text)).toISOString()).toBe(expected)
})

test.each([
  '2026-02-30',
  '2026-02-29T12:00:00Z',
  '2026-13-01',
  '2026-01-31T24:00:00Z',
  '2026-01-31T12:00:00+20:00',
  '0000-01-01',
  '9999-12-31T23:00:00-14:00',
])('%s is no time that exists', (text) => {
  const [issue] = v.safeParse(timeField, text).issues ?? []
  expect(issue?.message).toBe('must be a time that exists')
})

test.each(['tomorrow', '2026-1-1', '2026-01-31 12:00'])('%s is no time at all, and is told so once', (text) => {
  const issues = v.safeParse(timeField, text).issues ?? []
  expect(issues.map(({ message }) => message)).toEqual(['must be an ISO 8601 time, such as 2026-01-31T12:00:00Z'])
})

test('an internal id that is answered as a number is taken back as the same text', () => {
  const digits = fc.stringMatching(/^\d{1,17}$/)
  fc.assert(
    fc.property(fc.oneof(digits, fc.stringMatching(/^\S{1,20}$/)), (text) => {
      expect(v.parse(internalIdField, toInternalId(text))).toBe(text)
    }),
  )
})

test('what is null is not there, and nothing else is missed', () => {
  expect(present({ a: null, b: undefined, c: 0, d: '', e: false })).toStrictEqual({
    b: undefined,
    c: 0,
    d: '',
    e: false,
  })
})
