import * as fc from 'fast-check'
import { validateHeaderName, validateHeaderValue } from 'node:http'
import { expect, test } from 'vitest'
import { isGatewayError } from '../core/errors.ts'
import { checkCustomHeaders } from './custom-headers.ts'

const refusal = (headers: Record<string, string>): unknown => {
  try {
    checkCustomHeaders(headers)
    return 'accepted'
  } catch (error) {
    return isGatewayError(error, 'invalid_request') ? error.fields['errors'] : error
  }
}

test.each([
  [{}],
  [{ Authorization: 'Bearer abc.def', 'X-Api-Key': 'k e y', Cookie: 'a=b; c=d', Accept: '*/*', 'x-tenant': '7' }],
])('%j may be added', (headers) => {
  expect(refusal(headers)).toBe('accepted')
})

test.each([
  'Webhook-Id',
  'webhook-signature',
  'Callhalf-Event',
  'Host',
  'Content-Type',
  'content-length',
  'Content-Encoding',
  'Transfer-Encoding',
  'Connection',
  'Keep-Alive',
  'Upgrade',
  'Expect',
  'TE',
  'Trailer',
  'User-Agent',
  'Accept-Encoding',
  'Proxy-Authorization',
  'Forwarded',
  'Metadata-Flavor',
  'X-aws-ec2-metadata-token',
])('%s is ours or the connection’s', (name) => {
  expect(refusal({ [name]: 'x' })).toEqual([{ field: `headers.${name}`, message: 'is not a header that may be added' }])
})

test.each([
  ['', 'headers.'],
  ['a b', 'headers.a?b'],
  ['a:', 'headers.a:'],
  ['x\r\ny', 'headers.x??y'],
  ['ä', 'headers.?'],
  ['x'.repeat(101), `headers.${'x'.repeat(100)}`],
])('%j is not a header name', (name, field) => {
  expect(refusal({ [name]: 'x' })).toEqual([{ field, message: 'is not a header name' }])
})

test.each(['', ' x', 'x ', 'a\r\nb: c', 'a\nb', 'a\tb', 'a\u0000b', 'ä', '\u007f'])(
  '%j is not a header value, and is not repeated in the refusal',
  (value) => {
    expect(refusal({ 'x-a': value })).toEqual([
      { field: 'headers.x-a', message: 'must be visible ASCII characters with spaces only between them' },
    ])
  },
)

test('names that differ only in case are one name', () => {
  expect(refusal({ 'x-a': '1', 'X-A': '2' })).toEqual([{ field: 'headers.X-A', message: 'is given twice' }])
})

test('there are bounds to their number and length', () => {
  const twentyOne = Object.fromEntries(Array.from({ length: 21 }, (_, index) => [`x-${index}`, 'v']))
  expect(refusal(twentyOne)).toEqual([{ field: 'headers', message: 'must be at most 20 headers' }])
  expect(refusal({ 'x-a': 'v'.repeat(2_049) })).toEqual([
    { field: 'headers.x-a', message: 'must have at most 2048 characters' },
  ])
  const long = { 'x-a': 'v'.repeat(2_048), 'x-b': 'v'.repeat(2_048) }
  expect(refusal(long)).toEqual([{ field: 'headers', message: 'must have at most 4096 characters' }])
})

test('whatever is accepted can be sent', () => {
  const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.stringMatching(/^x-[a-z]{1,9}$/))
  let accepted = 0
  fc.assert(
    fc.property(text, text, (name, value) => {
      if (refusal({ [name]: value }) !== 'accepted') return
      accepted += 1
      validateHeaderName(name)
      validateHeaderValue(name, value)
    }),
    { numRuns: 1_000 },
  )
  expect(accepted).toBeGreaterThan(100)
})
