import { sql, type RawBuilder } from 'kysely'
import type { Queries } from '../store/database.ts'
import { costAtWorst, isOvertime, SEARCH_LIMITS, tooExpensive, withinBudget, type SearchLimits } from './budget.ts'
import { compileFilter } from './compile.ts'
import { isEstimable, namesKeys } from './estimable.ts'
import { ODataError } from './expression.ts'
import { explain } from './plan.ts'
import { invalidOption, type ODataQuery } from './query.ts'
import type { SearchRegistry } from './registry.ts'
import { readToken, writeToken } from './skip-token.ts'
import { after, markOf, orderBy, sortKeys, type SortKey } from './sort-keys.ts'

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

/** A search that is ready to be planned. */
type Search = SearchOptions & {
  readonly limits: SearchLimits
  readonly keys: readonly SortKey[]
  /** The filter. */
  readonly wanted: RawBuilder<unknown>
  readonly isEstimable: boolean
}

/**
 * Searches by `$filter`, `$orderby`, `$top`, `$skip` or `$skiptoken`. Pages go on after the values of the last
 * row, so what is added or removed meanwhile neither hides nor repeats another; the token is signed with `secret`.
 *
 * Nothing is run before PostgreSQL has planned it and the plan is within `limits`, at worst. Statistics are trusted
 * only where there are some; of other filters the whole table that they may have to read is what counts. Rejects with
 * `invalid_request`, naming the option, for fields that there are not and for what costs too much.
 */
export async function searchRows<Row extends object>(
  queries: Queries,
  options: SearchOptions,
): Promise<SearchPage<Row>> {
  const { source, query, limits = SEARCH_LIMITS } = options
  const search: Search = {
    ...options,
    limits,
    keys: sortKeys(source, query.orderBy),
    wanted: query.filter === undefined ? sql`true` : compile(source, query.filter),
    isEstimable: query.filter === undefined || isEstimable(query.filter, source.fields),
  }
  // The caller's token is judged before the store is asked anything.
  const position = query.skipToken === undefined ? undefined : readToken(query.skipToken, search.keys, options.secret)
  try {
    return await withinBudget(queries, limits, async (transaction) => {
      const page = query.top === 0 ? { rows: [] } : await readPage<Row>(transaction, search, position)
      if (!query.count) return page
      const isWhole = query.top > 0 && position === undefined && query.skip === 0 && page.skipToken === undefined
      return { ...page, count: isWhole ? page.rows.length : await countRows(transaction, search) }
    })
  } catch (error) {
    if (isOvertime(error)) throw tooExpensive(query, source.fields)
    throw error
  }
}

function compile(source: SearchSource, filter: NonNullable<ODataQuery['filter']>): RawBuilder<unknown> {
  try {
    return compileFilter(filter, source)
  } catch (error) {
    if (error instanceof ODataError) throw invalidOption('$filter', error.message)
    throw error
  }
}

async function readPage<Row extends object>(
  queries: Queries,
  search: Search,
  position: readonly (string | null)[] | undefined,
): Promise<SearchPage<Row>> {
  const { keys, query, secret } = search
  const isAfter = position === undefined ? sql`true` : after(keys, position)
  const { rows } = await sql<Row>`${await affordable(queries, search, isAfter)}`.execute(queries)
  const shown = rows.slice(0, query.top)
  const last = rows.length > query.top ? shown.at(-1) : undefined
  return { rows: shown, ...(last !== undefined && { skipToken: writeToken(last, keys, secret) }) }
}

/** The statement of the page in the first form that is cheap enough. Throws if there is none. */
async function affordable(
  queries: Queries,
  search: Search,
  isAfter: RawBuilder<unknown>,
): Promise<RawBuilder<unknown>> {
  const { source, query, limits } = search
  const inOrder = statementInOrder(search, isAfter)
  const isPlain = query.skip === 0 && query.filter !== undefined && namesKeys(query.filter, source.key)
  if (isPlain) return inOrder
  const plan = await explain(queries, inOrder)
  if (costAtWorst(plan, search.isEstimable, limits) <= limits.costMax) return inOrder
  // PostgreSQL bets on coming across enough rows soon, in their order. Without the bet it may be cheap, too.
  const sorted = statementSorted(search, isAfter)
  const { costWithoutLimit } = await explain(queries, sorted)
  if (costWithoutLimit <= limits.costMax) return sorted
  throw tooExpensive(query, source.fields)
}

/** Reads in whatever way the planner likes best, if that ends after so many rows. */
function statementInOrder({ source, query, keys, wanted }: Search, isAfter: RawBuilder<unknown>): RawBuilder<unknown> {
  const marks = keys.map(({ known }, index) => sql`(${known.value})::text as ${sql.ref(markOf(index))}`)
  return sql`select ${source.columns}, ${sql.join(marks)} ${source.from} and ${wanted} and ${isAfter}
    order by ${sql.join(keys.map((key) => orderBy(key)))} limit ${query.top + 1} offset ${query.skip}`
}

/** Finds all that is wanted first, and then sorts: `offset 0` keeps the planner from looking through. */
function statementSorted({ source, query, keys, wanted }: Search, isAfter: RawBuilder<unknown>): RawBuilder<unknown> {
  const marks = keys.map(({ known }, index) => sql`(${known.value})::text as ${sql.ref(markOf(index))}`)
  const values = keys.map(({ known }, index) => sql`${known.value} as ${sql.ref(`sort_value_${index}`)}`)
  const order = keys.map((key, index) => orderBy(key, sql.ref(`sort_value_${index}`)))
  return sql`select * from (
      select ${source.columns}, ${sql.join([...marks, ...values])} ${source.from} and ${wanted} and ${isAfter} offset 0
    ) as found order by ${sql.join(order)} limit ${query.top + 1} offset ${query.skip}`
}

/** Exact up to `countMax`, if counting is cheap; otherwise what the planner expects, from its statistics. */
async function countRows(queries: Queries, search: Search): Promise<number> {
  const { source, query, wanted, limits } = search
  const counted = sql`select 1 ${source.from} and ${wanted} limit ${limits.countMax + 1}`
  const plan = await explain(queries, counted)
  if (costAtWorst(plan, search.isEstimable, limits) > limits.costMax) {
    if (search.isEstimable) return plan.rows
    throw tooExpensive(query, source.fields)
  }
  const { rows } = await sql<{ count: number }>`select count(*) as count from (${counted}) as counted`.execute(queries)
  const count = rows[0]?.count ?? 0
  return count > limits.countMax ? Math.max(plan.rows, count) : count
}
