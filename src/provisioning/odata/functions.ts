import { sql, type RawBuilder } from 'kysely'
import { ODataError } from './expression.ts'
import type { Value, ValueType } from './registry.ts'

type Definition = {
  readonly args: readonly ValueType[]
  readonly result: ValueType
  readonly toSql: (...args: readonly RawBuilder<unknown>[]) => RawBuilder<unknown>
}

/**
 * Texts are compared as they are: no character means anything but itself. Of letters only A to Z have another case,
 * which is so in every store, whatever its locale.
 */
const FUNCTIONS: Readonly<Record<string, Definition>> = {
  contains: { args: ['text', 'text'], result: 'boolean', toSql: (text, part) => sql`(strpos(${text}, ${part}) > 0)` },
  startswith: { args: ['text', 'text'], result: 'boolean', toSql: (text, part) => sql`starts_with(${text}, ${part})` },
  endswith: {
    args: ['text', 'text'],
    result: 'boolean',
    toSql: (text, part) => sql`(right(${text}, length(${part})) = ${part})`,
  },
  tolower: { args: ['text'], result: 'text', toSql: (text) => sql`lower(${text} collate "C")` },
  toupper: { args: ['text'], result: 'text', toSql: (text) => sql`upper(${text} collate "C")` },
  trim: { args: ['text'], result: 'text', toSql: (text) => sql`btrim(${text})` },
  length: { args: ['text'], result: 'number', toSql: (text) => sql`length(${text})` },
  year: { args: ['time'], result: 'number', toSql: (time) => partOf('year', time) },
  month: { args: ['time'], result: 'number', toSql: (time) => partOf('month', time) },
  day: { args: ['time'], result: 'number', toSql: (time) => partOf('day', time) },
  hour: { args: ['time'], result: 'number', toSql: (time) => partOf('hour', time) },
  minute: { args: ['time'], result: 'number', toSql: (time) => partOf('minute', time) },
}

const partOf = (part: string, time: RawBuilder<unknown> | undefined): RawBuilder<unknown> =>
  sql`extract(${sql.raw(part)} from ${time} at time zone 'UTC')`

/** Calls a function of OData. Throws an ODataError for one that there is not, or not of these values. */
export function callFunction(name: string, args: readonly Value[]): Value {
  const known = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined
  if (known === undefined) throw new ODataError(`has no function ${name}`)
  const fits =
    args.length === known.args.length &&
    known.args.every((type, index) => args[index]?.type === type || args[index]?.type === 'null')
  if (!fits) throw new ODataError(`must call ${name} with ${known.args.join(' and ')}`)
  const values = args.map(({ value, type }, index) => (type === 'null' ? typedNull(known.args[index]) : value))
  return { value: known.toSql(...values), type: known.result, isNullable: args.some(({ isNullable }) => isNullable) }
}

const typedNull = (type: ValueType | undefined): RawBuilder<unknown> =>
  type === 'time' ? sql`null::timestamptz` : sql`null::text`
