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
  readonly 'Node Type': string
  readonly 'Total Cost': number
  readonly 'Plan Rows': number
  readonly Filter?: string | undefined
  /** Of a part that is worked out for an expression. */
  readonly 'Subplan Name'?: string | undefined
  readonly Plans?: readonly PlanNode[] | undefined
}
const NODE: v.GenericSchema<unknown, PlanNode> = v.object({
  'Node Type': v.string(),
  'Total Cost': v.number(),
  'Plan Rows': v.number(),
  Filter: v.optional(v.string()),
  'Subplan Name': v.optional(v.string()),
  Plans: v.optional(v.array(v.lazy(() => NODE))),
})
const EXPLAINED = v.object({ 'QUERY PLAN': v.tuple([v.object({ Plan: NODE })]) })

/** Has the statement planned, with the values that are bound in it; it is not run. */
export async function explain(queries: Queries, statement: RawBuilder<unknown>): Promise<Plan> {
  const { rows } = await sql`explain (format json) ${statement}`.execute(queries)
  const root = v.parse(EXPLAINED, rows[0])['QUERY PLAN'][0].Plan
  const unlimited = inputOf(root) ?? root
  return {
    cost: root['Total Cost'],
    costWithoutLimit: unlimited['Total Cost'],
    rows: unlimited['Plan Rows'],
    costOfPartMax: Math.max(0, ...partsOf(root).map((part) => part['Total Cost'])),
    isFiltered: isFiltered(unlimited),
  }
}

/** Nodes that give their rows one by one, as they get those of their first input. */
const STREAMING = new Set(['Nested Loop', 'Hash Join', 'Subquery Scan', 'Incremental Sort', 'Result'])
/** Where rows are read. */
const SOURCES = new Set(['Sort', 'Index Scan', 'Index Only Scan', 'Bitmap Heap Scan', 'Seq Scan', 'Function Scan'])
/** Beyond what rounding makes of estimates. */
const ROWS_KEPT_MIN = 0.9

/**
 * Follows the rows down to where they are read. What is sorted has been read as a whole before, which is in its cost;
 * what is looked up for each row, or beforehand, matters only if rows are lost by it.
 */
function isFiltered(top: PlanNode): boolean {
  for (let node = top; ;) {
    if (node.Filter !== undefined) return true
    if (SOURCES.has(node['Node Type'])) return top['Plan Rows'] < node['Plan Rows'] * ROWS_KEPT_MIN
    const input = inputOf(node)
    // Without any input there is nothing to throw away.
    if (input === undefined) return false
    if (!STREAMING.has(node['Node Type'])) return true
    node = input
  }
}

/** The first input; what is worked out beforehand stands before it. */
const inputOf = (node: PlanNode): PlanNode | undefined =>
  node.Plans?.find((inner) => inner['Subplan Name'] === undefined)

const partsOf = (node: PlanNode): readonly PlanNode[] =>
  (node.Plans ?? []).flatMap((inner) => [...(inner['Subplan Name'] === undefined ? [] : [inner]), ...partsOf(inner)])
