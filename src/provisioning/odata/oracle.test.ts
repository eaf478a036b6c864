import { isDeepStrictEqual } from 'node:util'
import * as fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { filters, printFilter } from '../../../test/support/odata-filters.ts'
import { askOracle, plainOracleTree, plainTree, tokensOf, type PlainTree } from '../../../test/support/odata-oracle.ts'
import { ODataError, type Expression } from './expression.ts'
import { parseFilter } from './parser.ts'
import { tokenize } from './tokens.ts'

/** Our tree; undefined if we refuse the filter. */
function ours(filter: string): PlainTree | undefined {
  try {
    return plainTree(parseFilter(filter))
  } catch (error) {
    if (error instanceof ODataError) return undefined
    throw error
  }
}
const WORDS = new Set(['and', 'or', 'not', 'eq', 'ne', 'gt', 'ge', 'lt', 'le', 'in'])

const partsOf = (tree: PlainTree) => tree.parts.filter((part) => typeof part !== 'string')
/** Every tree and tree of a tree whose kind is one of these. */
const within = (tree: PlainTree, kinds: readonly string[]): readonly PlainTree[] => [
  ...(kinds.includes(tree.kind) ? [tree] : []),
  ...partsOf(tree).flatMap((part) => within(part, kinds)),
]
const COMPARISONS = ['eq', 'ne', 'gt', 'ge', 'lt', 'le']
const CONDITIONS = [...COMPARISONS, 'and', 'or', 'not', 'in', 'any', 'all']
const ARGUMENTS: Readonly<Record<string, number>> = {
  ...Object.fromEntries(['contains', 'startswith', 'endswith'].map((name) => [name, 2])),
  ...Object.fromEntries(['tolower', 'toupper', 'trim', 'length'].map((name) => [name, 1])),
  ...Object.fromEntries(['year', 'month', 'day', 'hour', 'minute'].map((name) => [name, 1])),
}
const argumentsOf = ({ parts: [name] }: PlainTree) => (typeof name === 'string' ? ARGUMENTS[name] : undefined)
const isTruth = (tree: PlainTree) => CONDITIONS.includes(tree.kind) || (tree.kind === 'call' && argumentsOf(tree) === 2)

/** The same tokens, with a blank exactly where the grammar has one. */
function respaced(filter: string): string {
  const tokens = tokenize(filter)
  return tokens.reduce((text, { type, value }, index) => {
    const before = tokens[index - 1]
    const afterWord = before !== undefined && !['(', '/', ',', ':'].includes(before.type)
    const isCalled = type === '(' && before?.type === 'name' && !WORDS.has(before.value)
    return text + (afterWord && !isCalled && ![')', '/', ',', ':', 'end'].includes(type) ? ' ' : '') + value
  }, '')
}

/** Where the two parsers differ on purpose: whose filter it is, one of them, and how to know others. */
type Difference = readonly [
  what: string,
  accepts: 'ours' | 'theirs',
  example: string,
  applies: (filter: string) => boolean,
]
const inOurs = (filter: string, applies: (tree: PlainTree) => boolean) => {
  const tree = ours(filter)
  return tree !== undefined && applies(tree)
}
const DIFFERENCES: readonly Difference[] = [
  ['a list', 'ours', "name in ('a','b')", (filter) => inOurs(filter, (tree) => within(tree, ['in']).length > 0)],
  [
    'a function is looked up when the filter is compiled',
    'ours',
    'lower(name) eq length()',
    (filter) =>
      inOurs(filter, (tree) => within(tree, ['call']).some((call) => argumentsOf(call) !== partsOf(call).length)),
  ],
  [
    'a condition is a value',
    'ours',
    "contains(name,'a') eq true",
    (filter) =>
      inOurs(filter, (tree) => within(tree, [...COMPARISONS, 'call']).some((outer) => partsOf(outer).some(isTruth))),
  ],
  [
    'a name that begins like a constant',
    'ours',
    'nullable eq truely',
    (filter) => /\b(null|true|false)\w/.test(filter),
  ],
  [
    'blanks where they are not needed, and none where they are not missed',
    'ours',
    "( name eq'a')and(size gt 1) ",
    (filter) => inOurs(filter, () => askOracle(respaced(filter)) !== undefined),
  ],
  ['a number with an exponent', 'ours', 'size eq 1e5', (filter) => /\de/i.test(filter)],
  ['an integer of any length', 'ours', 'size eq 90071992547409930000', (filter) => /\d{19}/.test(filter)],
  ['a time without a zone', 'ours', 'at eq 2019-01-01T00:00:00', (filter) => /\d{2}:\d{2}(?![:\d.Z+-])/.test(filter)],
  ['a quote that is not closed', 'theirs', "name eq '", (filter) => (filter.match(/'/g)?.length ?? 0) % 2 === 1],
  [
    'a word of the grammar as a field',
    'theirs',
    'eq eq 1',
    (filter) => tokensIn(filter, 'FirstMemberExpression').some((raw) => WORDS.has(raw)),
  ],
  ['a time that does not exist', 'theirs', 'at eq 2019-02-30', (filter) => /\d{4}-\d{2}-\d{2}/.test(filter)],
  ['a number with a plus', 'theirs', 'size eq +1', (filter) => filter.includes('+')],
  ['arithmetic', 'theirs', 'size add 1 eq 2', (filter) => tokensIn(filter, 'AddExpression').length > 0],
  ['flags', 'theirs', 'size has name', (filter) => tokensIn(filter, 'HasExpression').length > 0],
  ['types', 'theirs', 'isof(name,Edm.String)', (filter) => tokensIn(filter, 'IsOfExpression').length > 0],
  ['a duration', 'theirs', "at eq duration'P1D'", (filter) => filter.includes('duration')],
  ['the row itself', 'theirs', '$it eq 1', (filter) => filter.includes('$it')],
  ['names of other letters than ours', 'theirs', 'größe eq 1', (filter) => /[^\p{ASCII}]/u.test(filter)],
  ['escapes of a URL, which was read before', 'theirs', 'size%20eq%201', (filter) => filter.includes('%')],
  [
    'what is deeper than our limit',
    'theirs',
    `${'('.repeat(40)}size eq 1${')'.repeat(40)}`,
    (filter) => filter.split('(').length > 32,
  ],
  ['what is longer than our limit', 'theirs', `name eq '${'a'.repeat(5_000)}'`, (filter) => filter.length > 4_096],
]

const tokensIn = (filter: string, type: string): readonly string[] => {
  const tree = askOracle(filter)
  return tree === undefined ? [] : tokensOf(tree).flatMap((token) => (token.type === type ? [token.raw] : []))
}

/** With brackets only where the tree is another one without. Theirs takes `not a and b` for `not (a and b)`. */
function printPlainly(tree: Expression): string {
  if (tree.kind === 'not') return `not ${bracketed(tree.operand, ['field', 'call'])}`
  if (tree.kind === 'and') {
    return [tree.left, tree.right].map((part) => bracketed(part, ['compare', 'call', 'field', 'and'])).join(' and ')
  }
  if (tree.kind === 'or') {
    return [tree.left, tree.right]
      .map((part) => bracketed(part, ['compare', 'call', 'field', 'and', 'or']))
      .join(' or ')
  }
  const text = printFilter(tree)
  return tree.kind === 'compare' ? text.slice(1, -1) : text
}
const bracketed = (tree: Expression, plain: readonly Expression['kind'][]): string =>
  plain.includes(tree.kind) ? printPlainly(tree) : `(${printPlainly(tree)})`

const hasList = (tree: Expression): boolean => within(plainTree(tree), ['in']).length > 0
/** What both of them know; some of it about what belongs to a row. */
const shared = fc
  .tuple(
    filters({ depth: 3 }).filter((tree) => !hasList(tree)),
    fc.constantFrom('', 'any', 'all'),
  )
  .map(([tree, kind]): Expression =>
    kind === 'any' || kind === 'all' ? { kind, path: 'some/links', variable: 'l', condition: tree } : tree,
  )

describe('beside another parser of OData', () => {
  it.each([
    ['with all brackets', printFilter],
    ['with no more brackets than needed', printPlainly],
  ])('a filter %s has the same tree', (_, print) => {
    fc.assert(
      fc.property(shared, (tree) => {
        const filter = print(tree)
        const theirs = askOracle(filter)
        expect(theirs && plainOracleTree(theirs)).toEqual(plainTree(tree))
        expect(ours(filter)).toEqual(plainTree(tree))
      }),
      { numRuns: 2_000 },
    )
  })

  test.each(DIFFERENCES)('%s is accepted by %s only', (_, accepts, example, applies) => {
    expect(ours(example) !== undefined).toBe(accepts === 'ours')
    expect(askOracle(example) !== undefined).toBe(accepts === 'theirs')
    expect(applies(example)).toBe(true)
  })

  it('not binds more tightly than and, which theirs has the other way', () => {
    const theirs = askOracle('not isOpen and size eq 1')
    expect(ours('not isOpen and size eq 1')?.kind).toBe('and')
    expect(theirs && plainOracleTree(theirs).kind).toBe('not')
  })

  it('a damaged filter is refused by both, or has the same tree, or differs in a way that is listed', () => {
    const met = { agree: 0, refused: 0, listed: 0 }
    const damaged = fc
      .tuple(shared.map(printPlainly), fc.nat(), fc.constantFrom('drop', 'repeat', 'swap', 'cut'))
      .map(([filter, nth, how]) => damage(filter, nth, how))
    fc.assert(
      fc.property(damaged, (filter) => {
        const verdict = verdictOn(filter)
        met[verdict] += 1
      }),
      { numRuns: 10_000 },
    )
    // Each of the three is met often enough to mean something.
    expect(Math.min(met.agree, met.refused, met.listed)).toBeGreaterThan(100)
  })
})

/** Throws for a disagreement that is not listed. */
function verdictOn(filter: string): 'agree' | 'refused' | 'listed' {
  const tree = ours(filter)
  const theirs = askOracle(filter)
  if (tree === undefined && theirs === undefined) return 'refused'
  if (tree !== undefined && theirs !== undefined) {
    if (isDeepStrictEqual(tree, plainOracleTree(theirs))) return 'agree'
    if (/\bnot\b.*\b(and|or)\b/.test(filter)) return 'listed'
    throw new Error('both accept it, with different trees')
  }
  const accepts = tree === undefined ? 'theirs' : 'ours'
  if (DIFFERENCES.some(([, whose, , applies]) => whose === accepts && applies(filter))) return 'listed'
  throw new Error(`accepted by ${accepts} only`)
}

/** The filter without one of its parts, or with one twice, or changed with the next, or without its first character. */
function damage(filter: string, nth: number, how: string): string {
  const parts = filter.match(/'(?:[^']|'')*'|[\w.:+-]+|\s+|[(),/]|./g) ?? []
  const at = nth % parts.length
  const [part = '', next = ''] = parts.slice(at)
  const changed = how === 'drop' ? [next] : how === 'repeat' ? [part, part, next] : [next, part]
  return [...parts.slice(0, at), ...(how === 'cut' ? [part.slice(1), next] : changed), ...parts.slice(at + 2)].join('')
}
