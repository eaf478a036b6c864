import { expect, test } from 'vitest'
import { parseRetryAfter } from './retry-after.ts'

const NOW = Date.parse('2026-11-21T12:00:00Z')

test.each([
  ['0', NOW],
  ['120', NOW + 120_000],
  ['Sat, 21 Nov 2026 12:00:30 GMT', NOW + 30_000],
  ['Sat, 21 Nov 2026 11:00:00 GMT', NOW],
  ['-5', undefined],
  ['1.5', undefined],
  ['soon', undefined],
  ['2026-11-21', undefined],
  ['', undefined],
  [undefined, undefined],
])('Retry-After %j is understood', (text, expected) => {
  expect(parseRetryAfter(text, NOW)).toBe(expected)
})
