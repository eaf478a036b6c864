import type { Expression, Literal } from './expression.ts'
import { isColumnInteger } from './literal.ts'
import type { SearchField } from './registry.ts'

type Fields = Readonly<Record<string, SearchField>>

/**
 * Whether PostgreSQL's statistics say how many rows a filter wants: it compares columns with constants. Of anything
 * else the planner assumes some fixed share, whatever there is.
 */
export function isEstimable(filter: Expression, fields: Fields): boolean {
  switch (filter.kind) {
    case 'literal':
      return true
    case 'field':
      return Object.hasOwn(fields, filter.path) && fields[filter.path]?.isComputed !== true
    case 'compare':
      return areFieldAndConstant(filter.left, filter.right, fields)
    case 'in':
      return filter.left.kind === 'field' && isEstimable(filter.left, fields)
    case 'and':
    case 'or':
      return isEstimable(filter.left, fields) && isEstimable(filter.right, fields)
    case 'not':
      return isEstimable(filter.operand, fields)
    case 'call': {
      const [text, part] = filter.args
      return filter.name === 'startswith' && text !== undefined && part !== undefined
        ? text.kind === 'field' && areFieldAndConstant(text, part, fields)
        : false
    }
    case 'any':
    case 'all':
      break
  }
  return false
}

const areFieldAndConstant = (left: Expression, right: Expression, fields: Fields): boolean =>
  [left, right].every((side) => side.kind === 'literal' || (side.kind === 'field' && isEstimable(side, fields))) &&
  [left, right].some((side) => side.kind === 'literal')

/** Whether a filter names values of the key, by which an index finds the few rows that there can be. */
export function namesKeys(filter: Expression, key: string): boolean {
  if (filter.kind === 'and') return namesKeys(filter.left, key) || namesKeys(filter.right, key)
  if (filter.kind === 'in') return isField(filter.left, key) && filter.items.every(isOfIndex)
  if (filter.kind !== 'compare' || filter.operator !== 'eq' || filter.right.kind !== 'literal') return false
  return isField(filter.left, key) && isOfIndex(filter.right.literal)
}

/**
 * Whether a filter wants rows that stand together in the order of a field, so that an index of it begins and ends with
 * them.
 */
export function isRangeOf(filter: Expression, path: string, fields: Fields): boolean {
  if (filter.kind === 'and') return isRangeOf(filter.left, path, fields) && isRangeOf(filter.right, path, fields)
  if (filter.kind === 'not') {
    const { operand } = filter
    // Those that have no value are not less, and not with the others.
    return operand.kind === 'compare' && operand.operator !== 'eq' && fields[path]?.isNullable !== true
      ? isRangeOf(operand, path, fields)
      : false
  }
  if (filter.kind === 'call') {
    const [text, part] = filter.args
    return filter.name === 'startswith' && text !== undefined && isField(text, path) && part?.kind === 'literal'
  }
  if (filter.kind !== 'compare' || filter.operator === 'ne' || filter.right.kind !== 'literal') return false
  return isField(filter.left, path) && isOfIndex(filter.right.literal)
}

const isField = (expression: Expression, path: string): boolean =>
  expression.kind === 'field' && expression.path === path

/** An integer column is compared with other numbers by their values, without its index. */
const isOfIndex = (literal: Literal): boolean =>
  literal.type === 'text' || literal.type === 'time' || (literal.type === 'number' && isColumnInteger(literal.value))
