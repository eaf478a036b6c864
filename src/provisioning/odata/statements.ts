import { sql, type RawBuilder } from 'kysely'
import { markOf, orderBy, type SortKey } from './sort-keys.ts'

/** The parts of a page's statement; all of its forms have the same rows, in the same order. */
export type PageParts = {
  /** `from …` and a `where` that says whose the rows are. */
  readonly from: RawBuilder<unknown>
  readonly columns: RawBuilder<unknown>
  readonly keys: readonly SortKey[]
  /** The filter. */
  readonly wanted: RawBuilder<unknown>
  /** Whether a row is after the page before. */
  readonly isAfter: RawBuilder<unknown>
  /** At most so many rows, after so many others. */
  readonly limit: number
  readonly offset: number
}

/** Reads in whatever way the planner likes best, if that ends after so many rows. */
export function plainStatement({ from, wanted, isAfter, ...parts }: PageParts): RawBuilder<unknown> {
  return sql`select ${selected(parts)} ${from} and ${wanted} and ${isAfter}
    order by ${sql.join(parts.keys.map((key) => orderBy(key)))} ${page(parts)}`
}

/** Finds all that is wanted, and then sorts: `offset 0` keeps the planner from looking through the brackets. */
export function sortedStatement({ from, wanted, isAfter, ...parts }: PageParts): RawBuilder<unknown> {
  return sql`select * from (
      select ${selected(parts)}, ${sortValues(parts)} ${from} and ${wanted} and ${isAfter} offset 0
    ) as found order by ${orderByValues(parts)} ${page(parts)}`
}

/** Looks through the first rows in their order, and no further: what it finds is not all unless it is enough. */
export function lookingStatement(
  { from, wanted, isAfter, ...parts }: PageParts,
  rowsLookedThroughMax: number,
): RawBuilder<unknown> {
  return sql`select * from (
      select ${selected(parts)}, ${sortValues(parts)}, ${wanted} as is_wanted ${from} and ${isAfter}
      order by ${sql.join(parts.keys.map((key) => orderBy(key)))} limit ${rowsLookedThroughMax}
    ) as looked_through where is_wanted order by ${orderByValues(parts)} ${page(parts)}`
}

type Shown = Pick<PageParts, 'columns' | 'keys'>

const selected = ({ columns, keys }: Shown): RawBuilder<unknown> => {
  const marks = keys.map(({ known }, index) => sql`(${known.value})::text as ${sql.ref(markOf(index))}`)
  return sql`${columns}, ${sql.join(marks)}`
}

const valueOf = (index: number): RawBuilder<unknown> => sql.ref(`sort_value_${index}`)

const sortValues = ({ keys }: Shown): RawBuilder<unknown> =>
  sql.join(keys.map(({ known }, index) => sql`${known.value} as ${valueOf(index)}`))

const orderByValues = ({ keys }: Shown): RawBuilder<unknown> =>
  sql.join(keys.map((key, index) => orderBy(key, valueOf(index))))

const page = ({ limit, offset }: Pick<PageParts, 'limit' | 'offset'>): RawBuilder<unknown> =>
  sql`limit ${limit} offset ${offset}`
