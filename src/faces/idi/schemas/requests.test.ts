import * as v from 'valibot'
import { expect, test } from 'vitest'
import { timeField } from './fields.ts'

test.each([
  ['2019-08-24T14:15:22Z', '2019-08-24T14:15:22.000Z'],
  ['2017-12-11T00:33:00.11-05:00', '2017-12-11T05:33:00.110Z'],
  ['2019-08-24T14:15:22', '2019-08-24T14:15:22.000Z'],
  ['2020-02-29T14:15', '2020-02-29T14:15:00.000Z'],
  ['2019-08-24', '2019-08-24T00:00:00.000Z'],
])('the time %s is %s', (written, time) => {
  expect(new Date(v.parse(timeField, written)).toISOString()).toBe(time)
})

test.each([
  '2026-02-30T10:00:00Z',
  '2026-02-29',
  '2026-04-31T10:00',
  '2026-04-30T24:00:00Z',
  '0000-06-01T00:00:00Z',
  '9999-12-31T23:00:00-14:00',
  '2026-13-01',
  '2026-1-1',
  'tomorrow',
])('there is no time %s', (written) => {
  expect(v.is(timeField, written)).toBe(false)
})
