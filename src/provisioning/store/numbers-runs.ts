import { sql } from 'kysely'
import { stepNumber } from '../model/number-plan.ts'
import type { Queries } from './database.ts'
import { IS_LAPSED, matchNumbers, walkFree, type NumberCriteria } from './number-conditions.ts'

/**
 * The first numbers of runs of `length` free numbers that follow one another, in order and without overlap, after
 * `after`. Reads numbers in order until it has found enough.
 */
export async function findRuns(
  queries: Queries,
  search: {
    readonly criteria: NumberCriteria
    readonly length: number
    readonly limit: number
    readonly after?: string | undefined
  },
): Promise<readonly string[]> {
  const { criteria, length, limit, after = '' } = search
  const { wanted, order } = walkFree(criteria, { above: after })
  // In a longer run every number begins one, so that many more are read than are returned.
  const { rows } = await sql<{ e164: string }>`
    select e164 from (
      select e164, lead(e164, ${length}::integer - 1) over (order by ${order}) as last from (
        select * from numbers where ${wanted}
        union all
        select * from numbers where ${IS_LAPSED} and ${matchNumbers(criteria)} and e164 > ${after}
      ) as numbers
    ) as runs
    where last = '+' || (substr(e164, 2)::bigint + ${length}::integer - 1)::text
    limit ${length * limit}::integer`.execute(queries)
  const starts: string[] = []
  let next = ''
  for (const { e164 } of rows.toSorted((a, b) => (a.e164 < b.e164 ? -1 : 1))) {
    if (starts.length === limit) break
    if (e164 < next) continue
    starts.push(e164)
    next = stepNumber(e164, length) ?? e164
  }
  return starts
}
