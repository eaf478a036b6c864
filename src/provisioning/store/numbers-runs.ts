import { sql } from 'kysely'
import { stepNumber } from '../model/number-plan.ts'
import type { Queries } from './database.ts'
import { IS_LAPSED, matchNumbers, walkFree, type NumberCriteria } from './number-conditions.ts'

/** Numbers that are read at once: a page of runs is mostly in the first ones, and where there is none all are read. */
const FIRST_READ = 1_000
const READ_MAX = 16_000

/**
 * The first numbers of runs of `length` free numbers that follow one another, in order and without overlap, after
 * `after`. Reads numbers in order, in parts, until it has found enough.
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
  const { criteria, length, limit } = search
  const starts: string[] = []
  if (limit < 1) return starts
  let { after } = search
  let next: string | undefined
  let inRun = 0
  for (let atOnce = FIRST_READ; ; atOnce = Math.min(2 * atOnce, READ_MAX)) {
    const numbers = await readFree(queries, { criteria, after, limit: atOnce })
    for (const number of numbers) {
      inRun = number === next ? inRun + 1 : 1
      next = stepNumber(number, 1)
      if (inRun < length) continue
      starts.push(stepNumber(number, 1 - length) ?? number)
      if (starts.length === limit) return starts
      inRun = 0
      // What comes next begins a run of its own.
      next = undefined
    }
    if (numbers.length < atOnce) return starts
    after = numbers.at(-1)
  }
}

async function readFree(
  queries: Queries,
  {
    criteria,
    after,
    limit,
  }: { readonly criteria: NumberCriteria; readonly after: string | undefined; readonly limit: number },
): Promise<readonly string[]> {
  const { wanted, order } = walkFree(criteria, { above: after })
  const { rows } = await sql<{ e164: string }>`
    select e164 from (
      (select e164 from numbers where ${wanted} order by ${order} limit ${limit}::integer)
      union all
      (select e164 from numbers where ${IS_LAPSED} and ${matchNumbers(criteria)} and e164 > ${after ?? ''}
        order by e164 limit ${limit}::integer)
    ) as free order by e164 limit ${limit}::integer`.execute(queries)
  return rows.map(({ e164 }) => e164)
}
