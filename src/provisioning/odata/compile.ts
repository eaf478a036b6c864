import { sql, type RawBuilder, type SqlBool } from 'kysely'
import { ODataError, type CompareOperator, type Expression, type Literal } from './expression.ts'
import { callFunction } from './functions.ts'
import { isColumnInteger } from './literal.ts'
import {
  namesOf,
  type FieldType,
  type SearchField,
  type SearchRegistry,
  type Value,
  type ValueType,
} from './registry.ts'

type Scope = CompileOptions & {
  readonly registry: SearchRegistry
  readonly variable?: string
  readonly fields?: Fields
}
type Fields = Readonly<Record<string, SearchField>>
type CompileOptions = {
  /**
   * Whether what belongs to a row is looked up for that row alone, and not for all of them beforehand: `offset 0` keeps
   * the planner from it, which expects to be asked for every row there is.
   */
  readonly isLookedUpByRow?: boolean
}

/**
 * A filter as SQL that is true for the rows it wants. Comparisons know true and false only: a null is equal to
 * null and different from everything else, neither greater nor less. Functions of null are null, and `not` leaves
 * that null, so such a row is not returned either way (OData 4.01, URL conventions, 5.1.1). `not` is carried down
 * to the comparisons, which keeps the others fit for an index. Throws an ODataError.
 */
export const compileFilter = (
  expression: Expression,
  registry: SearchRegistry,
  options: CompileOptions = {},
): RawBuilder<SqlBool> => condition(expression, { ...options, registry }, true)

/** SQL that is true where the expression is (or, unless `isWanted`, where it is false). */
function condition(expression: Expression, scope: Scope, isWanted: boolean): RawBuilder<SqlBool> {
  switch (expression.kind) {
    case 'not':
      return condition(expression.operand, scope, !isWanted)
    case 'and':
    case 'or': {
      const left = condition(expression.left, scope, isWanted)
      const right = condition(expression.right, scope, isWanted)
      return (expression.kind === 'and') === isWanted ? sql`(${left} and ${right})` : sql`(${left} or ${right})`
    }
    case 'compare':
      return compare(expression, scope, isWanted)
    case 'in':
      return inList(expression, scope, isWanted)
    case 'any':
    case 'all':
      return lambda(expression, scope, isWanted)
    case 'literal':
    case 'field':
    case 'call':
      break
  }
  return truthOf(expression, scope, isWanted)
}

/** A field or a function that is a condition by itself. */
function truthOf(expression: Expression, scope: Scope, isWanted: boolean): RawBuilder<SqlBool> {
  const { value, type } = operand(expression, scope)
  if (type !== 'boolean') throw new ODataError("must be a condition, such as name eq 'x'")
  // A field that is a condition by itself means "eq true", which is two-valued; a function is not.
  if (expression.kind === 'call') return isWanted ? sql`${value}` : sql`(not ${value})`
  return isWanted ? sql`(${value} is true)` : sql`(${value} is not true)`
}

const OPERATORS: Readonly<Record<CompareOperator, RawBuilder<unknown>>> = {
  eq: sql`=`,
  ne: sql`<>`,
  gt: sql`>`,
  ge: sql`>=`,
  lt: sql`<`,
  le: sql`<=`,
}

function compare(
  { operator, left: first, right: second }: Extract<Expression, { kind: 'compare' }>,
  scope: Scope,
  isWanted: boolean,
): RawBuilder<SqlBool> {
  const left = operand(first, scope)
  const right = operand(second, scope)
  if (left.type !== right.type && left.type !== 'null' && right.type !== 'null') {
    throw differentTypes(left, right)
  }
  if (operator === 'eq' || operator === 'ne') return equal(left, right, (operator === 'eq') === isWanted)
  if (left.type === 'boolean' || left.type === 'null' || right.type === 'null') {
    // Nothing is greater or less than null; of true and false neither is greater.
    if (left.type === 'boolean' && right.type === 'boolean')
      throw new ODataError(`compares by ${operator} what has no order`)
    return isWanted ? sql`false` : sql`true`
  }
  const collation = left.type === 'text' ? sql` collate "C"` : sql``
  if (isWanted) return sql`(${left.value} ${OPERATORS[operator]} ${right.value}${collation})`
  // The other way round, which an index knows as well; with what is neither.
  const opposite = sql`${left.value} ${OPERATORS[OPPOSITES[operator]]} ${right.value}${collation}`
  const nulls = [left, right].filter(({ isNullable }) => isNullable).map(({ value }) => sql`${value} is null`)
  return sql`(${sql.join([opposite, ...nulls], sql` or `)})`
}

function differentTypes({ type: left }: Value, { type: right }: Value): ODataError {
  const hint = left === 'text' || right === 'text' ? ': only text is in quotes' : ''
  return new ODataError(`compares ${left} with ${right}${hint}`)
}

const OPPOSITES = { gt: 'le', ge: 'lt', lt: 'ge', le: 'gt' } as const

/** `=` for a literal, which an index knows; what may be null on both sides is compared as such. */
function equal(left: Value, right: Value, isWanted: boolean): RawBuilder<SqlBool> {
  if (right.type === 'null') return isWanted ? sql`(${left.value} is null)` : sql`(${left.value} is not null)`
  if (left.type === 'null') return equal(right, left, isWanted)
  if (!isWanted) return sql`(${left.value} is distinct from ${right.value})`
  if (left.isConstant === true && right.isConstant !== true) return equal(right, left, isWanted)
  if (right.isConstant !== true) return sql`(${left.value} is not distinct from ${right.value})`
  return sql`(${hasPrefix(left, [right.value])}${left.value} = ${right.value})`
}

/** What an index of the first characters can find; the whole is compared besides. */
function hasPrefix({ indexedPrefix }: Value, constants: readonly RawBuilder<unknown>[]): RawBuilder<unknown> {
  if (indexedPrefix === undefined) return sql``
  const { value, length } = indexedPrefix
  const prefixes = constants.map((constant) => sql`left(${constant}, ${length}::int4)`)
  return sql`${value} in (${sql.join(prefixes)}) and `
}

function inList(
  { left: first, items }: Extract<Expression, { kind: 'in' }>,
  scope: Scope,
  isWanted: boolean,
): RawBuilder<SqlBool> {
  const left = operand(first, scope)
  const values = items.filter((item) => item.type !== 'null').map((item) => literal(item))
  const wrong = values.find((value) => value.type !== left.type)
  if (wrong !== undefined && left.type !== 'null') throw differentTypes(left, wrong)
  const constants = values.map(({ value }) => value)
  const isIn =
    values.length === 0 ? sql`false` : sql`(${hasPrefix(left, constants)}${left.value} in (${sql.join(constants)}))`
  const hasNull = items.some((item) => item.type === 'null')
  const any = hasNull ? sql`(${isIn} or ${left.value} is null)` : sql`(${isIn})`
  return isWanted ? sql`${any}` : sql`(${any} is not true)`
}

function lambda(
  expression: Extract<Expression, { kind: 'any' | 'all' }>,
  scope: Scope,
  isWanted: boolean,
): RawBuilder<SqlBool> {
  const { kind, path, variable, condition: inner } = expression
  const collection = own(scope.registry.collections ?? {}, path)
  if (collection === undefined || scope.variable !== undefined) throw new ODataError(`has no collection ${path}`)
  const byRow = scope.isLookedUpByRow === true ? sql` offset 0` : sql``
  if (inner === undefined) {
    const exists = sql<SqlBool>`exists (select ${collection.source}${byRow})`
    return isWanted ? exists : sql`(not ${exists})`
  }
  const inside = { ...scope, variable, fields: collection.fields }
  // All of them: there is none that is not so.
  const found = sql<SqlBool>`exists (select ${collection.source} and ${condition(inner, inside, kind === 'any')}${byRow})`
  return (kind === 'any') === isWanted ? found : sql`(not ${found})`
}

function operand(expression: Expression, scope: Scope): Value {
  if (expression.kind === 'literal') return literal(expression.literal)
  if (expression.kind === 'field') return field(expression.path, scope)
  if (expression.kind === 'call') {
    return callFunction(
      expression.name,
      expression.args.map((arg) => operand(arg, scope)),
    )
  }
  return { value: condition(expression, scope, true), type: 'boolean', isNullable: true }
}

function field(path: string, { registry, variable, fields }: Scope): Value {
  const prefix = variable === undefined ? undefined : `${variable}/`
  const isInner = prefix !== undefined && path.startsWith(prefix)
  const known = isInner ? own(fields ?? {}, path.slice(prefix.length)) : own(registry.fields, path)
  if (known?.isFilterable !== true) {
    const names = namesOf(isInner ? (fields ?? {}) : registry.fields, ({ isFilterable }) => isFilterable)
    const some = names.map((name) => `${isInner ? prefix : ''}${name}`).join(', ')
    throw new ODataError(`has no field ${path} that can be filtered by, only ${some}`)
  }
  const { value, type, indexedPrefix, isNullable } = known
  return { value, type: VALUE_TYPES[type], indexedPrefix, isNullable: isNullable === true }
}

/** A field of this very name, not one that every object has. */
const own = <Entry>(entries: Readonly<Record<string, Entry>>, name: string): Entry | undefined =>
  Object.hasOwn(entries, name) ? entries[name] : undefined

const VALUE_TYPES: Readonly<Record<FieldType, ValueType>> = {
  text: 'text',
  integer: 'number',
  decimal: 'number',
  time: 'time',
  boolean: 'boolean',
}

/** Bound as text and cast, so that every store reads the same and no digit is lost. */
function literal(constant: Literal): Value {
  if (constant.type === 'null') return { value: sql`null`, type: 'null', isConstant: true, isNullable: true }
  const { type } = constant
  return { value: constantOf(constant), type, isConstant: true, isNullable: false }
}

function constantOf({ type, value }: Exclude<Literal, { type: 'null' }>): RawBuilder<unknown> {
  if (type === 'boolean') return value ? sql`true` : sql`false`
  if (type === 'text') return sql`${value}::text`
  if (type === 'time') return sql`${value}::timestamptz`
  // Within what the columns have, an integer keeps their type, and with it their index.
  return isColumnInteger(value) ? sql`${value}::int8` : sql`${value}::numeric`
}
