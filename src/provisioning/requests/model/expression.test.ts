import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { EXPRESSION_LIMITS, ExpressionError } from './expression.ts'
import { Evaluator } from './expression-evaluator.ts'
import { parseTemplate } from './expression-parser.ts'

const KNOWN = new Map([
  ['First Name', 'Ada'],
  ['Count', '3'],
  ['Price', '0.1'],
  ['Flag', 'true'],
  ['Nothing', ''],
])

function compute(text: string): string {
  const evaluator = new Evaluator((key) => {
    const value = KNOWN.get(key)
    if (value === undefined) throw new ExpressionError(`refers to ${key}, which there is not`)
    return value
  })
  return evaluator.evaluate(parseTemplate(text))
}

describe('what values come to', () => {
  test.each([
    ['plain text', 'plain text'],
    ['@[First Name]', 'Ada'],
    ['Dear @[First Name], you have @[Count].', 'Dear Ada, you have 3.'],
    ['#[1 + 2 * 3]', '7'],
    ['#[(1 + 2) * 3]', '9'],
    ['#[8 - 2 - 1]', '5'],
    ['#[-2 * -3]', '6'],
    ['#[@[Count] * 2 + 1]', '7'],
    ['#[@[Price] + 0.2]', '0.3'],
    ['#[1 / 3]', '0.3333333333'],
    ['#[0 - 0]', '0'],
    ["#['it''s ]']", "it's ]"],
    ['#["@[Count]"]', '@[Count]'],
    ['#[@[Count] = 3]', 'true'],
    ["#[@[Count] = '3']", 'true'],
    ["#['10' < '9']", 'true'],
    ['#[10 < 9]', 'false'],
    ["#[@[Count] >= 3 and not @[First Name] = 'Bob']", 'true'],
    ['#[true or false and false]', 'true'],
    ['#[@[Flag] and 1 <> 2]', 'true'],
    ["#[if(@[Count] > 2, 'many', 1 / 0)]", 'many'],
    ['#[false and 1 / 0 = 1]', 'false'],
    ["#[concat('n', 1, true, @[First Name])]", 'n1trueAda'],
    ["#[UPPER(lower('ÄbC'))]", 'ÄBC'],
    ["#[substring('hello', 1, 3)]", 'ell'],
    ["#[substring('😀x', 1)]", 'x'],
    ["#[length('😀x')]", '2'],
    ["#[replace('a-b-c', '-', '')]", 'abc'],
    ["#[contains(@[First Name], 'd')]", 'true'],
    ['#[if(@[Nothing] = "", "none", @[Nothing])]', 'none'],
    ['a @ b [c] # d', 'a @ b [c] # d'],
  ])('%s', (text, value) => {
    expect(compute(text)).toBe(value)
  })
})

describe('what is refused', () => {
  test.each([
    ['@[', 'cannot be read at character 1'],
    ['@[]', 'cannot be read at character 1'],
    ['#[1 + ]', 'has an unexpected ] at character 7'],
    ['#[1 + 2', 'ends too early'],
    ['#[1 2]', 'has an unexpected 2 at character 5'],
    ['#[CustomerLookup(1)]', 'has no function CustomerLookup'],
    ['#[constructor(1)]', 'has no function constructor'],
    ['#[First]', 'has no function First'],
    ['#[upper()]', 'must call upper with 1 values'],
    ['#[substring("a")]', 'must call substring with 2 to 3 values'],
    ['#[1 / 0]', 'divides by zero'],
    ["#['a' + 1]", 'calculates with what is not a number'],
    ["#[not 'a']", 'takes for true or false what is neither'],
    ['#[true < false]', 'orders what is true or false'],
    ['#[999999999999999 * 999999999999999]', 'comes to no exact number'],
    ["#[replace('a', '', 'b')]", 'replaces an empty text'],
    ["#[substring('a', 0.5)]", 'counts characters by what is no whole number'],
    ['@[Missing]', 'refers to Missing, which there is not'],
    [`#[${'('.repeat(40)}1${')'.repeat(40)}]`, 'is nested deeper than 32'],
    [`#[${'-'.repeat(40)}1]`, 'is nested deeper than 32'],
    [`@[Count]${' '.repeat(1_000)}`, 'is computed and longer than 1000 characters'],
  ])('%s', (text, message) => {
    expect(() => compute(text)).toThrow(new ExpressionError(message))
  })

  test('a text that grows beyond the limit', () => {
    const doubled = (depth: number): string =>
      depth === 0 ? "'0123456789'" : `replace(${doubled(depth - 1)}, '0', '0123456789')`
    expect(compute(`#[${doubled(3)}]`).length).toBeLessThanOrEqual(EXPRESSION_LIMITS.resultMax)
    const wide = Array.from({ length: 40 }, () => `'${'x'.repeat(8)}'`).join(',')
    const text = `#[replace(concat(${wide}), 'x', '${'y'.repeat(200)}')]`
    expect(() => compute(text)).toThrow('comes to more than 4000 characters')
  })
})

/** What `work` comes to, or what it throws. */
function resultOf(work: () => unknown): unknown {
  try {
    return work()
  } catch (error) {
    return error
  }
}

/** Texts that look like expressions, more often than not. */
const piece = fc.constantFrom(
  '@[Count]',
  '@[First Name]',
  '@[',
  '#[',
  ']',
  '(',
  ')',
  ',',
  "'a'",
  '"',
  "'",
  '1',
  '2.5',
  ' ',
  '+',
  '-',
  '*',
  '/',
  '=',
  '<>',
  ' and ',
  ' or ',
  'not ',
  'if(',
  'concat(',
  'replace(',
  'substring(',
  'length(',
  'true',
  'x',
  '😀',
  '\ud800',
)
const written = fc.oneof(
  fc.array(piece, { maxLength: 60 }).map((pieces) => pieces.join('')),
  fc.string(),
)

test('whatever is written, it comes to a text within the limits or to an ExpressionError', () => {
  fc.assert(
    fc.property(written, (text) => {
      const result = resultOf(() => compute(`#[${text}]`))
      const isText = typeof result === 'string' && result.length <= EXPRESSION_LIMITS.resultMax
      expect(isText || result instanceof ExpressionError).toBe(true)
    }),
    { numRuns: 3_000 },
  )
})

type Sum = { readonly text: string; readonly value: number }

test('sums, products and differences of whole numbers are exact', () => {
  const { tree } = fc.letrec<{ tree: Sum }>((tie) => ({
    tree: fc.oneof(
      { maxDepth: 4 },
      fc.nat(20).map((value) => ({ text: String(value), value })),
      fc.tuple(tie('tree'), fc.constantFrom('+', '-', '*'), tie('tree')).map(([left, operator, right]) => ({
        text: `(${left.text} ${operator} ${right.text})`,
        value: { '+': left.value + right.value, '-': left.value - right.value, '*': left.value * right.value }[
          operator
        ],
      })),
    ),
  }))
  fc.assert(
    fc.property(tree, ({ text, value }) => {
      expect(compute(`#[${text}]`)).toBe(String(value + 0))
    }),
  )
})
