import * as fc from 'fast-check'
import * as v from 'valibot'
import { expect, test } from 'vitest'
import { formatDate, LineParameters, requestedDateOf } from './parameters.ts'

const NOW = Date.parse('2026-01-01T00:00:00Z')
const dateIn = (effective_date: string) => v.parse(LineParameters, { phone_number: '+12065550100', effective_date })
const numberIn = (phone_number: string) => v.safeParse(LineParameters, { phone_number })

test.each([
  ['+12065550100', '+12065550100'],
  // As the samples of the document have it.
  [' +12065550100', '+12065550100'],
  // A plus sign that nobody escaped.
  [' 12065550100', '+12065550100'],
  [' 442079460000', '+442079460000'],
  ['12065550100', '+12065550100'],
  ['+12065550100 ', '+12065550100'],
])('%j is the number %s', (text, number) => {
  expect(numberIn(text)).toMatchObject({ success: true, output: { phone_number: number } })
})

// Ten digits could be a number of the United States, or one of Egypt (+20).
test.each(['2065550100', '442079460000', '+', '', '+1 206 555 0100', '+02065550100', '+12065550100\0'])(
  '%j is no number',
  (text) => {
    expect(numberIn(text).success).toBe(false)
  },
)

test('what is printed is read back, with an offset whose plus sign nobody escaped', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4_102_444_800 }), (seconds) => {
      const printed = formatDate(seconds * 1_000)
      expect(dateIn(printed.replace('+', ' ')).effective_date).toBe(printed)
      expect(Date.parse(printed)).toBe(seconds * 1_000)
    }),
  )
  expect(formatDate(Date.parse('2014-05-08T17:35:16Z'))).toBe('2014-05-08T17:35:16+00:00')
})

test('no text is taken for a date that does not exist', () => {
  const text = fc.oneof(fc.string(), fc.stringMatching(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(Z|[+-]\d{2}:\d{2})$/))
  fc.assert(
    fc.property(text, (effective_date) => {
      const { success, output } = v.safeParse(LineParameters, { phone_number: '+12065550100', effective_date })
      if (!success || output.effective_date === undefined) return
      expect(new Date(`${effective_date.trim().slice(0, 19)}Z`).toISOString().slice(0, 19)).toBe(
        effective_date.trim().slice(0, 19),
      )
    }),
  )
})

test('a request is for at once without a date and with a past one, and at most a year ahead', () => {
  expect(requestedDateOf(undefined, NOW)).toBeUndefined()
  expect(requestedDateOf('2014-05-08T17:35:16+00:00', NOW)).toBeUndefined()
  expect(requestedDateOf('2026-01-01T01:00:01+01:00', NOW)).toBe(NOW + 1_000)
  expect(requestedDateOf('2027-01-01T00:00:00Z', NOW)).toBe(NOW + 365 * 86_400_000)
  expect(() => requestedDateOf('2027-01-01T00:00:01Z', NOW)).toThrow('effective_date: must be within a year from now')
})
