import { expect, test } from 'vitest'
import { computeItems } from './computed-items.ts'
import { EXPRESSION_LIMITS, ExpressionError } from './expression.ts'
import { resolveParameters } from './step-parameters.ts'

const LONG = 'x'.repeat(EXPRESSION_LIMITS.resultMax)
/** As much of the longest text as a value can ask for. */
const COSTLY = `#[0${'+length(@[Text])'.repeat(60)}]`
const named = <Value>(count: number, value: Value) =>
  Array.from({ length: count }, (_, at) => [`Key${at}`, value] as const)

const itemsOf = (count: number, value: string) =>
  computeItems({ definitions: [], given: new Map([['Text', LONG], ...named(count, value)]), previous: new Map() })
const parametersOf = (count: number, value: string) =>
  resolveParameters(new Map(named(count, [{ scope: 'Literal', value }] as const)), {
    items: new Map([['Text', LONG]]),
    fields: new Map(),
    globals: new Map(),
  })

test.each([
  ['items of a request', itemsOf],
  ['parameters of a step', parametersOf],
])('%s together read no more text than one of them might', (_, compute) => {
  expect(() => compute(3, COSTLY)).not.toThrow()
  expect(() => compute(10, COSTLY)).toThrow(ExpressionError)
  expect(() => compute(10, COSTLY)).toThrow(`reads more than ${EXPRESSION_LIMITS.readMax} characters`)
})

test.each([
  ['items of a request', itemsOf],
  ['parameters of a step', parametersOf],
])('%s together have no longer formulas than are read at once', (_, compute) => {
  const formula = `#[1${' '.repeat(900)}]`
  expect(() => compute(100, formula)).not.toThrow()
  expect(() => compute(200, formula)).toThrow(
    `is computed, and with those before it longer than ${EXPRESSION_LIMITS.formulasMax} characters`,
  )
})
