import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { filters, printFilter } from '../../../test/support/odata-filters.ts'
import { ODataError } from './expression.ts'
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
    ["name eq '", 'cannot be read at character 9'],
    ['name eq', 'ends too early'],
    ['name eq 1 1', 'has an unexpected 1 at character 11'],
    ['(name eq 1', 'ends too early'],
    ['name in ()', 'has an unexpected ) at character 10'],
    ['and eq 1', 'has an unexpected and at character 1'],
    ['name eq 2019-13-45', 'has a time that does not exist: 2019-13-45'],
    ['name eq 1;drop table numbers', 'cannot be read at character 10'],
    ['('.repeat(40) + 'a eq 1' + ')'.repeat(40), 'is nested deeper than 32'],
    [`a in (${Array.from({ length: 256 }, (_, n) => n).join(',')})`, 'has more than 512 parts'],
    [`name eq '${'x'.repeat(5_000)}'`, 'is longer than 4096 characters'],
  ])('%.40s is refused: %s', (filter, message) => {
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

  it('of any characters at all is parsed or refused, and nothing else, in time that grows with its length only', () => {
    const part = fc.constantFrom(
      '(',
      ')',
      ',',
      '/',
      ':',
      "'",
      ' ',
      'a',
      'eq',
      'and',
      'or',
      'not',
      'in',
      'any',
      '1',
      '-',
      '.',
      'null',
      '2019-01-01',
      'é',
      '\0',
    )
    const wild = fc.oneof(
      fc.array(part, { maxLength: 60 }).map((parts) => parts.join('')),
      fc.array(part, { maxLength: 60 }).map((parts) => parts.join(' ')),
      fc.string({ unit: 'binary', maxLength: 80 }),
    )
    let refused = 0
    fc.assert(
      fc.property(wild, (filter) => {
        const outcome = outcomeOf(filter)
        if (outcome === 'refused') refused += 1
        return outcome !== 'broken'
      }),
      { numRuns: 100_000 },
    )
    expect(refused).toBeGreaterThan(50_000)
  })
})

function outcomeOf(filter: string): 'parsed' | 'refused' | 'broken' {
  try {
    parseFilter(filter)
    return 'parsed'
  } catch (error) {
    return error instanceof ODataError ? 'refused' : 'broken'
  }
}
