import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { judgeAnswer, parseEnvelope } from './envelope.ts'

const scalar = fc.oneof(
  fc.constantFrom('100', 100, ' 100 ', '111', 112, '404', 409, '', null, 'true', 'TRUE', true, false, '1e2', 0),
  fc.jsonValue(),
)
const body = fc.oneof(
  fc.string(),
  fc
    .record({ status_code: scalar, error: scalar, status_desc: scalar, eligible: scalar }, { requiredKeys: [] })
    .map((fields) => JSON.stringify(fields)),
)

test('nothing is taken for a success but code 100 without an error, under a status of success', () => {
  fc.assert(
    fc.property(body, fc.integer({ min: 100, max: 599 }), (text, status) => {
      const envelope = parseEnvelope(text)
      const verdict = judgeAnswer({ status, ...(envelope !== undefined && { envelope }) })
      if (verdict.kind !== 'success') return
      expect({ code: envelope?.status_code, isError: envelope?.error ?? false, isFine: status < 300 }).toEqual({
        code: 100,
        isError: false,
        isFine: true,
      })
    }),
  )
})

test.each([
  [
    '{"eligible":"true","error":"false","status_code":100,"transaction_id":"3f009aa8"}',
    { status_code: 100, eligible: true, error: false },
  ],
  ['{"status_code":"113","error":"false","eligible":"false"}', { status_code: 113, eligible: false }],
  ['{"status_code":"100","status_desc":"Successful Request "}', { status_desc: 'Successful Request' }],
  ['{"status_code":100,"transaction_id":77,"error":true}', { transaction_id: '77', error: true }],
])('%s is read as %j', (text, fields) => {
  expect(parseEnvelope(text)).toMatchObject(fields)
})

test.each(['', '[]', 'null', '{}', '{"status_code":""}', '{"status_code":"abc"}', '{"status_code":1.5}', '100'])(
  '%j is no answer of a Zipwhip server',
  (text) => {
    expect(parseEnvelope(text)).toBeUndefined()
  },
)
