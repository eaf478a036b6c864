import type { CompareOperator, Expression, Literal } from '../../src/provisioning/odata/expression.ts'
import { SAMPLE_FIELDS, type SampleField, type SampleRow } from './odata-filters.ts'

/** Numbers as rationals of a common denominator, so that none is rounded; texts and booleans as they are. */
type Plain = string | bigint | boolean | null

const SCALE = 12

/**
 * Whether a row satisfies a filter, by the rules of OData and as plainly as can be: the other way of saying what
 * the SQL says. Three-valued: null is neither true nor false, and such a row is not returned.
 */
export const isWanted = (tree: Expression, row: SampleRow): boolean => truth(tree, row) === true

function truth(tree: Expression, row: SampleRow): boolean | null {
  if (tree.kind === 'not') {
    const inner = truth(tree.operand, row)
    return inner === null ? null : !inner
  }
  if (tree.kind === 'and' || tree.kind === 'or') {
    const sides = [truth(tree.left, row), truth(tree.right, row)]
    // What decides the whole, whatever the other side is.
    const decisive = tree.kind === 'or'
    return sides.includes(decisive) ? decisive : sides.includes(null) ? null : !decisive
  }
  if (tree.kind === 'compare') return compare(tree.operator, value(tree.left, row), value(tree.right, row))
  if (tree.kind === 'in') {
    const left = value(tree.left, row)
    return tree.items.some((item) => compare('eq', left, plainOf(item)))
  }
  const result = value(tree, row)
  if (tree.kind === 'field') return result === true
  return typeof result === 'boolean' ? result : null
}

function compare(operator: CompareOperator, left: Plain, right: Plain): boolean {
  if (operator === 'eq') return left === right
  if (operator === 'ne') return left !== right
  if (left === null || right === null) return false
  const order =
    typeof left === 'string' && typeof right === 'string'
      ? compareText(left, right)
      : left < right
        ? -1
        : left > right
          ? 1
          : 0
  if (operator === 'gt') return order > 0
  if (operator === 'ge') return order >= 0
  return operator === 'lt' ? order < 0 : order <= 0
}

/** By bytes of UTF-8, as the collation "C" does. */
const compareText = (left: string, right: string): number => Buffer.compare(Buffer.from(left), Buffer.from(right))

function value(tree: Expression, row: SampleRow): Plain {
  if (tree.kind === 'literal') return plainOf(tree.literal)
  if (tree.kind === 'field') return fieldOf(tree.path, row)
  if (tree.kind === 'call')
    return call(
      tree.name,
      tree.args.map((arg) => value(arg, row)),
    )
  throw new Error(`no value: ${tree.kind}`)
}

const isField = (name: string): name is SampleField => Object.hasOwn(SAMPLE_FIELDS, name)

function fieldOf(path: string, row: SampleRow): Plain {
  if (!isField(path)) throw new Error(`no field ${path}`)
  const found = row[path]
  if (found === null || typeof found === 'boolean') return found
  const type = SAMPLE_FIELDS[path]
  if (type === 'integer' || type === 'decimal') return toScaled(String(found))
  return type === 'time' ? BigInt(Date.parse(String(found))) : String(found)
}

function plainOf(literal: Literal): Plain {
  if (literal.type === 'null') return null
  if (literal.type === 'number') return toScaled(literal.value)
  return literal.type === 'time' ? BigInt(Date.parse(literal.value)) : literal.value
}

function toScaled(text: string): bigint {
  const [whole = '', fraction = ''] = text.replace('-', '').split('.')
  const scaled = BigInt(whole + fraction.padEnd(SCALE, '0'))
  return text.startsWith('-') ? -scaled : scaled
}

function call(name: string, args: readonly Plain[]): Plain {
  if (args.includes(null)) return null
  const [first, second] = args
  if (typeof first === 'bigint') return toScaled(String(partOf(name, new Date(Number(first)))))
  const text = String(first)
  const part = String(second)
  if (name === 'contains') return text.includes(part)
  if (name === 'startswith') return text.startsWith(part)
  if (name === 'endswith') return text.endsWith(part)
  if (name === 'tolower') return text.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase())
  if (name === 'toupper') return text.replaceAll(/[a-z]/g, (letter) => letter.toUpperCase())
  if (name === 'trim') return text.replaceAll(/^ +| +$/g, '')
  if (name === 'length') return toScaled(String(Array.from(text).length))
  throw new Error(`no function ${name}`)
}

function partOf(name: string, time: Date): number {
  if (name === 'year') return time.getUTCFullYear()
  if (name === 'month') return time.getUTCMonth() + 1
  if (name === 'day') return time.getUTCDate()
  return name === 'hour' ? time.getUTCHours() : time.getUTCMinutes()
}
