import { sql, type RawBuilder } from 'kysely'
import { invalidOption, type OrderTerm } from './query.ts'
import { namesOf, type SearchField } from './registry.ts'

/** A term of `$orderby`, with the field that it names. */
export type SortKey = OrderTerm & { readonly known: SearchField }

/** Under which name a row brings the text of its sort key of this index. */
export const markOf = (index: number): string => `sort_key_${index}`

/**
 * What a search is sorted by: the terms that were asked for, and `key`, which makes the order total. It has the
 * direction of the term before, so that an index of both serves either direction. Throws `invalid_request`.
 */
export function sortKeys(
  { fields, key }: { readonly fields: Readonly<Record<string, SearchField>>; readonly key: string },
  terms: readonly OrderTerm[],
): readonly SortKey[] {
  const asked = terms.map((term) => {
    const known = Object.hasOwn(fields, term.field) ? fields[term.field] : undefined
    if (known?.isSortable !== true) {
      const names = namesOf(fields, ({ isSortable }) => isSortable)
      throw invalidOption('$orderby', `has no field ${term.field} that can be sorted by, only ${names.join(', ')}`)
    }
    return { ...term, known }
  })
  const known = fields[key]
  if (known === undefined || asked.some(({ field }) => field === key)) return asked
  return [...asked, { field: key, known, isDescending: asked.at(-1)?.isDescending ?? false }]
}

const CASTS = {
  text: sql`text`,
  integer: sql`int8`,
  decimal: sql`numeric`,
  time: sql`timestamptz`,
  boolean: sql`boolean`,
} as const

const collationOf = ({ known }: SortKey): RawBuilder<unknown> => (known.type === 'text' ? sql` collate "C"` : sql``)

/**
 * Nulls are last in either direction, and texts in the order of their characters, in every store. `value` stands for
 * the key's, if that has another name here.
 */
export function orderBy(key: SortKey, value: RawBuilder<unknown> = key.known.value): RawBuilder<unknown> {
  const direction = key.isDescending ? sql`desc` : sql`asc`
  // Of what is never null it would only keep PostgreSQL from reading an index backwards.
  const nulls = key.known.isNullable === true ? sql` nulls last` : sql``
  return sql`${value}${collationOf(key)} ${direction}${nulls}`
}

/** Rows that come one after the other in an index, and behind which the next section's begin. */
export type Section = { readonly order: readonly SortKey[]; readonly condition: RawBuilder<unknown> }

/**
 * What comes after a row with these values, or everything. Where the first key may be null, the rows in which it is
 * are a section of their own, since no index has them behind the others in either direction. That is not for
 * searches that pass over rows, which may be more than a section has.
 */
export function sectionsOf(
  order: readonly SortKey[],
  { values, isDivided }: { readonly values: readonly (string | null)[] | undefined; readonly isDivided: boolean },
): readonly Section[] {
  const [first, ...others] = order
  if (first?.known.isNullable !== true || others.length === 0 || !isDivided) {
    return [{ order, condition: values === undefined ? sql`true` : after(order, values) }]
  }
  const { value } = first.known
  const filled = [{ ...first, known: { ...first.known, isNullable: false } }, ...others]
  if (values === undefined) {
    return [
      { order: filled, condition: sql`${value} is not null` },
      { order: others, condition: sql`${value} is null` },
    ]
  }
  const [start, ...rest] = values
  if (start === null) return [{ order: others, condition: sql`${value} is null and ${after(others, rest)}` }]
  return [
    { order: filled, condition: after(filled, values) },
    { order: others, condition: sql`${value} is null` },
  ]
}

/** What comes after a row with these values, null being greater than all; in a form that an index can begin at. */
function after(keys: readonly SortKey[], values: readonly (string | null)[]): RawBuilder<unknown> {
  const bounds = keys.map((key, index) => sql`${values[index] ?? null}::${CASTS[key.known.type]}${collationOf(key)}`)
  const [first] = keys
  const [firstBound] = bounds
  if (first === undefined || firstBound === undefined) return sql`false`
  if (keys.every(({ known, isDescending }) => known.isNullable !== true && isDescending === first.isDescending)) {
    const row = sql.join(keys.map(({ known }) => known.value))
    return first.isDescending ? sql`(${row}) < (${sql.join(bounds)})` : sql`(${row}) > (${sql.join(bounds)})`
  }
  const alternatives = keys.flatMap((key, index) => {
    const beyond = isBeyond(key, values[index] ?? null, bounds[index])
    if (beyond === undefined) return []
    const same = keys.slice(0, index).map((before, at) => isSame(before, values[at] ?? null))
    return [sql`(${sql.join([...same, beyond], sql` and `)})`]
  })
  const any = alternatives.length === 0 ? sql`false` : sql`(${sql.join(alternatives, sql` or `)})`
  if (first.known.isNullable === true) return any
  return sql`(${first.known.value} ${first.isDescending ? sql`<=` : sql`>=`} ${firstBound} and ${any})`
}

function isBeyond(
  { known, isDescending }: SortKey,
  value: string | null,
  bound: RawBuilder<unknown> | undefined,
): RawBuilder<unknown> | undefined {
  if (value === null) return undefined
  const comparison = isDescending ? sql`${known.value} < ${bound}` : sql`${known.value} > ${bound}`
  return known.isNullable === true ? sql`(${comparison} or ${known.value} is null)` : comparison
}

const isSame = ({ known }: SortKey, value: string | null): RawBuilder<unknown> =>
  value === null ? sql`${known.value} is null` : sql`${known.value} = ${value}::${CASTS[known.type]}`
