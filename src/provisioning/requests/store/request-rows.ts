import { sql, type Selectable } from 'kysely'
import type { Queries } from '../../store/database.ts'
import { fromNow } from '../../store/from-now.ts'
import { noAccess } from '../model/refusal.ts'
import { shareEnvironment } from './environment-lock.ts'
import type { RequestTables } from './schema.ts'

/** A request as it is kept. */
export type RequestRow = Selectable<RequestTables['provisioning_requests']>

/** A request, as a caller names it. */
export type RequestRef = { readonly environmentId: number; readonly requestId: number }

/** The right to work on a request until the lease runs out; the token tells it from later ones. */
export type RequestClaim = { readonly requestId: number; readonly leaseToken: number }

const FIELD = 'provisioningRequestId'
const noRequest = (requestId: number, field: string) => noAccess('Provisioning Request', requestId, field)

/** Rejects with `resource_not_found`. */
export async function findRequestRow(queries: Queries, { environmentId, requestId }: RequestRef): Promise<RequestRow> {
  const row = await queries
    .selectFrom('provisioning_requests')
    .selectAll()
    .where('request_id', '=', requestId)
    .where('environment_id', '=', environmentId)
    .executeTakeFirst()
  if (row === undefined) throw noRequest(requestId, FIELD)
  return row
}

/**
 * Locks a request: whoever changes one does this first, so that changes follow one another. What only refers to it
 * is not kept waiting. An order of the request is locked before the request, never after it. Rejects with
 * `resource_not_found` for the id in `field`.
 */
export async function lockRequest(
  tx: Queries,
  { environmentId, requestId }: RequestRef,
  field = FIELD,
): Promise<RequestRow> {
  const row = await tx
    .selectFrom('provisioning_requests')
    .selectAll()
    .where('request_id', '=', requestId)
    .where('environment_id', '=', environmentId)
    .forNoKeyUpdate()
    .executeTakeFirst()
  if (row === undefined) throw noRequest(requestId, field)
  return row
}

/**
 * The same for who works on it; undefined when the claim no longer holds. The environment's safeguard stays as it is
 * until the transaction ends, lest a request is held just after those were let go that are allowed.
 */
export async function lockClaimed(
  tx: Queries,
  { requestId, leaseToken }: RequestClaim,
): Promise<RequestRow | undefined> {
  const known = await tx
    .selectFrom('provisioning_requests')
    .select('environment_id')
    .where('request_id', '=', requestId)
    .executeTakeFirst()
  if (known === undefined) return undefined
  await shareEnvironment(tx, known.environment_id)
  return tx
    .selectFrom('provisioning_requests')
    .selectAll()
    .where('request_id', '=', requestId)
    .where('lease_token', '=', leaseToken)
    .forNoKeyUpdate()
    .executeTakeFirst()
}

/** Takes requests that are due and that nobody works on. */
export async function claimRequests(
  queries: Queries,
  { limit, leaseMs }: { readonly limit: number; readonly leaseMs: number },
): Promise<readonly RequestClaim[]> {
  const { rows } = await sql<{ request_id: number; lease_token: number }>`
    with picked as materialized (
      select request_id from provisioning_requests
      where due_at <= now() and (leased_until is null or leased_until <= now())
      order by due_at limit ${limit}::integer for no key update skip locked)
    update provisioning_requests set lease_token = lease_token + 1,
      leased_until = ${fromNow(leaseMs)}
    where request_id = any(array(select request_id from picked))
    returning request_id, lease_token`.execute(queries)
  return rows.map((row) => ({ requestId: row.request_id, leaseToken: row.lease_token }))
}

/**
 * Ends claims whose work the store has interrupted, after a second: what makes the store fail may be the work itself.
 * Resolves with those that it has ended, not with those that hold no longer or whose rows are locked.
 */
export async function endClaims(queries: Queries, claims: readonly RequestClaim[]): Promise<readonly RequestClaim[]> {
  const { rows } = await sql<{ request_id: number }>`
    with picked as materialized (
      select request_id from provisioning_requests
      where (request_id, lease_token) in (${sql.join(claims.map((claim) => sql`(${claim.requestId}::bigint, ${claim.leaseToken}::bigint)`))})
        and leased_until > now()
      for no key update skip locked)
    update provisioning_requests set leased_until = least(leased_until, ${fromNow(1_000)})
    where request_id = any(array(select request_id from picked))
    returning request_id`.execute(queries)
  const ended = new Set(rows.map((row) => row.request_id))
  return claims.filter(({ requestId }) => ended.has(requestId))
}

/** Lets go of a request until `dueInMs` from now, or until it is made due again. The caller has its lock. */
export async function releaseRequest(tx: Queries, requestId: number, dueInMs: number | undefined): Promise<void> {
  await tx
    .updateTable('provisioning_requests')
    .set({
      leased_until: null,
      due_at: dueInMs === undefined ? null : fromNow(dueInMs),
    })
    .where('request_id', '=', requestId)
    .execute()
}
