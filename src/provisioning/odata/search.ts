import { sql, type RawBuilder } from 'kysely'
import type { Queries } from '../store/database.ts'
import { isCertain, isOvertime, SEARCH_LIMITS, tooExpensive, withinBudget, type SearchLimits } from './budget.ts'
import { compileFilter } from './compile.ts'
import { isEstimable, namesKeys } from './estimable.ts'
import { ODataError } from './expression.ts'
import { explain } from './plan.ts'
import { invalidOption, type ODataQuery } from './query.ts'
import type { SearchRegistry } from './registry.ts'
import { readToken, writeToken } from './skip-token.ts'
import { after, sortKeys } from './sort-keys.ts'
import { lookingStatement, plainStatement, sortedStatement, type PageParts } from './statements.ts'

/** What is searched. */
export type SearchSource = SearchRegistry & {
  /** `from …` of the rows, and a `where` that says whose they are. */
  readonly from: RawBuilder<unknown>
  /** What is read of each row. */
  readonly columns: RawBuilder<unknown>
  /** The field that makes every order total; sortable, indexed, never null. */
  readonly key: string
}

export type SearchPage<Row> = {
  readonly rows: readonly Row[]
  /** How many there are, whatever the page; about, if there are many; only when it was asked for. */
  readonly count?: number
  /** To go on after the last row; absent when there is no more. */
  readonly skipToken?: string
}

type SearchOptions = {
  readonly source: SearchSource
  readonly query: ODataQuery
  /** What skip tokens are signed with. */
  readonly secret: Buffer
  /** `SEARCH_LIMITS` unless given. */
  readonly limits?: SearchLimits
}
type Limited = SearchOptions & { readonly limits: SearchLimits }

/**
 * Searches by `$filter`, `$orderby`, `$top`, `$skip` or `$skiptoken`. Pages go on after the values of the last
 * row, so what is added or removed meanwhile neither hides nor repeats another; the token is signed with `secret`.
 *
 * PostgreSQL plans every search before it is run. It is run as it is if that is within `limits` even where what is
 * wanted is at the very end of what has to be read, of which the planner knows nothing; or if it is cheap to find all
 * that is wanted and sort it; or else within so many rows, in their order, if enough is found there. Rejects with
 * `invalid_request`, naming the option, for fields that there are not and for what costs too much.
 */
export async function searchRows<Row extends object>(
  queries: Queries,
  options: SearchOptions,
): Promise<SearchPage<Row>> {
  const { source, query, secret, limits = SEARCH_LIMITS } = options
  const keys = sortKeys(source, query.orderBy)
  const wanted = compile(options)
  const isAfter = query.skipToken === undefined ? sql`true` : after(keys, readToken(query.skipToken, keys, secret))
  const parts: PageParts = { ...source, keys, wanted, isAfter, limit: query.top + 1, offset: query.skip }
  try {
    return await withinBudget(queries, limits, async (transaction) => {
      const rows = query.top === 0 ? [] : await readRows<Row>(transaction, parts, { ...options, limits })
      const shown = rows.slice(0, query.top)
      const last = rows.length > query.top ? shown.at(-1) : undefined
      const isWhole = query.top > 0 && last === undefined && query.skip === 0 && query.skipToken === undefined
      return {
        rows: shown,
        ...(query.count && {
          count: isWhole ? shown.length : await countRows(transaction, wanted, { ...options, limits }),
        }),
        ...(last !== undefined && { skipToken: writeToken(last, keys, secret) }),
      }
    })
  } catch (error) {
    if (isOvertime(error)) throw tooExpensive(query, source.fields)
    throw error
  }
}

/** The filter, which is one that wants every row unless there is one. */
function compile(
  { source, query }: Pick<SearchOptions, 'source' | 'query'>,
  options?: Parameters<typeof compileFilter>[2],
): RawBuilder<unknown> {
  if (query.filter === undefined) return sql`true`
  try {
    return compileFilter(query.filter, source, options)
  } catch (error) {
    if (error instanceof ODataError) throw invalidOption('$filter', error.message)
    throw error
  }
}

/** The rows of the page and the one after them, if there is one, by the first form that is cheap enough. */
async function readRows<Row extends object>(
  queries: Queries,
  parts: PageParts,
  { source, query, limits }: Limited,
): Promise<readonly Row[]> {
  const run = async (statement: RawBuilder<unknown>) => (await sql<Row>`${statement}`.execute(queries)).rows
  const plain = plainStatement(parts)
  const isOfKeys = query.skip === 0 && query.filter !== undefined && namesKeys(query.filter, source.key)
  if (isOfKeys || isCertain(await explain(queries, plain), limits)) return run(plain)
  const sorted = sortedStatement(parts)
  if (isCertain(await explain(queries, sorted), limits)) return run(sorted)
  const wanted = compile({ source, query }, { isLookedUpByRow: true })
  const looking = await affordableLook(queries, { ...parts, wanted }, limits)
  const rows = looking === undefined ? [] : await run(looking)
  if (rows.length === parts.limit) return rows
  throw tooExpensive(query, source.fields)
}

/** Through as many rows as are cheap to read in this order; undefined if those are too few to be worth it. */
async function affordableLook(
  queries: Queries,
  parts: PageParts,
  limits: SearchLimits,
): Promise<RawBuilder<unknown> | undefined> {
  const most = lookingStatement(parts, limits.rowsLookedThroughMax)
  const plan = await explain(queries, most)
  if (isCertain(plan, limits)) return most
  const rows = Math.floor((limits.rowsLookedThroughMax * limits.costMax) / plan.costWithoutLimit)
  if (rows < parts.offset + parts.limit) return undefined
  const fewer = lookingStatement(parts, rows)
  return isCertain(await explain(queries, fewer), limits) ? fewer : undefined
}

/** Exact up to `countMax`, if counting is cheap; otherwise what the planner expects, from its statistics. */
async function countRows(
  queries: Queries,
  wanted: RawBuilder<unknown>,
  { source, query, limits }: Limited,
): Promise<number> {
  const counted = sql`select 1 ${source.from} and ${wanted} limit ${limits.countMax + 1}`
  const plan = await explain(queries, counted)
  if (!isCertain(plan, limits)) {
    if (query.filter === undefined || isEstimable(query.filter, source.fields)) return plan.rows
    throw tooExpensive(query, source.fields, { isCount: true })
  }
  const { rows } = await sql<{ count: number }>`select count(*) as count from (${counted}) as counted`.execute(queries)
  const count = rows[0]?.count ?? 0
  return count > limits.countMax ? Math.max(plan.rows, count) : count
}
