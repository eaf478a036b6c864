import { sql } from 'kysely'
import type { Queries } from '../../store/database.ts'
import { OBJECT_STATUS } from '../model/status.ts'
import type { RequestRow } from '../store/request-rows.ts'
import { computeRequest } from './computation.ts'

/**
 * Makes true of the provisioned object what a request is about that has been completed: its status, its dates, and
 * what the items of the request come to. What an object has of a service, its status included, is the service's, and
 * stays; a service that there is not has no items, whatever the request says. A request that does not say which object
 * it is about changes none. Throws a ComputationError.
 */
export async function updateProvisionedObject(tx: Queries, request: RequestRow): Promise<void> {
  const { environment_id: environmentId, object_code: code, internal_id: internalId } = request
  if (code === null || internalId === null) return
  const items = await computeRequest(tx, request)
  const { rows } = await sql<{ object_id: number }>`
    insert into provisioned_objects as object
      (environment_id, code, internal_id, status_id, account_number, started_at, ended_at)
    values (${environmentId}, ${code}, ${internalId}, ${request.object_status_id ?? OBJECT_STATUS.active},
      ${request.account_number}, ${request.object_starts_at}, ${request.object_ends_at})
    on conflict (environment_id, code, internal_id) do update set
      status_id = case when object.service_id is null and ${request.object_status_id !== null}::boolean
        then excluded.status_id else object.status_id end,
      account_number = coalesce(case when object.service_id is null then excluded.account_number end, object.account_number),
      started_at = coalesce(case when object.service_id is null then excluded.started_at end, object.started_at),
      ended_at = coalesce(case when object.service_id is null then excluded.ended_at end, object.ended_at),
      updated_at = now()
    returning object_id`.execute(tx)
  const [row] = rows
  const valued = items.filter((item) => item.value !== undefined)
  if (row === undefined || valued.length === 0) return
  await sql`
    insert into provisioned_object_items (object_id, environment_id, code, internal_id, key_name, value)
    select ${row.object_id}, ${environmentId}, ${code}, ${internalId}, key_name, value
    from unnest(${valued.map((item) => item.keyName)}::text[], ${valued.map((item) => item.value)}::text[])
      as computed (key_name, value)
    where not exists (select from object_definitions o join data_definitions d using (definition_id)
      where o.environment_id = ${environmentId} and o.code = ${code} and d.name = computed.key_name and d.is_built_in)
    on conflict (object_id, key_name) do update set value = excluded.value`.execute(tx)
}
