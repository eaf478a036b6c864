import { sql } from 'kysely'
import type { Queries } from '../../store/database.ts'
import { computeItems, type ComputedItem, type ItemDefinition } from '../model/computed-items.ts'
import type { RequestRow } from '../store/request-rows.ts'

/** What items are computed for. */
export type ComputationSubject = {
  readonly environmentId: number
  readonly objectCode: string | undefined
  readonly internalId: string | undefined
  readonly transitionId: number | undefined
  /** Of the request, by key. */
  readonly given: ReadonlyMap<string, string>
}

/** Computes items as things stand. Throws a ComputationError. */
export async function computeFor(queries: Queries, subject: ComputationSubject): Promise<readonly ComputedItem[]> {
  const definitions = await readDefinitions(queries, subject)
  const previous = await readPrevious(queries, subject)
  return computeItems({ definitions, given: subject.given, previous })
}

/** The same for a request that there is. */
export async function computeRequest(queries: Queries, request: RequestRow): Promise<readonly ComputedItem[]> {
  const rows = await queries
    .selectFrom('request_items')
    .select(['key_name', 'value'])
    .where('request_id', '=', request.request_id)
    .orderBy('sequence_number')
    .execute()
  return computeFor(queries, {
    environmentId: request.environment_id,
    objectCode: request.object_code ?? undefined,
    internalId: request.internal_id ?? undefined,
    transitionId: request.transition_id ?? undefined,
    given: new Map(rows.map((row) => [row.key_name, row.value])),
  })
}

/** A transition may require what is not required otherwise, and the other way round. */
async function readDefinitions(
  queries: Queries,
  { environmentId, objectCode, transitionId }: ComputationSubject,
): Promise<readonly ItemDefinition[]> {
  if (objectCode === undefined) return []
  const { rows } = await sql<{ name: string; default_value: string | null; is_required: boolean }>`
    select d.name, d.default_value, coalesce(o.is_required, d.is_required) as is_required
    from object_definitions od join data_definitions d using (definition_id)
      left join transition_options o
        on o.data_definition_id = d.data_definition_id and o.transition_id = ${transitionId ?? null}::integer
    where od.environment_id = ${environmentId} and od.code = ${objectCode}
    order by d.sequence_number, d.data_definition_id`.execute(queries)
  return rows.map((row) => ({
    name: row.name,
    isRequired: row.is_required,
    defaultValue: row.default_value ?? undefined,
  }))
}

async function readPrevious(
  queries: Queries,
  { environmentId, objectCode, internalId }: ComputationSubject,
): Promise<ReadonlyMap<string, string>> {
  if (objectCode === undefined || internalId === undefined) return new Map()
  const rows = await queries
    .selectFrom('provisioned_objects')
    .innerJoin('provisioned_object_items', 'provisioned_object_items.object_id', 'provisioned_objects.object_id')
    .select(['provisioned_object_items.key_name', 'provisioned_object_items.value'])
    .where('provisioned_objects.environment_id', '=', environmentId)
    .where('provisioned_objects.code', '=', objectCode)
    .where('provisioned_objects.internal_id', '=', internalId)
    .execute()
  return new Map(rows.map((row) => [row.key_name, row.value]))
}
