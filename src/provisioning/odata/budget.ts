import { sql } from 'kysely'
import type { GatewayError } from '../../core/errors.ts'
import { invalidRequest } from '../../core/parse-input.ts'
import type { Queries } from '../store/database.ts'
import type { Plan } from './plan.ts'
import type { ODataQuery } from './query.ts'
import { namesOf, type SearchField } from './registry.ts'

/** What a search may cost. */
export type SearchLimits = {
  /** In units of the planner, of which a core does some hundreds in a millisecond. */
  readonly costMax: number
  /** How many rows are looked through in their order, if nothing finds those that are wanted. */
  readonly rowsLookedThroughMax: number
  /** Up to how many rows are counted one by one. */
  readonly countMax: number
  /** After which PostgreSQL ends a statement that was expected to be cheaper. PGlite has no such means. */
  readonly timeoutMs: number
}

/** What a search may cost unless it is said: some tens of milliseconds of a core at most. `bench/odata.ts` measures it. */
export const SEARCH_LIMITS: SearchLimits = {
  costMax: 5_000,
  rowsLookedThroughMax: 10_000,
  countMax: 10_000,
  timeoutMs: 500,
}

/**
 * Whether a plan is cheap, even if what it looks for is at the very end, or is not there. Of a range in the order in
 * which rows are read, everything is looked for: then the planner's filter is only that of whose the rows are, and
 * those of one are as near to each other as those of another.
 */
export const isCertain = (
  plan: Plan,
  { costMax }: SearchLimits,
  { isRange = false }: { readonly isRange?: boolean } = {},
): boolean =>
  plan.costOfPartMax <= costMax &&
  (plan.costWithoutLimit <= costMax || ((isRange || !plan.isFiltered) && plan.cost <= costMax))

/**
 * Runs `work` in a transaction of its own, or within the caller's, with the time limit and with the settings in whose
 * units costs are measured, whatever those of the server are: pages that are read at random cost little more than
 * others, but are not taken to be in memory; and no search takes more than one processor.
 */
export async function withinBudget<Result>(
  queries: Queries,
  { timeoutMs }: SearchLimits,
  work: (transaction: Queries) => Promise<Result>,
): Promise<Result> {
  const run = async (transaction: Queries): Promise<Result> => {
    await sql`select set_config('statement_timeout', ${String(timeoutMs)}, true),
      set_config('random_page_cost', '1.1', true), set_config('seq_page_cost', '1', true),
      set_config('effective_cache_size', '64MB', true), set_config('max_parallel_workers_per_gather', '0', true), set_config('jit', 'off', true)`.execute(
      transaction,
    )
    return work(transaction)
  }
  if (!queries.isTransaction) return queries.transaction().execute(run)
  await sql`savepoint search`.execute(queries)
  try {
    return await run(queries)
  } finally {
    // Takes the settings back, and a failure of the search with them; a search changes nothing else.
    await sql`rollback to savepoint search`.execute(queries)
  }
}

/** Whether PostgreSQL ended a statement at the time limit (SQLSTATE `query_canceled`). */
export const isOvertime = (error: unknown): boolean =>
  typeof error === 'object' && error !== null && 'code' in error && error.code === '57014'

/**
 * The error for a search that would cost too much, with what would be cheaper; `isCount` if only counting would.
 */
export function tooExpensive(
  query: ODataQuery,
  fields: Readonly<Record<string, SearchField>>,
  { isCount = false }: { readonly isCount?: boolean } = {},
): GatewayError {
  const filterable = namesOf(fields, ({ isIndexed, isFilterable }) => isIndexed === true && isFilterable)
  const sortable = namesOf(fields, ({ isIndexed, isSortable }) => isIndexed === true && isSortable)
  const filterAdvice = filterable.length === 0 ? '' : `; compare one of ${filterable.join(', ')} with a value`
  const orderAdvice = sortable.length === 0 ? '' : `; order by one of ${sortable.join(', ')}`
  if (isCount) return invalidRequest([{ field: '$count', message: `would read too many rows${filterAdvice}` }])
  const errors = [
    ...(query.orderBy.length > 0
      ? [{ field: '$orderby', message: `would sort too many rows${orderAdvice}, or filter for fewer` }]
      : []),
    ...(query.skip > 0 ? [{ field: '$skip', message: 'would pass over too many rows; use the next link' }] : []),
  ]
  const isOfFilter = query.filter !== undefined || errors.length === 0
  const ofFilter = {
    field: '$filter',
    message: `would read too many rows${filterAdvice}, and if that is a range, order by the same`,
  }
  return invalidRequest(isOfFilter ? [ofFilter, ...errors] : errors)
}
