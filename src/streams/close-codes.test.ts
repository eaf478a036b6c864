import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { CloseName } from './close-codes.ts'
import { CLOSE_CODES, formatCloseReason } from './close-codes.ts'

test('the codes are contract', () => {
  expect(Object.fromEntries(Object.entries(CLOSE_CODES).map(([name, { code }]) => [name, code]))).toEqual({
    draining: 4001,
    invalid_frame: 4002,
    unauthorized: 4003,
    subscribe_timeout: 4004,
    too_many_messages: 4005,
    slow_consumer: 4008,
    store_unavailable: 4010,
  })
})

test('the reason of draining says when to come back', () => {
  expect(formatCloseReason({ name: 'draining', retryAfterMs: 1234.6 })).toBe(
    '{"code":"draining","retry_after_ms":1235}',
  )
})

test('a reason is valid JSON of at most 123 bytes, whatever the detail', () => {
  const names = fc.constantFrom<CloseName>('draining', 'invalid_frame', 'slow_consumer', 'store_unavailable')
  fc.assert(
    fc.property(
      names,
      fc.nat(1_000_000),
      fc.string({ unit: 'binary', maxLength: 300 }),
      (name, retryAfterMs, detail) => {
        const reason = formatCloseReason({ name, retryAfterMs, detail })
        expect(Buffer.byteLength(reason)).toBeLessThanOrEqual(123)
        expect(JSON.parse(reason)).toMatchObject({ code: name, retry_after_ms: retryAfterMs })
      },
    ),
  )
})
