import { sql, type Selectable } from 'kysely'
import type { Queries } from '../../store/database.ts'
import { builtInProfile } from '../model/profile.ts'
import { noAccess } from '../model/refusal.ts'
import type { EnvironmentChange } from './environments.ts'
import type { RequestTables } from './schema.ts'

export type ProfileRow = Selectable<RequestTables['profiles']>
/** Who changes which profile. */
export type ProfileChange = EnvironmentChange & { readonly profileId: number }

/** Rejects with `resource_not_found`. */
export async function findProfile(queries: Queries, environmentId: number, profileId: number): Promise<ProfileRow> {
  const row = await queries
    .selectFrom('profiles')
    .selectAll()
    .where('environment_id', '=', environmentId)
    .where('profile_id', '=', profileId)
    .executeTakeFirst()
  if (row === undefined) throw noAccess('profile', profileId, 'profileId')
  return row
}

/**
 * The profile, which nobody else changes until the transaction ends. Rejects with `resource_not_found`, and with
 * `invalid_request` for the one that is built in.
 */
export async function lockProfile(tx: Queries, { environmentId, profileId }: ProfileChange): Promise<ProfileRow> {
  const row = await tx
    .selectFrom('profiles')
    .selectAll()
    .where('environment_id', '=', environmentId)
    .where('profile_id', '=', profileId)
    .forNoKeyUpdate()
    .executeTakeFirst()
  if (row === undefined) throw noAccess('profile', profileId, 'profileId')
  if (row.is_of_orders) throw builtInProfile()
  return row
}

/** Keeps who changed it, and what it is like if that changes. */
export async function touchProfile(
  tx: Queries,
  { profileId, actor }: ProfileChange,
  columns: { readonly name?: string; readonly description?: string | null } = {},
): Promise<void> {
  await tx
    .updateTable('profiles')
    .set({ ...columns, modified_at: sql`now()`, modified_by: actor })
    .where('profile_id', '=', profileId)
    .execute()
}
