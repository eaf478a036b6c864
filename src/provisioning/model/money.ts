import * as v from 'valibot'

const SCALE = 6
const UNIT = 10n ** BigInt(SCALE)
/** What the database's `numeric(19,6)` holds. */
const AMOUNT = /^(-?)(\d{1,13})(?:\.(\d{1,6}))?$/

/** Whose minor unit is not the hundredth (ISO 4217, list one). */
const WITHOUT_MINOR_UNIT = 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF'
const WITH_THOUSANDTHS = 'BHD IQD JOD KWD LYD OMR TND'

/** Digits after the point of what is shown and invoiced. */
function minorDigitsOf(currency: string): number {
  if (WITHOUT_MINOR_UNIT.includes(currency)) return 0
  return WITH_THOUSANDTHS.includes(currency) ? 3 : 2
}

/** An exact amount: a decimal in text, never a JavaScript number. */
export const MoneySchema = v.pipe(
  v.strictObject({
    amount: v.pipe(v.string(), v.regex(AMOUNT, 'must be a decimal number in text, such as "12.50"')),
    currency: v.pipe(v.string(), v.regex(/^[A-Z]{3}$/, 'must be an ISO 4217 code, such as USD')),
  }),
  v.metadata({ ref: 'Money', title: 'An exact amount of a currency' }),
)
export type Money = v.InferOutput<typeof MoneySchema>

/** Millionths of the currency's unit. Throws a RangeError for what is not a decimal of at most six places. */
export function toMicros(amount: string): bigint {
  const match = AMOUNT.exec(amount)
  if (match === null) throw new RangeError(`not a decimal amount: ${amount}`)
  const [, sign = '', whole = '', fraction = ''] = match
  const micros = BigInt(whole) * UNIT + BigInt(fraction.padEnd(SCALE, '0'))
  return sign === '-' ? -micros : micros
}

/** The exact decimal, without needless zeros but with at least the currency's own places. */
export function formatMoney(micros: bigint, currency: string): Money {
  const magnitude = micros < 0n ? -micros : micros
  const fraction = (magnitude % UNIT).toString().padStart(SCALE, '0')
  const places = Math.max(minorDigitsOf(currency), fraction.replace(/0+$/, '').length)
  const text = places === 0 ? `${magnitude / UNIT}` : `${magnitude / UNIT}.${fraction.slice(0, places)}`
  return { amount: micros < 0n ? `-${text}` : text, currency }
}

/** Of a `numeric` as the database gives it. */
export const toMoney = (amount: string, currency: string): Money => formatMoney(toMicros(amount), currency)

/** The exact sum of amounts of one currency. */
export const addAmounts = (amounts: readonly string[]): bigint =>
  amounts.reduce((sum, amount) => sum + toMicros(amount), 0n)
