import { sql } from 'kysely'
import { invalidRequest } from '../../../core/parse-input.ts'
import type { ODataQuery } from '../../odata/query.ts'
import type { SearchPage, SearchSource } from '../../odata/search.ts'
import { appendAudit } from '../../store/audit.ts'
import type { Queries } from '../../store/database.ts'
import { LIST_LENGTH_MAX } from '../model/fields.ts'
import type { ParameterChange } from '../model/profile.ts'
import { noAccess } from '../model/refusal.ts'
import { auditChainOf } from './environments.ts'
import { findProfile, lockProfile, touchProfile, type ProfileChange } from './profile-rows.ts'
import { runSearch, type SearchParts } from './run-search.ts'
import { checkParameters, withoutSecrets } from './scenario-rows.ts'
import { integerColumn, nullable, textColumn } from './search-fields.ts'

/** One thing that the requests of a profile have done. */
export type Scenario = {
  readonly scenario_id: number
  readonly provider: string
  readonly provider_id: number
  readonly provider_action: string
  readonly provider_action_code: string
  readonly provider_action_id: number
}
/** What its action is told. */
export type Parameter = {
  readonly name: string
  readonly scope: string
  readonly sequence_number: number
  readonly value: string | null
}
export type ScenarioKey = { readonly environmentId: number; readonly profileId: number; readonly scenarioId: number }

/** Later ones have greater ids, so they are in the order in which they run. */
const scenariosOf = (profileId: number): SearchSource => ({
  from: sql`from scenarios s join provider_actions a using (provider_action_id)
    join action_providers p using (provider_id) where s.profile_id = ${profileId} and s.removed_at is null`,
  columns: sql`s.scenario_id, p.name as provider, p.provider_id, a.name as provider_action,
    a.code as provider_action_code, a.provider_action_id`,
  key: 'scenarioID',
  fields: {
    scenarioID: integerColumn(sql`s.scenario_id`),
    provider: textColumn(sql`p.name`),
    providerID: integerColumn(sql`p.provider_id`),
    providerAction: textColumn(sql`a.name`),
    providerActionCode: textColumn(sql`a.code`),
    providerActionID: integerColumn(sql`a.provider_action_id`),
  },
})

const parametersOf = (scenarioId: number): SearchSource => ({
  from: sql`from scenario_parameters p where p.scenario_id = ${scenarioId}`,
  columns: sql`p.name, p.scope, p.sequence_number, p.value`,
  key: 'sequenceNumber',
  fields: {
    name: textColumn(sql`p.name`),
    scope: textColumn(sql`p.scope`),
    sequenceNumber: integerColumn(sql`p.sequence_number`),
    value: nullable(textColumn(sql`p.value`)),
  },
})

/** The scenarios of profiles, and their parameters. */
export class Scenarios {
  readonly #parts: SearchParts

  constructor(parts: SearchParts) {
    this.#parts = parts
  }

  /** Rejects with `resource_not_found`. */
  search(environmentId: number, profileId: number, query: ODataQuery): Promise<SearchPage<Scenario>> {
    const source = async (db: Queries) => {
      await findProfile(db, environmentId, profileId)
      return scenariosOf(profileId)
    }
    return runSearch(this.#parts, { source, query })
  }

  /** Rejects with `resource_not_found`. */
  parameters(key: ScenarioKey, query: ODataQuery): Promise<SearchPage<Parameter>> {
    const source = async (db: Queries) => {
      await findProfile(db, key.environmentId, key.profileId)
      await findAction(db, key)
      return parametersOf(key.scenarioId)
    }
    return runSearch(this.#parts, { source, query })
  }

  /**
   * Puts and removes parameters by name and scope, all of them or none; of one that is there, an absent value stays.
   * Rejects with `resource_not_found`, and with `invalid_request` for a value that is not of its data type and for the
   * profile that is built in.
   */
  update(
    change: ProfileChange & { readonly scenarioId: number; readonly changes: readonly ParameterChange[] },
  ): Promise<void> {
    const { environmentId, actor, profileId, scenarioId, changes } = change
    return this.#parts.database.transaction(async (tx) => {
      await lockProfile(tx, change)
      const actionId = await findAction(tx, change)
      if (changes.length === 0) return
      const placed = changes.map((one, index) => ({ ...one, place: String(index) }))
      const kept = placed.filter(({ remove }) => remove !== true)
      await checkParameters(tx, actionId, kept)
      for (const { name, scope } of placed.filter(({ remove }) => remove === true)) {
        await tx
          .deleteFrom('scenario_parameters')
          .where('scenario_id', '=', scenarioId)
          .where('name', '=', name)
          .where('scope', '=', scope)
          .execute()
      }
      for (const parameter of kept) await putParameter(tx, scenarioId, parameter)
      await checkCount(tx, scenarioId)
      await touchProfile(tx, change)
      await appendAudit(tx, [
        {
          chain: auditChainOf(environmentId),
          actor,
          entity: 'profile',
          entityId: String(profileId),
          action: 'update_parameters',
          after: { scenarioId, parameters: withoutSecrets(changes) },
        },
      ])
    })
  }
}

/** The action of a scenario; one that was removed is not there. */
async function findAction(queries: Queries, { profileId, scenarioId }: ScenarioKey): Promise<number> {
  const row = await queries
    .selectFrom('scenarios')
    .select('provider_action_id')
    .where('profile_id', '=', profileId)
    .where('scenario_id', '=', scenarioId)
    .where('removed_at', 'is', null)
    .executeTakeFirst()
  if (row === undefined) throw noAccess('scenario', scenarioId, 'scenarioId')
  return row.provider_action_id
}

async function putParameter(
  tx: Queries,
  scenarioId: number,
  { name, scope, value }: { readonly name: string; readonly scope: string; readonly value?: string | undefined },
): Promise<void> {
  await sql`insert into scenario_parameters (scenario_id, name, scope, value, sequence_number)
    values (${scenarioId}, ${name}, ${scope}, ${value ?? null}, (select coalesce(max(sequence_number), 0) + 1
      from scenario_parameters where scenario_id = ${scenarioId}))
    on conflict (scenario_id, name, scope) do update
      set value = coalesce(excluded.value, scenario_parameters.value)`.execute(tx)
}

async function checkCount(tx: Queries, scenarioId: number): Promise<void> {
  const { rows } = await sql<{ count: number }>`select count(*)::integer as count
    from scenario_parameters where scenario_id = ${scenarioId}`.execute(tx)
  if ((rows[0]?.count ?? 0) > LIST_LENGTH_MAX) {
    throw invalidRequest([{ field: '', message: `must leave the scenario with up to ${LIST_LENGTH_MAX} parameters` }])
  }
}
