import { sql, type RawBuilder } from 'kysely'
import { GatewayError } from '../../core/errors.ts'
import type { Queries } from '../store/database.ts'
import { isCertain, isOvertime, SEARCH_LIMITS, tooExpensive, withinBudget, type SearchLimits } from './budget.ts'
import { compileFilter } from './compile.ts'
import { isEstimable } from './estimable.ts'
import { ODataError } from './expression.ts'
import { explain } from './plan.ts'
import { invalidOption, type ODataQuery } from './query.ts'
import { readPage } from './reading.ts'
import type { SearchRegistry } from './registry.ts'
import { readToken, writeToken } from './skip-token.ts'
import { sectionsOf, sortKeys } from './sort-keys.ts'

/** What is searched. */
export type SearchSource = SearchRegistry & {
  /** `from …` of the rows, and a `where` that says whose they are. */
  readonly from: RawBuilder<unknown>
  /** What is read of each row. */
  readonly columns: RawBuilder<unknown>
  /** The field that makes every order total, and by which rows are found again: unique, indexed, never null. */
  readonly key: string
}

/** What a search finds, page by page. */
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
 * that is wanted and sort it; or else among so many rows, in their order, if enough is found there. Columns are read
 * for the rows of the page only. Rejects with `invalid_request`, naming the option, for fields that there are not and
 * for what costs too much.
 */
export async function searchRows<Row extends object>(
  queries: Queries,
  options: SearchOptions,
): Promise<SearchPage<Row>> {
  const { source, query, secret, limits = SEARCH_LIMITS } = options
  const order = sortKeys(source, query.orderBy)
  const wanted = compile(options)
  const wantedByRow = compile(options, { isLookedUpByRow: true })
  const values = query.skipToken === undefined ? undefined : readToken(query.skipToken, order, secret)
  const sections = sectionsOf(order, { values, isDivided: query.skip === 0 })
  const page = { from: source.from, key: valueOfKey(source), order, wanted, wantedByRow, sections }
  try {
    return await withinBudget(queries, limits, async (transaction) => {
      const rows = query.top === 0 ? [] : await readPage<Row>(transaction, page, { ...options, limits })
      const shown = rows.slice(0, query.top)
      const last = rows.length > query.top ? shown.at(-1) : undefined
      const isWhole = query.top > 0 && last === undefined && query.skip === 0 && query.skipToken === undefined
      return {
        rows: shown,
        ...(query.count && {
          count: isWhole ? shown.length : await countRows(transaction, wanted, { ...options, limits }),
        }),
        ...(last !== undefined && { skipToken: writeToken(last, order, secret) }),
      }
    })
  } catch (error) {
    if (isOvertime(error)) throw tooExpensive(query, source.fields)
    throw error
  }
}

function valueOfKey({ fields, key }: SearchSource): RawBuilder<unknown> {
  const field = fields[key]
  if (field === undefined) throw new GatewayError('internal', { cause: new Error(`no field ${key} to find rows by`) })
  return field.value
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
