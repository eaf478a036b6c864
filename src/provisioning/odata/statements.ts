import { sql, type RawBuilder } from 'kysely'
import { markOf, orderBy, type SortKey } from './sort-keys.ts'

/** What a page is searched by. */
export type PageParts = {
  /** `from …` and a `where` that says whose the rows are. */
  readonly from: RawBuilder<unknown>
  /** The value by which a row is found again. */
  readonly key: RawBuilder<unknown>
  readonly order: readonly SortKey[]
  /** The filter. */
  readonly wanted: RawBuilder<unknown>
  /** The same, in the form for few rows: see `isLookedUpByRow`. */
  readonly wantedByRow: RawBuilder<unknown>
  /** Whether a row is after the page before. */
  readonly isAfter: RawBuilder<unknown>
  /** At most so many rows, after so many others. */
  readonly limit: number
  readonly offset: number
}

/** Finds the keys of a page in whatever way the planner likes best, if that ends after so many rows. */
export function findPlainly({ from, key, order, wanted, isAfter, ...parts }: PageParts): RawBuilder<unknown> {
  return sql`select ${key} as found_key ${from} and ${wanted} and ${isAfter}
    order by ${sql.join(order.map((sortKey) => orderBy(sortKey)))} ${page(parts)}`
}

/** The same, but finds all that is wanted, and then sorts: `offset 0` keeps the planner from looking further. */
export function findAndSort({ from, key, order, wanted, isAfter, ...parts }: PageParts): RawBuilder<unknown> {
  return sql`select found_key from (
      select ${key} as found_key, ${sortValues(order)} ${from} and ${wanted} and ${isAfter} offset 0
    ) as found order by ${orderByValues(order)} ${page(parts)}`
}

/** The same, but among the first rows in their order only: what it finds is not all unless it is enough. */
export function findAmong(
  { from, key, order, wantedByRow, isAfter, ...parts }: PageParts,
  rowsLookedThroughMax: number,
): RawBuilder<unknown> {
  return sql`select found_key from (
      select ${key} as found_key, ${sortValues(order)}, ${wantedByRow} as is_wanted ${from} and ${isAfter}
      order by ${sql.join(order.map((sortKey) => orderBy(sortKey)))} limit ${rowsLookedThroughMax}
    ) as looked_through where is_wanted order by ${orderByValues(order)} ${page(parts)}`
}

/** The rows with these keys, with all of their columns and the marks of their sort keys. */
export function readFound(
  { from, key, order }: Pick<PageParts, 'from' | 'key' | 'order'>,
  { columns, found }: { readonly columns: RawBuilder<unknown>; readonly found: RawBuilder<unknown> },
): RawBuilder<unknown> {
  const marks = order.map(({ known }, index) => sql`(${known.value})::text as ${sql.ref(markOf(index))}`)
  return sql`select ${columns}, ${sql.join(marks)} ${from} and ${key} = any(array(${found}))
    order by ${sql.join(order.map((sortKey) => orderBy(sortKey)))}`
}

const valueOf = (index: number): RawBuilder<unknown> => sql.ref(`sort_value_${index}`)

const sortValues = (order: readonly SortKey[]): RawBuilder<unknown> =>
  sql.join(order.map(({ known }, index) => sql`${known.value} as ${valueOf(index)}`))

const orderByValues = (order: readonly SortKey[]): RawBuilder<unknown> =>
  sql.join(order.map((sortKey, index) => orderBy(sortKey, valueOf(index))))

const page = ({ limit, offset }: Pick<PageParts, 'limit' | 'offset'>): RawBuilder<unknown> =>
  sql`limit ${limit} offset ${offset}`
