import { sql, type Selectable } from 'kysely'
import type { ProviderAction } from '../../model/provider.ts'
import type { Queries } from '../../store/database.ts'
import type { StepState } from '../model/step.ts'
import type { RequestRow } from './request-rows.ts'
import type { RequestTables } from './schema.ts'

/** One scenario of a request's profile, and how far it has come. */
export type RequestStep = {
  readonly sequence_number: number
  readonly scenario_id: number
  readonly provider_action_id: number
  readonly state: StepState
  /** The latest order that carries it out. */
  readonly order_id: string | null
  /** The number that it was about, once that is known. */
  readonly e164: string | null
  readonly operation: ProviderAction
  readonly action_code: string
  readonly action_name: string
  readonly provider: string
}

/** The steps of a request in their order; none before it has begun. */
export async function readSteps(queries: Queries, requestId: number): Promise<readonly RequestStep[]> {
  const { rows } = await sql<RequestStep>`
    select s.sequence_number, s.scenario_id, s.provider_action_id, s.state, s.order_id, s.e164, a.operation,
      a.code as action_code, a.name as action_name, p.code as provider
    from request_steps s join provider_actions a using (provider_action_id) join action_providers p using (provider_id)
    where s.request_id = ${requestId} order by s.sequence_number`.execute(queries)
  return rows
}

/**
 * Makes the steps of a request that begins: the scenarios that its profile has now. A request that begins again has
 * its steps already.
 */
export async function makeSteps(tx: Queries, request: RequestRow): Promise<readonly RequestStep[]> {
  await sql`
    insert into request_steps (request_id, sequence_number, scenario_id, provider_action_id, state)
    select ${request.request_id}, row_number() over (order by sequence_number, scenario_id), scenario_id,
      provider_action_id, 'waiting'
    from scenarios where profile_id = ${request.profile_id} and removed_at is null
      and not exists (select from request_steps where request_id = ${request.request_id})`.execute(tx)
  return readSteps(tx, request.request_id)
}

/** The caller has the request's lock. */
export async function setStep(
  tx: Queries,
  { requestId, sequenceNumber }: { readonly requestId: number; readonly sequenceNumber: number },
  change: Partial<Pick<Selectable<RequestTables['request_steps']>, 'state' | 'order_id' | 'e164' | 'error'>>,
): Promise<void> {
  await tx
    .updateTable('request_steps')
    .set(change)
    .where('request_id', '=', requestId)
    .where('sequence_number', '=', sequenceNumber)
    .execute()
}

/** How the order of a step stands. */
export type StepOrder = {
  readonly order_id: string
  readonly customer_id: string
  readonly state: string
  readonly outcome_reason: string | null
  readonly isOpen: boolean
}

/** How an order that there is stands. */
export async function readStepOrder(queries: Queries, orderId: string): Promise<StepOrder> {
  const row = await queries
    .selectFrom('orders')
    .select(['order_id', 'customer_id', 'state', 'outcome_reason', 'completed_at'])
    .where('order_id', '=', orderId)
    .executeTakeFirstOrThrow()
  const { completed_at: completedAt, ...order } = row
  return { ...order, isOpen: completedAt === null }
}

/** Whether an order of the request is not final yet. */
export async function hasOpenOrder(queries: Queries, requestId: number): Promise<boolean> {
  const row = await queries
    .selectFrom('request_orders')
    .innerJoin('orders', 'orders.order_id', 'request_orders.order_id')
    .select('orders.order_id')
    .where('request_orders.request_id', '=', requestId)
    .where('orders.completed_at', 'is', null)
    .limit(1)
    .executeTakeFirst()
  return row !== undefined
}
