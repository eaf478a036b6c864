import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { addAmounts, formatMoney, toMicros, toMoney } from './money.ts'

test.each([
  ['12.5', 'USD', '12.50'],
  ['2.495', 'USD', '2.495'],
  ['1000', 'VND', '1000'],
  ['1000', 'ISK', '1000'],
  ['0.5', 'JPY', '0.5'],
  ['1', 'OMR', '1.000'],
  ['1', 'JOD', '1.000'],
  ['-3', 'EUR', '-3.00'],
  ['0', 'KWD', '0.000'],
])('%s %s is written as %s', (amount, currency, written) => {
  expect(toMoney(amount, currency)).toEqual({ amount: written, currency })
})

test('sums and products are exact, however large', () => {
  const price = fc.bigInt({ min: 0n, max: 10n ** 15n - 1n })
  fc.assert(
    fc.property(price, fc.integer({ min: 1, max: 200 }), (micros, count) => {
      const { amount } = formatMoney(micros, 'USD')
      expect(toMicros(amount)).toBe(micros)
      expect(addAmounts(Array.from({ length: count }, () => amount))).toBe(micros * BigInt(count))
    }),
  )
})
