import { EXPRESSION_LIMITS, ExpressionError, type ExpressionValue } from './expression.ts'

/** Beyond this a number is not exact any more. */
const NUMBER_LIMIT = 1e15
const DECIMALS = 10

type Definition = {
  readonly argsMin: number
  readonly argsMax: number
  readonly call: (...args: readonly ExpressionValue[]) => ExpressionValue
}

/** Characters are those of Unicode, counted from 0. `if` is here for its arguments; the evaluator takes one of two. */
const FUNCTIONS: Readonly<Record<string, Definition>> = {
  if: { argsMin: 3, argsMax: 3, call: () => false },
  concat: { argsMin: 1, argsMax: 50, call: (...parts) => parts.map(toText).join('') },
  upper: { argsMin: 1, argsMax: 1, call: (text = '') => toText(text).toUpperCase() },
  lower: { argsMin: 1, argsMax: 1, call: (text = '') => toText(text).toLowerCase() },
  length: { argsMin: 1, argsMax: 1, call: (text = '') => charactersOf(text).length },
  contains: { argsMin: 2, argsMax: 2, call: (text = '', part = '') => toText(text).includes(toText(part)) },
  substring: {
    argsMin: 2,
    argsMax: 3,
    call: (text = '', from = 0, count = EXPRESSION_LIMITS.resultMax) =>
      charactersOf(text)
        .slice(toPlace(from), toPlace(from) + toPlace(count))
        .join(''),
  },
  replace: {
    argsMin: 3,
    argsMax: 3,
    call: (text = '', old = '', by = '') => replaceAll(toText(text), toText(old), toText(by)),
  },
}

/** Whether there is a function of this name, in lower case. */
export const isFunction = (name: string): boolean => Object.hasOwn(FUNCTIONS, name)

/** Throws an ExpressionError for a function that there is not, or not with so many arguments. */
export function callFunction(name: string, args: readonly ExpressionValue[]): ExpressionValue {
  const known = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined
  if (known === undefined) throw new ExpressionError(`has no function ${name}`)
  checkCount(name, args.length)
  return known.call(...args)
}

/** Throws an ExpressionError. */
export function checkCount(name: string, count: number): void {
  const known = FUNCTIONS[name]
  if (known !== undefined && (count < known.argsMin || count > known.argsMax)) {
    const range = known.argsMin === known.argsMax ? `${known.argsMin}` : `${known.argsMin} to ${known.argsMax}`
    throw new ExpressionError(`must call ${name} with ${range} values`)
  }
}

/** Not halves of them, as an index into a text would have it. */
const charactersOf = (text: ExpressionValue): readonly string[] => Array.from(toText(text))

function replaceAll(text: string, old: string, by: string): string {
  if (old === '') throw new ExpressionError('replaces an empty text')
  const pieces = text.split(old)
  checkLength(text.length + (pieces.length - 1) * (by.length - old.length))
  return pieces.join(by)
}

function toPlace(value: ExpressionValue): number {
  const place = toNumber(value)
  if (!Number.isInteger(place) || place < 0) throw new ExpressionError('counts characters by what is no whole number')
  return Math.min(place, EXPRESSION_LIMITS.resultMax)
}

/** A number as text: without an exponent, ten decimals at most. */
export function toText(value: ExpressionValue): string {
  if (typeof value === 'boolean') return value ? 'true' : 'false'
  if (typeof value === 'string') return value
  const text = checkNumber(value)
    .toFixed(DECIMALS)
    .replace(/\.?0+$/, '')
  return text === '-0' ? '0' : text
}

/** Throws an ExpressionError for what is not a number, nor the text of one. */
export function toNumber(value: ExpressionValue): number {
  if (typeof value === 'number') return value
  if (typeof value === 'string' && /^-?\d{1,15}(?:\.\d{1,15})?$/.test(value)) return Number(value)
  throw new ExpressionError('calculates with what is not a number')
}

/** Throws an ExpressionError for what is neither true nor false. */
export function toBoolean(value: ExpressionValue): boolean {
  if (typeof value === 'boolean') return value
  const text = typeof value === 'string' ? value.toLowerCase() : ''
  if (text === 'true' || text === 'false') return text === 'true'
  throw new ExpressionError('takes for true or false what is neither')
}

/** Throws an ExpressionError when a number is too large to be exact. */
export function checkNumber(value: number): number {
  if (!Number.isFinite(value) || Math.abs(value) >= NUMBER_LIMIT) throw new ExpressionError('comes to no exact number')
  return value
}

/** Throws an ExpressionError when a text is too long. */
export function checkLength(length: number): void {
  if (length > EXPRESSION_LIMITS.resultMax) {
    throw new ExpressionError(`comes to more than ${EXPRESSION_LIMITS.resultMax} characters`)
  }
}
