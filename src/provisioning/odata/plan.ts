import { sql, type RawBuilder } from 'kysely'
import * as v from 'valibot'
import type { Queries } from '../store/database.ts'

/** What PostgreSQL expects of a statement that ends in a limit, in the units of its planner. */
export type Plan = {
  /** Until the limit is reached, if what is wanted is spread evenly. */
  readonly cost: number
  /** If it is never reached and everything has to be read. */
  readonly costWithoutLimit: number
  /** How many rows there would be without the limit. */
  readonly rows: number
  /** Of the most expensive part that is worked out by itself, once, whatever the limit. */
  readonly costOfPartMax: number
  /** Whether rows are read and thrown away: then the limit may be far. */
  readonly isFiltered: boolean
}

type PlanNode = {
  readonly 'Total Cost': number
  readonly 'Plan Rows': number
  readonly Filter?: string | undefined
  readonly 'Join Filter'?: string | undefined
  /** Of a part that is worked out for an expression. */
  readonly 'Subplan Name'?: string | undefined
  readonly Plans?: readonly PlanNode[] | undefined
}
const NODE: v.GenericSchema<unknown, PlanNode> = v.object({
  'Total Cost': v.number(),
  'Plan Rows': v.number(),
  Filter: v.optional(v.string()),
  'Join Filter': v.optional(v.string()),
  'Subplan Name': v.optional(v.string()),
  Plans: v.optional(v.array(v.lazy(() => NODE))),
})
const EXPLAINED = v.object({ 'QUERY PLAN': v.tuple([v.object({ Plan: NODE })]) })

/** Has the statement planned, with the values that are bound in it; it is not run. */
export async function explain(queries: Queries, statement: RawBuilder<unknown>): Promise<Plan> {
  const { rows } = await sql`explain (format json) ${statement}`.execute(queries)
  const root = v.parse(EXPLAINED, rows[0])['QUERY PLAN'][0].Plan
  const unlimited = root.Plans?.[0] ?? root
  return {
    cost: root['Total Cost'],
    costWithoutLimit: unlimited['Total Cost'],
    rows: unlimited['Plan Rows'],
    costOfPartMax: Math.max(0, ...partsOf(root).map((part) => part['Total Cost'])),
    isFiltered: isFiltered(root),
  }
}

const isFiltered = (node: PlanNode): boolean =>
  node.Filter !== undefined || node['Join Filter'] !== undefined || (node.Plans ?? []).some(isFiltered)

const partsOf = (node: PlanNode): readonly PlanNode[] =>
  (node.Plans ?? []).flatMap((inner) => [...(inner['Subplan Name'] === undefined ? [] : [inner]), ...partsOf(inner)])
