import { sql } from 'kysely'
import type { ODataQuery } from '../../odata/query.ts'
import type { SearchPage, SearchSource } from '../../odata/search.ts'
import { appendAudit } from '../../store/audit.ts'
import type { Queries } from '../../store/database.ts'
import type { DefinitionChange } from '../model/profile.ts'
import { noAccess } from '../model/refusal.ts'
import { auditChainOf } from './environments.ts'
import { findProfile, lockProfile, touchProfile, type ProfileChange } from './profile-rows.ts'
import { runSearch, type SearchParts } from './run-search.ts'
import { integerColumn, textColumn } from './search-fields.ts'

export type AllowedDefinition = { readonly code: string; readonly name: string; readonly definition_id: number }

const sourceOf = (profileId: number): SearchSource => ({
  from: sql`from profile_definitions p join object_definitions d using (definition_id)
    where p.profile_id = ${profileId}`,
  columns: sql`d.code, d.name, d.definition_id`,
  key: 'provisionableObjectDefinitionID',
  fields: {
    code: textColumn(sql`d.code`),
    name: textColumn(sql`d.name`),
    provisionableObjectDefinitionID: integerColumn(sql`d.definition_id`),
  },
})

/** Which objects the requests of a profile can be about; of one that allows none, about any. */
export class ProfileDefinitions {
  readonly #parts: SearchParts

  constructor(parts: SearchParts) {
    this.#parts = parts
  }

  /** Rejects with `resource_not_found`. */
  search(environmentId: number, profileId: number, query: ODataQuery): Promise<SearchPage<AllowedDefinition>> {
    const source = async (db: Queries) => {
      await findProfile(db, environmentId, profileId)
      return sourceOf(profileId)
    }
    return runSearch(this.#parts, { source, query })
  }

  /**
   * Allows definitions, or allows them no longer; the others stay as they are. Rejects with `resource_not_found`, and
   * with `invalid_request` for the profile that is built in.
   */
  update(change: ProfileChange & { readonly changes: readonly DefinitionChange[] }): Promise<void> {
    const { environmentId, profileId, changes, actor } = change
    const idsOf = (isRemoved: boolean) =>
      changes
        .filter(({ remove }) => (remove === true) === isRemoved)
        .map(({ provisionableObjectDefinitionID }) => provisionableObjectDefinitionID)
    return this.#parts.database.transaction(async (tx) => {
      await lockProfile(tx, change)
      await checkDefinitions(tx, environmentId, changes)
      const { rows: removed } = await sql<{ id: number }>`delete from profile_definitions
        where profile_id = ${profileId} and definition_id = any(${idsOf(true)}::integer[])
        returning definition_id as id`.execute(tx)
      const { rows: added } = await sql<{ id: number }>`insert into profile_definitions (profile_id, definition_id)
        select ${profileId}, id from unnest(${idsOf(false)}::integer[]) as given (id)
        on conflict do nothing returning definition_id as id`.execute(tx)
      if (removed.length === 0 && added.length === 0) return
      await touchProfile(tx, change)
      await appendAudit(tx, [
        {
          chain: auditChainOf(environmentId),
          actor,
          entity: 'profile',
          entityId: String(profileId),
          action: 'allow_definitions',
          after: { allowed: added.map(({ id }) => id), notAllowed: removed.map(({ id }) => id) },
        },
      ])
    })
  }
}

/** All of them must be of this environment, also those that are removed. */
async function checkDefinitions(tx: Queries, environmentId: number, changes: readonly DefinitionChange[]) {
  const rows = await tx
    .selectFrom('object_definitions')
    .select('definition_id')
    .where('environment_id', '=', environmentId)
    .where(
      sql<boolean>`definition_id = any(${changes.map((change) => change.provisionableObjectDefinitionID)}::integer[])`,
    )
    .orderBy('definition_id')
    .forKeyShare()
    .execute()
  const known = new Set(rows.map((row) => row.definition_id))
  for (const [index, { provisionableObjectDefinitionID: id }] of changes.entries()) {
    if (!known.has(id)) throw noAccess('definition', id, `${index}.provisionableObjectDefinitionID`)
  }
}
