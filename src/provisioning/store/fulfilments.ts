import { sql, type Selectable } from 'kysely'
import { newId } from '../model/ids.ts'
import type { ProviderAction } from '../model/provider.ts'
import type { Queries } from './database.ts'
import { fromNow } from './from-now.ts'
import type { ProvisioningSchema } from './schema.ts'

export type FulfilmentRow = Selectable<ProvisioningSchema['fulfilments']>
export type ItemRow = Selectable<ProvisioningSchema['order_items']>

/** The right to work on a fulfilment until the lease runs out; the token tells it from later ones. */
export type Claim = { readonly fulfilmentId: string; readonly orderId: string; readonly leaseToken: number }

/** Takes fulfilments of a provider that are due and that nobody works on. */
export async function claimDue(
  queries: Queries,
  { provider, limit, leaseMs }: { readonly provider: string; readonly limit: number; readonly leaseMs: number },
): Promise<readonly Claim[]> {
  const { rows } = await sql<{ fulfilment_id: string; order_id: string; lease_token: number }>`
    with picked as materialized (
      select fulfilment_id from fulfilments
      where provider = ${provider} and due_at <= now() and (leased_until is null or leased_until <= now())
      order by due_at limit ${limit}::integer for update skip locked)
    update fulfilments set lease_token = lease_token + 1, updated_at = now(),
      leased_until = ${fromNow(leaseMs)}
    where fulfilment_id = any(array(select fulfilment_id from picked))
    returning fulfilment_id, order_id, lease_token`.execute(queries)
  return rows.map((row) => ({
    fulfilmentId: row.fulfilment_id,
    orderId: row.order_id,
    leaseToken: row.lease_token,
  }))
}

/**
 * Ends claims whose work the store has interrupted, after a second that doubles with each attempt at the provider: what
 * makes the store fail may be the work itself. Resolves with those that it has ended, not with those that hold no longer
 * or whose rows are locked, as by a transaction that the server has not given up yet.
 */
export async function endClaims(queries: Queries, claims: readonly Claim[]): Promise<readonly Claim[]> {
  const { rows } = await sql<{ fulfilment_id: string }>`
    with picked as materialized (
      select fulfilment_id from fulfilments
      where (fulfilment_id, lease_token) in (${sql.join(claims.map((claim) => sql`(${claim.fulfilmentId}, ${claim.leaseToken}::bigint)`))})
        and leased_until > now()
      for update skip locked)
    update fulfilments
    set leased_until = least(leased_until, now() + interval '1 second' * power(2, least(attempts, 10)))
    where fulfilment_id = any(array(select fulfilment_id from picked))
    returning fulfilment_id`.execute(queries)
  const ended = new Set(rows.map((row) => row.fulfilment_id))
  return claims.filter(({ fulfilmentId }) => ended.has(fulfilmentId))
}

/** The fulfilment, if the claim still holds. The caller has the order's lock. */
export async function findClaimed(tx: Queries, claim: Claim): Promise<FulfilmentRow | undefined> {
  return tx
    .selectFrom('fulfilments')
    .selectAll()
    .where('fulfilment_id', '=', claim.fulfilmentId)
    .where('lease_token', '=', claim.leaseToken)
    .where('due_at', 'is not', null)
    .executeTakeFirst()
}

/** Its items, in the order of their numbers. */
export const itemsOf = (tx: Queries, fulfilmentId: string): Promise<ItemRow[]> =>
  tx.selectFrom('order_items').selectAll().where('fulfilment_id', '=', fulfilmentId).orderBy('e164').execute()

export type FulfilmentChange = Partial<
  Pick<
    FulfilmentRow,
    | 'state'
    | 'resume_state'
    | 'provider_ref'
    | 'is_cancel_requested'
    | 'attempts'
    | 'rechecks'
    | 'last_error'
    | 'leased_until'
    | 'waits_since'
  >
> & {
  /** Milliseconds from now on; undefined leaves it, null: never. */
  readonly dueInMs?: number | null
}

/** The caller has the order's lock. */
export async function setFulfilment(tx: Queries, fulfilmentId: string, change: FulfilmentChange): Promise<void> {
  const { dueInMs, ...columns } = change
  await tx
    .updateTable('fulfilments')
    .set({
      ...columns,
      ...(dueInMs !== undefined && { due_at: dueInMs === null ? null : fromNow(dueInMs) }),
      updated_at: sql<Date>`now()`,
    })
    .where('fulfilment_id', '=', fulfilmentId)
    .execute()
}

/** What a provider is to do with items, in batches that it can take. */
export type NewFulfilments = {
  readonly orderId: string
  readonly provider: string
  readonly action: ProviderAction
  readonly isCompensation: boolean
  readonly itemIds: readonly string[]
  readonly batchMax: number
  /** At once unless given. */
  readonly dueAt?: Date | null
  /** For the ids, in milliseconds since 1970. */
  readonly now: number
}

/** Adds fulfilments and resolves with the items of each; the caller points the items there. */
export async function addFulfilments(
  tx: Queries,
  added: NewFulfilments,
): Promise<readonly { readonly fulfilmentId: string; readonly itemIds: readonly string[] }[]> {
  const batches = []
  for (let from = 0; from < added.itemIds.length; from += added.batchMax) {
    batches.push({
      fulfilmentId: newId('fulfilment', added.now),
      itemIds: added.itemIds.slice(from, from + added.batchMax),
    })
  }
  if (batches.length === 0) return []
  await tx
    .insertInto('fulfilments')
    .values(
      batches.map(({ fulfilmentId }) => ({
        fulfilment_id: fulfilmentId,
        order_id: added.orderId,
        provider: added.provider,
        action: added.action,
        state: 'due' as const,
        is_compensation: added.isCompensation,
        due_at: added.dueAt ?? sql<Date>`now()`,
      })),
    )
    .execute()
  return batches
}
