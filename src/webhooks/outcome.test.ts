import { expect, test } from 'vitest'
import { GatewayError } from '../core/errors.ts'
import { classifyError, classifyResponse, nameOf } from './outcome.ts'

const NOW = Date.parse('2026-11-21T12:00:00Z')
const judge = (status: number, retryAfter?: string, delivery?: string) =>
  classifyResponse({ status, retryAfter, delivery }, NOW)

test.each([200, 201, 202, 204, 299])('%d is delivered', (status) => {
  expect(judge(status)).toEqual({ kind: 'delivered', status })
})

test.each([301, 302, 303, 307, 308, 304])('%d is a failure, not a new address', (status) => {
  expect(judge(status)).toEqual({ kind: 'failed', reason: 'redirect', status })
})

test.each([400, 401, 404, 409, 422, 500, 502, 504])('%d is a failure', (status) => {
  expect(judge(status, '60')).toEqual({ kind: 'failed', reason: 'http_status', status })
})

test('410 means gone for good', () => {
  expect(judge(410)).toEqual({ kind: 'gone', status: 410 })
})

test.each(['disable', ' Disable '])(
  'an answer with "webhook-delivery: %s" means gone, whatever its status',
  (delivery) => {
    expect(judge(200, undefined, delivery)).toEqual({ kind: 'gone', status: 200 })
    expect(judge(500, undefined, delivery)).toEqual({ kind: 'gone', status: 500 })
    expect(judge(200, undefined, 'enable')).toEqual({ kind: 'delivered', status: 200 })
  },
)

test('503 is not tried again before its Retry-After, in seconds or as a date', () => {
  const failed = { kind: 'failed', reason: 'http_status', status: 503 }
  expect(judge(503)).toEqual(failed)
  expect(judge(503, '7')).toEqual({ ...failed, notBefore: NOW + 7_000 })
  expect(judge(503, 'Sat, 21 Nov 2026 12:01:00 GMT')).toEqual({ ...failed, notBefore: NOW + 60_000 })
})

test('429 throttles everything for the endpoint', () => {
  const failed = { kind: 'failed', reason: 'http_status', status: 429, throttled: true }
  expect(judge(429)).toEqual(failed)
  expect(judge(429, '7')).toEqual({ ...failed, notBefore: NOW + 7_000 })
})

test('an outcome has one word', () => {
  expect(nameOf({ kind: 'delivered', status: 200 })).toBe('delivered')
  expect(nameOf({ kind: 'gone', status: 410 })).toBe('gone')
  expect(nameOf({ kind: 'failed', reason: 'tls_error' })).toBe('tls_error')
})

const withCode = (code: string) => Object.assign(new Error('connect 10.1.2.3:443'), { code })

test.each([
  ['UND_ERR_CONNECT_TIMEOUT', 'timeout'],
  ['UND_ERR_HEADERS_TIMEOUT', 'timeout'],
  ['ECONNREFUSED', 'connect_refused'],
  ['ECONNRESET', 'connection_lost'],
  ['UND_ERR_SOCKET', 'connection_lost'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 'tls_error'],
  ['CERT_HAS_EXPIRED', 'tls_error'],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'tls_error'],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'tls_error'],
  ['ERR_OSSL_PEM_NO_START_LINE', 'tls_error'],
  ['UND_ERR_HEADERS_OVERFLOW', 'bad_response'],
  ['SOMETHING_ELSE', 'error'],
])('%s is %s and tells no address', (code, reason) => {
  expect(classifyError(withCode(code))).toEqual({ kind: 'failed', reason })
})

test('the first of several refused addresses gives the reason', () => {
  const error = new AggregateError([withCode('ECONNREFUSED'), withCode('ENETUNREACH')])
  expect(classifyError(error)).toEqual({ kind: 'failed', reason: 'connect_refused' })
})

const refused = (reason: string) => new GatewayError('webhook_url_refused', { fields: { reason } })

test('our own refusals are told apart', () => {
  expect(classifyError(refused('unresolvable'))).toEqual({ kind: 'failed', reason: 'dns_error' })
  expect(classifyError(refused('blocked_address'))).toEqual({ kind: 'failed', reason: 'blocked_address' })
})
