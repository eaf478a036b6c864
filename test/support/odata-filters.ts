import * as fc from 'fast-check'
import type { CompareOperator, Expression, Literal } from '../../src/provisioning/odata/expression.ts'

/** The fields of the rows that generated filters are about. */
export const SAMPLE_FIELDS = {
  name: 'text',
  note: 'text',
  size: 'integer',
  price: 'decimal',
  at: 'time',
  isOpen: 'boolean',
} as const
export type SampleField = keyof typeof SAMPLE_FIELDS
/** Null where a field has no value. */
export type SampleRow = {
  readonly id: number
  readonly name: string
  readonly note: string | null
  readonly size: number | null
  readonly price: string | null
  readonly at: string | null
  readonly isOpen: boolean | null
}

const TEXTS = ['', 'a', 'A', 'ab', 'b', "o'b", '%', '_', '\\', 'é', 'ab c', 'Ä', '10']
const NUMBERS = ['-1', '0', '1', '2', '10', '2.5', '9007199254740993']
const TIMES = ['2019-08-24T14:15:22Z', '2020-01-01T00:00:00Z', '2020-06-30T23:59:59.5Z', '2021-01-01T00:00:00+02:00']

/** A row of any values, of those that filters are about and a few others. */
export const sampleRows = (count: number): fc.Arbitrary<SampleRow[]> =>
  fc
    .array(
      fc.record({
        name: fc.constantFrom(...TEXTS),
        note: fc.option(fc.constantFrom(...TEXTS)),
        size: fc.option(fc.constantFrom(-1, 0, 1, 2, 10)),
        price: fc.option(fc.constantFrom('-1', '0', '2.5', '10', '0.000001')),
        at: fc.option(fc.constantFrom(...TIMES)),
        isOpen: fc.option(fc.boolean()),
      }),
      { minLength: count, maxLength: count },
    )
    .map((rows) => rows.map((row, index) => ({ id: index + 1, ...row })))

const literalOf = (type: 'text' | 'number' | 'time'): fc.Arbitrary<Literal> =>
  fc.constantFrom(...(type === 'text' ? TEXTS : type === 'number' ? NUMBERS : TIMES)).map((value) => ({ type, value }))
const NULL: Literal = { type: 'null' }
const asExpression = (literal: Literal): Expression => ({ kind: 'literal', literal })
const fieldOf = (path: string): Expression => ({ kind: 'field', path })

const TEXT_FIELDS = fc.constantFrom('name', 'note').map(fieldOf)
const NUMBER_FIELDS = fc.constantFrom('size', 'price').map(fieldOf)
const TIME_FIELDS = fc.constant(fieldOf('at'))
const operators = fc.constantFrom<CompareOperator>('eq', 'ne', 'gt', 'ge', 'lt', 'le')

const textValue: fc.Arbitrary<Expression> = fc.oneof(
  { weight: 3, arbitrary: TEXT_FIELDS },
  literalOf('text').map(asExpression),
  fc
    .tuple(fc.constantFrom('tolower', 'toupper', 'trim'), TEXT_FIELDS)
    .map(([name, arg]): Expression => ({ kind: 'call', name, args: [arg] })),
)
const numberValue: fc.Arbitrary<Expression> = fc.oneof(
  { weight: 3, arbitrary: NUMBER_FIELDS },
  literalOf('number').map(asExpression),
  TEXT_FIELDS.map((arg): Expression => ({ kind: 'call', name: 'length', args: [arg] })),
  fc
    .tuple(fc.constantFrom('year', 'month', 'day', 'hour', 'minute'), TIME_FIELDS)
    .map(([name, arg]): Expression => ({ kind: 'call', name, args: [arg] })),
)
const timeValue: fc.Arbitrary<Expression> = fc.oneof(TIME_FIELDS, literalOf('time').map(asExpression))

const compared = (value: fc.Arbitrary<Expression>): fc.Arbitrary<Expression> =>
  fc
    .tuple(operators, value, fc.oneof({ weight: 6, arbitrary: value }, fc.constant(asExpression(NULL))))
    .map(([operator, left, right]) => ({ kind: 'compare', operator, left, right }))
const listed = (field: fc.Arbitrary<Expression>, type: 'text' | 'number'): fc.Arbitrary<Expression> =>
  fc
    .tuple(
      field,
      fc.array(fc.oneof({ weight: 5, arbitrary: literalOf(type) }, fc.constant(NULL)), { minLength: 1, maxLength: 4 }),
    )
    .map(([left, items]) => ({ kind: 'in', left, items }))

const simple: fc.Arbitrary<Expression> = fc.oneof(
  compared(textValue),
  compared(numberValue),
  compared(timeValue),
  listed(TEXT_FIELDS, 'text'),
  listed(NUMBER_FIELDS, 'number'),
  fc
    .tuple(fc.constantFrom('contains', 'startswith', 'endswith'), TEXT_FIELDS, literalOf('text').map(asExpression))
    .map(([name, ...args]): Expression => ({ kind: 'call', name, args })),
  fc.constant(fieldOf('isOpen')),
  fc.tuple(fc.constantFrom<CompareOperator>('eq', 'ne'), fc.boolean()).map(([operator, value]): Expression => ({
    kind: 'compare',
    operator,
    left: fieldOf('isOpen'),
    right: asExpression({ type: 'boolean', value }),
  })),
)

/** Filters whose types are right, as trees. */
export const filters = ({ depth }: { readonly depth: number }): fc.Arbitrary<Expression> =>
  depth === 0
    ? simple
    : fc.oneof(
        { weight: 2, arbitrary: simple },
        fc
          .tuple(
            fc.constantFrom<'and' | 'or'>('and', 'or'),
            filters({ depth: depth - 1 }),
            filters({ depth: depth - 1 }),
          )
          .map(([kind, left, right]): Expression => ({ kind, left, right })),
        filters({ depth: depth - 1 }).map((operand): Expression => ({ kind: 'not', operand })),
      )

/** A tree as a filter, with brackets around everything that has parts. */
export function printFilter(tree: Expression): string {
  switch (tree.kind) {
    case 'literal':
      return printLiteral(tree.literal)
    case 'field':
      return tree.path
    case 'call':
      return `${tree.name}(${tree.args.map(printFilter).join(', ')})`
    case 'compare':
      return `(${printFilter(tree.left)} ${tree.operator} ${printFilter(tree.right)})`
    case 'in':
      return `(${printFilter(tree.left)} in (${tree.items.map(printLiteral).join(',')}))`
    case 'and':
    case 'or':
      return `(${printFilter(tree.left)} ${tree.kind} ${printFilter(tree.right)})`
    case 'not':
      return `(not ${printFilter(tree.operand)})`
    case 'any':
    case 'all':
      break
  }
  return tree.condition === undefined
    ? `${tree.path}/${tree.kind}()`
    : `${tree.path}/${tree.kind}(${tree.variable}: ${printFilter(tree.condition)})`
}

function printLiteral(literal: Literal): string {
  if (literal.type === 'null') return 'null'
  if (literal.type === 'boolean') return String(literal.value)
  return literal.type === 'text' ? `'${literal.value.replaceAll("'", "''")}'` : literal.value
}
