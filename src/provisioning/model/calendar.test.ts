import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { isRealTime } from './calendar.ts'

const two = (part: number) => String(part).padStart(2, '0')

test('every time of the years 1 to 9999 is real, as JavaScript and as PostgreSQL write it', () => {
  const min = new Date('0001-01-01T00:00:00Z')
  const max = new Date('9999-12-31T23:59:59.999Z')
  fc.assert(
    fc.property(fc.date({ min, max, noInvalidDate: true }), (date) => {
      const text = date.toISOString()
      expect([text, isRealTime(text), isRealTime(text.replace('T', ' ').replace('Z', '+00'))]).toEqual([
        text,
        true,
        true,
      ])
    }),
  )
})

test('of the 31 days that a month might have, those that it has are real', () => {
  const day = fc.record({
    year: fc.integer({ min: 1_970, max: 2_200 }),
    month: fc.integer({ min: 0, max: 12 }),
    dayOfMonth: fc.integer({ min: 0, max: 31 }),
  })
  fc.assert(
    fc.property(day, ({ year, month, dayOfMonth }) => {
      // Days are counted from the end of the month before.
      const count = new Date(Date.UTC(year, month, 0)).getUTCDate()
      const isReal = month >= 1 && dayOfMonth >= 1 && dayOfMonth <= count
      expect(isRealTime(`${year}-${two(month)}-${two(dayOfMonth)}T12:00:00+05:30`)).toBe(isReal)
    }),
  )
})

test.each([
  '0000-06-01T00:00:00Z',
  '0000-06-01 00:00:00+00',
  '0000-06-01T00:00:00+0000',
  '0001-01-01T00:00:00+01:00',
  '9999-12-31T23:59:59-01:00',
  '2027-01-01T25:00:00Z',
  '2027-01-01T24:00:00Z',
  '2027-01-01 24:00:00+00',
  '2027-01-01Tnoon',
  '2027-01-01T12:00:00+16:00',
  '2027-01-01T12:00:00-23:59',
])('%s is not', (text) => {
  expect(isRealTime(text)).toBe(false)
})

test.each(['2027-01-01T12:00:00+15:59', '2027-01-01T12:00:00-15:59', '2027-01-01 12:00:00+14'])('%s is', (text) => {
  expect(isRealTime(text)).toBe(true)
})
