import { sql, type Transaction } from 'kysely'
import type { DeliveryFact } from '../core/delivery-record.ts'
import { parseFirstAttempt, toAttemptRow, toDeliveryRow, toEventRow, toState, toStateRow } from './delivery-rows.ts'
import { applyFact, newState, type DeliveryState } from './delivery-state.ts'
import type { Schema } from './schema.ts'

type Taken = Extract<DeliveryFact, { kind: 'taken' }>
type Attempted = Extract<DeliveryFact, { kind: 'attempted' }>

/** Names our advisory lock among those of other programs in the same database. */
const ADVISORY_LOCK = 4_217_590_732

/**
 * Lets one writer at a time change the records of deliveries, until the transaction ends: what is read of
 * them then stays true, without a lock per row.
 */
export const lockDeliveries = async (transaction: Transaction<Schema>): Promise<void> => {
  await sql`select pg_advisory_xact_lock(${sql.lit(ADVISORY_LOCK)})`.execute(transaction)
}

/**
 * Writes a batch of facts in at most six statements, each with one parameter however many rows it has:
 * binding a parameter per value is what costs most in PGlite.
 *
 * The state of every delivery that the facts name is read, the facts are applied to it here, and what came
 * of it is written: a delivery that was taken, attempted and ended within the batch is one insertion. Each
 * fact counts once, however often and in whatever batches it comes: `taken` by the delivery's row,
 * `attempted` by the attempt's row (its key is the fact's id, as two attempts can have one number when a
 * delivery is replayed twice at once) or by the delivery's, if that has it as its first one, `ended` and
 * `replayed` by the marks in the delivery's row. Facts about a delivery that is not known are skipped.
 */
export async function writeFacts(transaction: Transaction<Schema>, facts: readonly DeliveryFact[]): Promise<void> {
  await lockDeliveries(transaction)
  const { states, told } = await readStates(transaction, facts)
  const { firsts, others } = sortAttempts(facts, { known: new Set(states.keys()), told })
  const fresh = await insertAttempts(transaction, others)
  for (const { factId } of firsts.values()) fresh.add(factId)
  const { taken, changed } = foldFacts(facts, { states, fresh })
  const events = Map.groupBy(taken.values(), ({ fact }) => fact.event.eventId)
  const stateOf = (deliveryId: string) => states.get(deliveryId) ?? newState(0)
  await insertEvents(
    transaction,
    [...events.values()].flatMap(([first, ...rest]) =>
      first === undefined ? [] : toEventRow(first.fact.event, 1 + rest.length),
    ),
  )
  await insertDeliveries(
    transaction,
    [...taken.values()].map(({ fact, endpoint }) => {
      const { deliveryId } = endpoint
      return toDeliveryRow(fact, endpoint, { state: stateOf(deliveryId), first: firsts.get(deliveryId) })
    }),
  )
  await updateDeliveries(
    transaction,
    [...changed].map((deliveryId) => toStateRow(deliveryId, stateOf(deliveryId))),
  )
}

/**
 * The first attempt of each delivery that these facts insert, and all others of deliveries that are recorded or were
 * taken before them. `told` are ids of facts that stand in deliveries' rows already.
 */
function sortAttempts(
  facts: readonly DeliveryFact[],
  { known, told }: { readonly known: ReadonlySet<string>; readonly told: ReadonlySet<string> },
): { readonly firsts: ReadonlyMap<string, Attempted>; readonly others: readonly Attempted[] } {
  const taken = new Set<string>()
  const firsts = new Map<string, Attempted>()
  const others: Attempted[] = []
  for (const fact of facts) {
    if (fact.kind === 'taken') for (const { deliveryId } of fact.endpoints) taken.add(deliveryId)
    if (fact.kind !== 'attempted' || told.has(fact.factId)) continue
    const isKnown = known.has(fact.deliveryId)
    if (!isKnown && !taken.has(fact.deliveryId)) continue
    const first = firsts.get(fact.deliveryId)
    if (!isKnown && first === undefined) firsts.set(fact.deliveryId, fact)
    else if (first?.factId !== fact.factId) others.push(fact)
  }
  return { firsts, others }
}

type Folded = {
  /** Deliveries to insert. */
  readonly taken: ReadonlyMap<string, { readonly fact: Taken; readonly endpoint: Taken['endpoints'][number] }>
  /** Ids of deliveries to update. */
  readonly changed: ReadonlySet<string>
}

/** Applies the facts to `states`, in order; `fresh` are the ids of attempts that were not recorded before. */
function foldFacts(
  facts: readonly DeliveryFact[],
  { states, fresh }: { readonly states: Map<string, DeliveryState>; readonly fresh: Set<string> },
): Folded {
  const taken = new Map<string, { readonly fact: Taken; readonly endpoint: Taken['endpoints'][number] }>()
  const changed = new Set<string>()
  for (const fact of facts) {
    if (fact.kind === 'taken') {
      for (const endpoint of fact.endpoints) {
        if (states.has(endpoint.deliveryId)) continue
        states.set(endpoint.deliveryId, newState(endpoint.expiresAt))
        taken.set(endpoint.deliveryId, { fact, endpoint })
      }
      continue
    }
    const state = states.get(fact.deliveryId)
    if (state === undefined || (fact.kind === 'attempted' && !fresh.delete(fact.factId))) continue
    const next = applyFact(state, fact)
    states.set(fact.deliveryId, next)
    if (next !== state && !taken.has(fact.deliveryId)) changed.add(fact.deliveryId)
  }
  return { taken, changed }
}

/** What is recorded of deliveries that the facts name, and the ids of the facts that told of their first attempts. */
async function readStates(
  transaction: Transaction<Schema>,
  facts: readonly DeliveryFact[],
): Promise<{ readonly states: Map<string, DeliveryState>; readonly told: ReadonlySet<string> }> {
  const ids = new Set(
    facts.flatMap((fact) =>
      fact.kind === 'taken' ? fact.endpoints.map((endpoint) => endpoint.deliveryId) : fact.deliveryId,
    ),
  )
  const rows = await transaction
    .selectFrom('deliveries')
    .select(['delivery_id', 'status', 'attempts', 'replays', 'expires_at', 'ended_at', 'next_attempt_at'])
    .select(['last_attempt_at', 'last_outcome', 'last_status', 'marks', 'first_attempt'])
    .where(sql<boolean>`delivery_id = any(${[...ids]}::text[])`)
    .execute()
  return {
    states: new Map(rows.map((row) => [row.delivery_id, toState(row)])),
    told: new Set(rows.flatMap(({ first_attempt: first }) => (first === null ? [] : parseFirstAttempt(first).factId))),
  }
}

/** Resolves with the ids of the facts whose attempts were not there. */
async function insertAttempts(transaction: Transaction<Schema>, attempts: readonly Attempted[]): Promise<Set<string>> {
  if (attempts.length === 0) return new Set()
  const rows = JSON.stringify(attempts.map(toAttemptRow))
  const inserted = await sql<{ fact_id: string }>`
    insert into attempts select * from jsonb_populate_recordset(null::attempts, ${rows}::jsonb)
    on conflict do nothing returning fact_id`.execute(transaction)
  return new Set(inserted.rows.map((row) => row.fact_id))
}

async function insertEvents(
  transaction: Transaction<Schema>,
  rows: readonly ReturnType<typeof toEventRow>[],
): Promise<void> {
  if (rows.length === 0) return
  await sql`
    insert into webhook_events select * from jsonb_populate_recordset(null::webhook_events, ${JSON.stringify(rows)}::jsonb)
    on conflict (event_id) do update set deliveries = webhook_events.deliveries + excluded.deliveries`.execute(
    transaction,
  )
}

async function insertDeliveries(
  transaction: Transaction<Schema>,
  rows: readonly ReturnType<typeof toDeliveryRow>[],
): Promise<void> {
  if (rows.length === 0) return
  await sql`
    insert into deliveries select * from jsonb_populate_recordset(null::deliveries, ${JSON.stringify(rows)}::jsonb)`.execute(
    transaction,
  )
}

async function updateDeliveries(
  transaction: Transaction<Schema>,
  rows: readonly ReturnType<typeof toStateRow>[],
): Promise<void> {
  if (rows.length === 0) return
  await sql`
    update deliveries d set status = r.status, attempts = r.attempts, replays = r.replays,
      expires_at = r.expires_at, ended_at = r.ended_at, next_attempt_at = r.next_attempt_at,
      last_attempt_at = r.last_attempt_at, last_outcome = r.last_outcome, last_status = r.last_status, marks = r.marks
    from jsonb_populate_recordset(null::deliveries, ${JSON.stringify(rows)}::jsonb) r
    where d.delivery_id = r.delivery_id`.execute(transaction)
}
