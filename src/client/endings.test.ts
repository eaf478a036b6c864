import { expect, test } from 'vitest'
import type { CloseName } from '../streams/close-codes.ts'
import { CLOSE_CODES, formatCloseReason } from '../streams/close-codes.ts'
import { readEnding } from './endings.ts'

const NAMES = Object.keys(CLOSE_CODES).filter((name): name is CloseName => name in CLOSE_CODES)

test.each(NAMES)('the client knows what %s means', (name) => {
  const { code, action } = CLOSE_CODES[name]
  const reason = formatCloseReason({ name, retryAfterMs: 1_500.4, detail: 'say "why"' })
  expect(readEnding(code, reason)).toEqual({ name, action, code, retryAfterMs: 1_500, detail: 'say ?why?' })
})

test('a message that was too large is for the developer', () => {
  expect(readEnding(1009, '')).toEqual({ name: 'message_too_large', action: 'fix', code: 1009 })
})

test.each([
  ['a lost connection', 1006, ''],
  ['a proxy that goes', 1001, 'bye'],
  ['a code of a later gateway', 4123, '{"code":"new","retry_after_ms":"soon"}'],
  ['a reason that is no object', 4321, '"draining"'],
  ['half a reason', 4322, '{"code":'],
])('%s is a reason to resume', (_, code, reason) => {
  expect(readEnding(code, reason)).toEqual({ name: 'connection_lost', action: 'resume', code })
})
