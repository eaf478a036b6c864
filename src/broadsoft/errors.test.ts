import { expect, test } from 'vitest'
import { readRetryAfter, refusalError } from './errors.ts'

const NOW = Date.parse('2026-03-01T12:00:00Z')

test.each([
  ['7', 7],
  ['0', 0],
  [' 30 ', 30],
  ['999999', 3600],
  ['Sun, 01 Mar 2026 12:00:42 GMT', 42],
  ['Sun, 01 Mar 2026 11:00:00 GMT', 0],
  ['soon', undefined],
  [undefined, undefined],
])('Retry-After %j is %j seconds', (header, seconds) => {
  expect(readRetryAfter(header, NOW)).toBe(seconds)
})

test.each([
  [404, 'provider_refused'],
  [409, 'provider_refused'],
  [303, 'provider_refused'],
  [501, 'provider_refused'],
  [502, 'provider_unavailable'],
  [408, 'provider_unavailable'],
] as const)('%i of something that is neither call nor user is %s', (status, code) => {
  expect(refusalError({ status }, 'network').code).toBe(code)
})
