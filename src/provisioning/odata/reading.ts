import { sql, type RawBuilder } from 'kysely'
import type { Queries } from '../store/database.ts'
import { isCertain, tooExpensive, type SearchLimits } from './budget.ts'
import { isRangeOf, namesKeys } from './estimable.ts'
import { explain } from './plan.ts'
import type { ODataQuery } from './query.ts'
import type { SearchRegistry } from './registry.ts'
import type { Section } from './sort-keys.ts'
import { findAmong, findAndSort, findPlainly, readFound, type PageParts } from './statements.ts'

type Options = {
  readonly source: SearchRegistry & { readonly key: string; readonly columns: RawBuilder<unknown> }
  readonly query: ODataQuery
  readonly limits: SearchLimits
}
type Page = Omit<PageParts, 'isAfter' | 'limit' | 'offset'> & { readonly sections: readonly Section[] }

/**
 * The rows of a page and the one after them, if there is one; section after section. Rejects with `invalid_request`
 * when finding those of a section costs too much.
 */
export async function readPage<Row extends object>(
  queries: Queries,
  { sections, ...page }: Page,
  options: Options,
): Promise<readonly Row[]> {
  const { query, source } = options
  const all: Row[] = []
  for (const { order, condition } of sections) {
    const limit = query.top + 1 - all.length
    if (limit === 0) break
    const parts: PageParts = { ...page, order, isAfter: condition, limit, offset: query.skip }
    const { found, isAllOrNothing } = await findAffordably(queries, parts, options)
    const { rows } = await sql<Row>`${readFound(page, { columns: source.columns, found })}`.execute(queries)
    if (isAllOrNothing && rows.length < limit) throw tooExpensive(query, source.fields)
    all.push(...rows)
  }
  return all
}

type Finding = {
  readonly found: RawBuilder<unknown>
  /** Whether it may miss rows if it does not find as many as are asked for. */
  readonly isAllOrNothing: boolean
}

/** The first way to find the keys that is cheap enough. */
async function findAffordably(
  queries: Queries,
  parts: PageParts,
  { source, query, limits }: Options,
): Promise<Finding> {
  const plain = { found: findPlainly(parts), isAllOrNothing: false }
  if (query.skip === 0 && query.filter !== undefined && namesKeys(query.filter, source.key)) return plain
  const [first] = parts.order
  const isRange =
    query.filter === undefined || (first !== undefined && isRangeOf(query.filter, first.field, source.fields))
  if (isCertain(await explain(queries, plain.found), limits, { isRange })) return plain
  const sorted = findAndSort(parts)
  if (isCertain(await explain(queries, sorted), limits)) return { found: sorted, isAllOrNothing: false }
  const among = await findAmongAffordable(queries, parts, limits)
  if (among === undefined) throw tooExpensive(query, source.fields)
  return { found: among, isAllOrNothing: true }
}

/** Among as many rows as are cheap to read in this order; undefined if those are too few to be worth it. */
async function findAmongAffordable(
  queries: Queries,
  parts: PageParts,
  limits: SearchLimits,
): Promise<RawBuilder<unknown> | undefined> {
  const most = findAmong(parts, limits.rowsLookedThroughMax)
  const plan = await explain(queries, most)
  if (isCertain(plan, limits)) return most
  const rows = Math.floor((limits.rowsLookedThroughMax * limits.costMax) / plan.costWithoutLimit)
  if (rows < parts.offset + parts.limit) return undefined
  const fewer = findAmong(parts, rows)
  return isCertain(await explain(queries, fewer), limits) ? fewer : undefined
}
