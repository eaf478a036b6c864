import { expect, test } from 'vitest'
import { GatewayError } from '../core/errors.ts'
import { translatePgError } from './pg-errors.ts'

const pgError = (fields: object, message = 'failed') => Object.assign(new Error(message), fields)

test.each([
  [pgError({ code: '23503', constraint: 'subscribers_network' }), 'network_not_found'],
  [pgError({ code: '23503', constraint: 'endpoints_app' }), 'app_not_found'],
  [pgError({ code: '23503', constraint: 'something_new' }), 'internal'],
  [pgError({ code: '23505', constraint: 'apps_pkey' }), 'already_exists'],
  [pgError({ code: '57014' }), 'store_unavailable'],
  [pgError({ code: '57P01' }), 'store_unavailable'],
  [pgError({ code: '08006' }), 'store_unavailable'],
  [pgError({ code: '53300' }), 'store_unavailable'],
  [pgError({ code: '40P01' }), 'store_unavailable'],
  [pgError({ code: 'ECONNREFUSED' }), 'store_unavailable'],
  [pgError({ code: 'ECONNRESET' }), 'store_unavailable'],
  [pgError({ code: 'ENOTFOUND' }), 'store_unavailable'],
  [pgError({}, 'Connection terminated unexpectedly'), 'store_unavailable'],
  [pgError({}, 'timeout exceeded when trying to connect'), 'store_unavailable'],
  [pgError({}, 'Query read timeout'), 'store_unavailable'],
  [pgError({ code: '42P01' }), 'internal'],
  [pgError({ code: '22P02' }), 'internal'],
  [new TypeError('x is not a function'), 'internal'],
  ['a string', 'internal'],
])('%s becomes %s with the original as its cause', (error, code) => {
  expect(translatePgError(error)).toMatchObject({ code, cause: error })
})

test('a GatewayError stays itself', () => {
  const error = new GatewayError('shard_conflict')
  expect(translatePgError(error)).toBe(error)
})
