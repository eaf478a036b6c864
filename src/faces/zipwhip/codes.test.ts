import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { GatewayError } from '../../core/errors.ts'
import { invalidRequest } from '../../core/parse-input.ts'
import { STATUS_CODES, statusOfError } from './codes.ts'

test('the guide has the table of codes', async () => {
  const guide = await readFile(join(import.meta.dirname, '../../../docs/provisioning.md'), 'utf8')
  const table = guide.slice(guide.indexOf('## The Zipwhip API'))
  const rows = [...table.matchAll(/^\| (\d{3}) +\| (.+?) +\| (\d{3}) +\| (.+?) +\|$/gm)].map((row) => row.slice(1, 5))
  expect(rows).toEqual(
    Object.values(STATUS_CODES).map(({ code, text, http, isDocumented }) => [
      code,
      text,
      String(http),
      isDocumented ? 'the document’s' : 'ours',
    ]),
  )
})

test('only what is foreseen has a code of its own', () => {
  expect(statusOfError(new GatewayError('number_busy'))).toBe('inProcess')
  expect(statusOfError(new GatewayError('internal'))).toBe('unknown')
  expect(statusOfError(new TypeError('a mistake'))).toBe('unknown')
})

test('a date that is wrong is told from other parameters, unless both are', () => {
  const date = { field: 'effective_date', message: 'must be a time' }
  const number = { field: 'phone_number', message: 'is required' }
  expect(statusOfError(invalidRequest([date]))).toBe('badDate')
  expect(statusOfError(invalidRequest([number]))).toBe('badParameter')
  expect(statusOfError(invalidRequest([date, number]))).toBe('badParameter')
  expect(statusOfError(new GatewayError('order_refused', { fields: { field: 'requested_date' } }))).toBe('badDate')
  expect(statusOfError(new GatewayError('order_refused', { fields: { field: 'product_id' } }))).toBe('badParameter')
})
