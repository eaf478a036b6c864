import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { filters, printFilter } from '../../../test/support/odata-filters.ts'
import { ODataError, type Expression } from './expression.ts'
import { parseFilter } from './parser.ts'

const field = (path: string) => ({ kind: 'field', path })
const text = (value: string) => ({ kind: 'literal', literal: { type: 'text', value } })
const number = (value: string) => ({ kind: 'literal', literal: { type: 'number', value } })
const compare = (operator: string, left: unknown, right: unknown) => ({ kind: 'compare', operator, left, right })

describe('a filter', () => {
  it('binds and more tightly than or, and not more tightly than and', () => {
    expect(parseFilter('a eq 1 or b eq 2 and not c eq 3')).toEqual({
      kind: 'or',
      left: compare('eq', field('a'), number('1')),
      right: {
        kind: 'and',
        left: compare('eq', field('b'), number('2')),
        right: { kind: 'not', operand: compare('eq', field('c'), number('3')) },
      },
    })
  })

  it('keeps every digit of a number and every character of a text', () => {
    expect(parseFilter('id eq 9007199254740993')).toEqual(compare('eq', field('id'), number('9007199254740993')))
    expect(parseFilter("name eq 'O''Hara and (co)'")).toEqual(compare('eq', field('name'), text("O'Hara and (co)")))
  })

  it.each([
    [
      'createDate ge 2019-08-24T14:15:22Z',
      compare('ge', field('createDate'), { kind: 'literal', literal: { type: 'time', value: '2019-08-24T14:15:22Z' } }),
    ],
    ['accountInformation/accountNumber eq -5', compare('eq', field('accountInformation/accountNumber'), number('-5'))],
    [
      "name in ('a','b')",
      {
        kind: 'in',
        left: field('name'),
        items: [
          { type: 'text', value: 'a' },
          { type: 'text', value: 'b' },
        ],
      },
    ],
    ["contains(name,'x')", { kind: 'call', name: 'contains', args: [field('name'), text('x')] }],
    ['links/any()', { kind: 'any', path: 'links', variable: '', condition: undefined }],
    [
      'links/any(l: l/id eq 1)',
      { kind: 'any', path: 'links', variable: 'l', condition: compare('eq', field('l/id'), number('1')) },
    ],
    ['isReadOnly', field('isReadOnly')],
    ['a eq null', compare('eq', field('a'), { kind: 'literal', literal: { type: 'null' } })],
  ])('%s', (filter, tree) => {
    expect(parseFilter(filter)).toEqual(tree)
  })

  it.each([
    ['2019-08-24', '2019-08-24T00:00:00Z'],
    ['2019-08-24T14:15', '2019-08-24T14:15Z'],
    ['2020-02-29T14:15:22.123456', '2020-02-29T14:15:22.123456Z'],
    ['2019-08-24T14:15:22-07:00', '2019-08-24T14:15:22-07:00'],
    ['2019-08-24T14:15:22+15:59', '2019-08-24T14:15:22+15:59'],
  ])('has the time %s as %s', (written, value) => {
    expect(parseFilter(`at ge ${written}`)).toEqual(
      compare('ge', field('at'), { kind: 'literal', literal: { type: 'time', value } }),
    )
  })

  it.each([
    ["name eq '", "cannot be read at character 9: '"],
    ['name eq', 'ends too early'],
    ['name eq 1 1', 'has an unexpected 1 at character 11'],
    ['(name eq 1', 'ends too early'],
    ['name in ()', 'has an unexpected ) at character 10'],
    ['and eq 1', 'has an unexpected and at character 1'],
    ['name eq 2019-13-45', 'has a time that does not exist: 2019-13-45'],
    ['name eq 2019-02-30', 'has a time that does not exist: 2019-02-30'],
    ['name eq 2019-02-29T00:00:00Z', 'has a time that does not exist: 2019-02-29T00:00:00Z'],
    ['name eq 2019-02-28T24:00:00Z', 'has a time that does not exist: 2019-02-28T24:00:00Z'],
    ['name eq 2019-02-28T00:00:00+16:00', 'has a time that does not exist: 2019-02-28T00:00:00+16:00'],
    ['name eq 0000-01-01', 'has a time that does not exist: 0000-01-01'],
    ['name eq 0001-01-01T00:00:00+14:00', 'has a time that does not exist: 0001-01-01T00:00:00+14:00'],
    ['name eq 9999-12-31T23:00:00-14:00', 'has a time that does not exist: 9999-12-31T23:00:00-14:00'],
    ['name eq 2019-08-24T24:00:00Z', 'has a time that does not exist: 2019-08-24T24:00:00Z'],
    ['name eq 2019-08-24T10:00:00+16:00', 'has a time that does not exist: 2019-08-24T10:00:00+16:00'],
    ['name eq 2019-08-24T10:00:00-23:59', 'has a time that does not exist: 2019-08-24T10:00:00-23:59'],
    ["name eq 'a\0b'", 'has a character that no text has, at character 9'],
    ["contains(name,'\ud800')", 'has a character that no text has, at character 15'],
    ['name eq 1;drop table numbers', 'cannot be read at character 10: ;'],
    ['('.repeat(40) + 'a eq 1' + ')'.repeat(40), 'is nested deeper than 32'],
    ['not '.repeat(40) + 'a', 'is nested deeper than 32'],
    [`a in (${Array.from({ length: 501 }, (_, n) => n).join(',')})`, 'has a list of more than 500 values'],
    ['a eq 1 or '.repeat(300) + 'a eq 1', 'has more than 1100 parts'],
    [`name eq '${'x'.repeat(5_000)}'`, 'is longer than 4096 characters'],
  ])('%j is refused: %s', (filter, message) => {
    expect(() => parseFilter(filter)).toThrow(new ODataError(message))
  })

  it('that is printed from a tree is parsed as that tree', () => {
    fc.assert(
      fc.property(filters({ depth: 3 }), (tree) => {
        expect(parseFilter(printFilter(tree))).toEqual(tree)
      }),
      { numRuns: 1_000 },
    )
  })

  it('may have a list of 500 values, brackets 31 deep and 4,096 characters', () => {
    const list = parseFilter(`a in (${Array.from({ length: 500 }, (_, n) => n).join(',')})`)
    expect(list).toMatchObject({ kind: 'in', items: { length: 500 } })
    expect(parseFilter(`${'('.repeat(30)}a eq 1${')'.repeat(30)}`)).toEqual(compare('eq', field('a'), number('1')))
    expect(parseFilter(`a eq '${'x'.repeat(4_089)}'`)).toEqual(compare('eq', field('a'), text('x'.repeat(4_089))))
  })

  it('of any characters at all is parsed or refused, and nothing else, within all limits', () => {
    const refusals = new Set<string>()
    let refused = 0
    fc.assert(
      fc.property(wild, (filter) => {
        const outcome = outcomeOf(filter)
        if (typeof outcome === 'object') return isWithinLimits(filter, outcome)
        refused += 1
        for (const limit of LIMITS) if (outcome.includes(limit)) refusals.add(limit)
        return true
      }),
      { numRuns: 100_000 },
    )
    expect(refused).toBeGreaterThan(50_000)
    // Each limit was met, and not only the grammar.
    expect([...refusals].toSorted()).toEqual(LIMITS)
  })
})

const LIMITS = ['has a list of more than 500', 'has more than 1100', 'is longer than 4096', 'is nested deeper than 32']

const PARTS = "( ) , / : ' a eq and or not in any 1 - . null 2019-01-01 é \0".split(' ').concat(' ')
const part = fc.constantFrom(...PARTS)
const times = fc.integer({ min: 20, max: 520 })
const wild = fc.oneof(
  { weight: 20, arbitrary: fc.array(part, { maxLength: 60 }).map((parts) => parts.join('')) },
  { weight: 20, arbitrary: fc.array(part, { maxLength: 60 }).map((parts) => parts.join(' ')) },
  { weight: 20, arbitrary: fc.string({ unit: 'binary', maxLength: 80 }) },
  // Much of the same.
  fc.tuple(fc.array(part, { maxLength: 5 }), times).map(([parts, count]) => `${parts.join(' ')} `.repeat(count)),
  times.map((count) => `a in (${'1,'.repeat(count)}1)`),
  fc.tuple(fc.constantFrom('(', 'not ', 'f('), times).map(([opening, count]) => opening.repeat(count % 64) + 'a'),
  times.map((count) => `${'a or '.repeat(count)}a`),
)

/** The tree, or why there is none. Anything that is thrown but a refusal is thrown on. */
function outcomeOf(filter: string): Expression | string {
  try {
    return parseFilter(filter)
  } catch (error) {
    if (error instanceof ODataError) return error.message
    throw error
  }
}

/** Whether nothing that was parsed is beyond what the limits promise; counted in the text, not by the parser. */
function isWithinLimits(filter: string, tree: Expression): boolean {
  let depth = 0
  let deepest = 0
  for (const character of filter.replaceAll(/'(?:[^']|'')*'/g, "''")) {
    depth += character === '(' ? 1 : character === ')' ? -1 : 0
    deepest = Math.max(deepest, depth)
  }
  return filter.length <= 4_096 && deepest < 32 && longestList(tree) <= 500
}

function longestList(tree: Expression): number {
  if (tree.kind === 'in') return Math.max(tree.items.length, longestList(tree.left))
  if (tree.kind === 'call') return Math.max(0, ...tree.args.map(longestList))
  if (tree.kind === 'not') return longestList(tree.operand)
  if ('condition' in tree) return tree.condition === undefined ? 0 : longestList(tree.condition)
  if (tree.kind === 'literal' || tree.kind === 'field') return 0
  return Math.max(longestList(tree.left), longestList(tree.right))
}
