import { sql } from 'kysely'
import { invalidRequest, parseInput } from '../../../core/parse-input.ts'
import type { ODataQuery } from '../../odata/query.ts'
import type { SearchPage, SearchSource } from '../../odata/search.ts'
import { appendAudit } from '../../store/audit.ts'
import type { Queries } from '../../store/database.ts'
import { PROFILE_PATCHES } from '../model/patch-tables.ts'
import { applyPatch, type Patch } from '../model/patch.ts'
import {
  AddedScenarios,
  PatchedProfile,
  RemovedScenarios,
  type ProfileInput,
  type ScenarioInput,
} from '../model/profile.ts'
import { auditChainOf, type EnvironmentChange } from './environments.ts'
import { findProfile, lockProfile, touchProfile, type ProfileChange, type ProfileRow } from './profile-rows.ts'
import { runSearch, type SearchParts } from './run-search.ts'
import { addScenarios, removeScenarios, withoutSecrets } from './scenario-rows.ts'
import { authorshipColumns, integerColumn, nullable, textColumn } from './search-fields.ts'

const sourceOf = (environmentId: number): SearchSource => ({
  from: sql`from profiles p where p.environment_id = ${environmentId}`,
  columns: sql`p.*`,
  key: 'profileID',
  fields: {
    ...authorshipColumns('p'),
    profileID: integerColumn(sql`p.profile_id`),
    name: textColumn(sql`p.name`),
    description: nullable(textColumn(sql`p.description`)),
  },
})

/** Profiles: what a request has done, as scenarios that run one after the other. */
export class Profiles {
  readonly #parts: SearchParts

  constructor(parts: SearchParts) {
    this.#parts = parts
  }

  search(environmentId: number, query: ODataQuery): Promise<SearchPage<ProfileRow>> {
    return runSearch(this.#parts, { source: sourceOf(environmentId), query })
  }

  /** Rejects with `resource_not_found`. */
  find(environmentId: number, profileId: number): Promise<ProfileRow> {
    return this.#parts.database.query((db) => findProfile(db, environmentId, profileId))
  }

  /**
   * Rejects with `invalid_request` for a name that there is, and for what is wrong with a scenario; with
   * `resource_not_found` for an action that there is not.
   */
  create({ environmentId, actor, input }: EnvironmentChange & { readonly input: ProfileInput }): Promise<ProfileRow> {
    const { name, description, scenarios } = input
    return this.#parts.database.transaction(async (tx) => {
      await checkName(tx, { environmentId, name })
      const row = await tx
        .insertInto('profiles')
        .values({
          environment_id: environmentId,
          name,
          description: description ?? null,
          created_by: actor,
          modified_by: actor,
        })
        .returningAll()
        .executeTakeFirstOrThrow()
      await addScenarios(tx, { profileId: row.profile_id, scenarios, place: 'scenarios' })
      await appendAudit(tx, [
        {
          ...auditOf({ environmentId, actor, profileId: row.profile_id }),
          action: 'create',
          after: { name, description, scenarios: scenarios.map(toAudited) },
        },
      ])
      return row
    })
  }

  /**
   * Applies a patch, all of it or nothing. Rejects as `create` does, with `resource_not_found` for what there is not,
   * and with `invalid_request` for an operation that is not allowed and for the profile that is built in.
   */
  patch(change: ProfileChange & { readonly patch: Patch }): Promise<void> {
    const { environmentId, profileId } = change
    return this.#parts.database.transaction(async (tx) => {
      const row = await lockProfile(tx, change)
      if (change.patch.length === 0) return
      const before = { name: row.name, ...(row.description !== null && { description: row.description }) }
      const { document } = applyPatch(change.patch, { table: PROFILE_PATCHES, document: before })
      const { name, description } = parseInput(PatchedProfile, document)
      const added = valuesOf(change.patch, '/addProfileScenarios', (value) =>
        parseInput(AddedScenarios, value, 'value'),
      )
      const removed = valuesOf(change.patch, '/removeProfileScenarios', (value) =>
        parseInput(RemovedScenarios, value, 'value'),
      )
      if (name !== row.name) await checkName(tx, { environmentId, name })
      await removeScenarios(tx, { profileId, scenarioIds: removed, place: 'value' })
      await addScenarios(tx, { profileId, scenarios: added, place: 'value' })
      await touchProfile(tx, change, { name, description: description ?? null })
      await appendAudit(tx, [
        {
          ...auditOf(change),
          action: 'update',
          before: { ...before, ...(removed.length > 0 && { scenarioIds: removed }) },
          after: { name, description, ...(added.length > 0 && { scenarios: added.map(toAudited) }) },
        },
      ])
    })
  }
}

/** What all operations of a patch add to a path: it is no property, so one does not replace what another added. */
const valuesOf = <Value>(patch: Patch, path: string, parse: (value: unknown) => readonly Value[]): readonly Value[] =>
  patch.filter((operation) => operation.path === path).flatMap(({ value }) => parse(value))

/** Of two that are made at the same time, the table's constraint refuses one. */
async function checkName(
  tx: Queries,
  { environmentId, name }: { readonly environmentId: number; readonly name: string },
) {
  const other = await tx
    .selectFrom('profiles')
    .select('profile_id')
    .where('environment_id', '=', environmentId)
    .where('name', '=', name)
    .executeTakeFirst()
  if (other !== undefined) throw invalidRequest([{ field: 'name', message: 'must be unique' }])
}

const toAudited = ({ providerActionID, parameters }: ScenarioInput) => ({
  providerActionID,
  parameters: withoutSecrets(parameters),
})

const auditOf = ({ environmentId, actor, profileId }: ProfileChange) => ({
  chain: auditChainOf(environmentId),
  actor,
  entity: 'profile',
  entityId: String(profileId),
})
