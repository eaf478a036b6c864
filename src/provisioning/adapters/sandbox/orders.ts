import { randomUUID } from 'node:crypto'
import { sql } from 'kysely'
import type { LineOutcome, ProviderNotice, ProviderResult } from '../../model/provider.ts'
import type { Queries } from '../../store/database.ts'
import { carryOut } from './lines.ts'
import { rejectAll } from './plan.ts'
import type { LinePlan, Plan, SandboxOrderState, SandboxRequest } from './plan.ts'

const GAVE_UP = { code: 'carrier_timeout', message: 'the switch did not answer' }
const CANCELLED = { code: 'cancelled', message: 'cancelled as requested' }

/** A request that the carrier has taken; times are of the database's clock. */
type OrderRow = {
  readonly ref: string
  readonly account: string
  readonly idempotency_key: string
  readonly request: SandboxRequest
  readonly state: SandboxOrderState
  readonly plan: readonly LinePlan[]
  readonly results: readonly LineOutcome[]
  readonly ready_at: Date
  readonly ready_in_ms: number
  readonly late_ms: number | null
}

const COLUMNS = sql`ref, account, idempotency_key, request, state, plan, results, ready_at, late_ms,
  (extract(epoch from ready_at - now()) * 1000)::double precision as ready_in_ms`

/** Latest time that both stores know. */
const LATEST_MS = Date.UTC(9999, 11, 31)

/** Keeps a request, unless there is one of this key. */
export async function insertOrder(
  tx: Queries,
  order: {
    readonly account: string
    readonly idempotencyKey: string
    readonly request: SandboxRequest
    readonly plan: Plan
  },
): Promise<void> {
  const { account, idempotencyKey, request, plan } = order
  const unseen = sql`${plan.unseenMs}::double precision * interval '1 millisecond'`
  const takes = sql`${plan.takesMs}::double precision * interval '1 millisecond'`
  const notBefore = plan.notBefore === undefined ? null : new Date(Math.min(plan.notBefore, LATEST_MS))
  await sql`
    insert into sandbox_orders
      (ref, account, idempotency_key, request, state, plan, results, visible_at, ready_at, late_ms, notices_each)
    values (${`sbx_${randomUUID()}`}, ${account}, ${idempotencyKey}, ${JSON.stringify(request)}::jsonb, 'accepted',
      ${JSON.stringify(plan.lines)}::jsonb, '[]', now() + ${unseen},
      greatest(now() + ${unseen} + ${takes}, ${notBefore}::timestamptz), ${plan.lateMs ?? null}, ${plan.notices})
    on conflict (account, idempotency_key) do nothing`.execute(tx)
}

/** Which request is meant; `isHidden`: also one that has not arrived as far as anybody can see. */
type Wanted = { readonly account: string } & (
  | { readonly ref: string }
  | { readonly idempotencyKey: string; readonly isHidden?: boolean }
)

/** A request as it stands. */
export type FoundOrder = {
  readonly request: SandboxRequest
  readonly plan: readonly LinePlan[]
  readonly state: SandboxOrderState
  readonly result: ProviderResult
}

/** How a request stands, carried out by now if its time has come. It is locked until the transaction ends. */
export async function readOrder(tx: Queries, wanted: Wanted): Promise<FoundOrder | undefined> {
  const condition =
    'ref' in wanted
      ? sql`ref = ${wanted.ref}`
      : sql`idempotency_key = ${wanted.idempotencyKey} and (visible_at <= now() or ${wanted.isHidden ?? false})`
  const { rows } = await sql<OrderRow>`
    select ${COLUMNS} from sandbox_orders where account = ${wanted.account} and ${condition} for update`.execute(tx)
  const [row] = rows
  if (row === undefined) return undefined
  const settled = await settle(tx, row)
  return { request: row.request, plan: row.plan, state: settled.state, result: toResult(settled) }
}

/** Carries out one request that is due and that nobody else is at; false: there is none. */
export async function settleNext(tx: Queries, account: string): Promise<boolean> {
  const { rows } = await sql<OrderRow>`
    select ${COLUMNS} from sandbox_orders
    where account = ${account} and state in ('accepted', 'late') and ready_at <= now()
    order by ready_at limit 1 for update skip locked`.execute(tx)
  for (const row of rows) await settle(tx, row)
  return rows.length > 0
}

/** Milliseconds until the next request is due; undefined: there is none. */
export async function nextDueInMs(queries: Queries, account: string): Promise<number | undefined> {
  const { rows } = await sql<{ readonly ms: number | null }>`
    select (extract(epoch from min(ready_at) - now()) * 1000)::double precision as ms
    from sandbox_orders where account = ${account} and state in ('accepted', 'late')`.execute(queries)
  return rows[0]?.ms ?? undefined
}

async function settle(tx: Queries, row: OrderRow): Promise<OrderRow> {
  if (row.ready_in_ms > 0 || (row.state !== 'accepted' && row.state !== 'late')) return row
  if (row.state === 'accepted' && row.late_ms !== null) {
    const late = await setOrder(tx, row.ref, {
      state: 'late',
      results: rejectAll(row.plan, GAVE_UP),
      lateMs: row.late_ms,
    })
    return settle(tx, late)
  }
  const results = await carryOut(tx, row)
  return setOrder(tx, row.ref, { state: 'done', results })
}

/** Abandons a request whose time has not come. */
export async function cancelOrder(tx: Queries, account: string, ref: string): Promise<ProviderResult | undefined> {
  const found = await readOrder(tx, { account, ref })
  if (found === undefined || found.state !== 'accepted') return found?.result
  return toResult(await setOrder(tx, ref, { state: 'cancelled', results: rejectAll(found.plan, CANCELLED) }))
}

async function setOrder(
  tx: Queries,
  ref: string,
  change: { readonly state: SandboxOrderState; readonly results: readonly LineOutcome[]; readonly lateMs?: number },
): Promise<OrderRow> {
  const { rows } = await sql<OrderRow>`
    update sandbox_orders set state = ${change.state}, results = ${JSON.stringify(change.results)}::jsonb,
      ready_at = ready_at + ${change.lateMs ?? 0}::double precision * interval '1 millisecond',
      notices_due = notices_due + notices_each
    where ref = ${ref} returning ${COLUMNS}`.execute(tx)
  const [row] = rows
  if (row === undefined) throw new RangeError(`no order ${ref}`)
  return row
}

function toResult(row: OrderRow): ProviderResult {
  const { ref, state, results, request, plan } = row
  if (state !== 'accepted') return { kind: 'answered', ref, lines: results }
  if (request.action !== 'port') return { kind: 'accepted', ref, pollAfterMs: Math.ceil(row.ready_in_ms) }
  const focDate = row.ready_at.getTime()
  return { kind: 'answered', ref, lines: plan.map(({ e164 }) => ({ e164, kind: 'pending', focDate })) }
}

/** Takes up to `limit` notices that are to be given; one that is taken is given by nobody else. */
export async function takeNotices(tx: Queries, account: string, limit: number): Promise<readonly ProviderNotice[]> {
  const { rows } = await sql<{
    readonly ref: string
    readonly idempotency_key: string
    readonly results: readonly LineOutcome[]
  }>`
    update sandbox_orders set notices_due = notices_due - 1
    where ref in (
      select ref from sandbox_orders where account = ${account} and notices_due > 0
      order by ref limit ${limit} for update skip locked
    )
    returning ref, idempotency_key, results`.execute(tx)
  return rows.map(({ ref, idempotency_key, results }) => ({
    idempotencyKey: idempotency_key,
    result: { kind: 'answered', ref, lines: results },
  }))
}
