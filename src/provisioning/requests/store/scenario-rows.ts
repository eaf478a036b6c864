import { sql } from 'kysely'
import { invalidRequest, type FieldError } from '../../../core/parse-input.ts'
import type { Queries } from '../../store/database.ts'
import { isSecretParameter } from '../model/action-catalogue.ts'
import { SCENARIOS_MAX, type ParameterInput, type ScenarioInput } from '../model/profile.ts'
import { MASK } from '../model/mask.ts'
import { noAccess } from '../model/refusal.ts'
import { readDataTypeRules } from './data-type-rules.ts'

/** Where an input is in what the caller sent, such as `scenarios`. */
type Placed = { readonly place: string }

/**
 * Adds scenarios after those of a profile that is locked. Rejects with `resource_not_found` for an action that there
 * is not, and with `invalid_request` for too many, or a value that is not of its data type.
 */
export async function addScenarios(
  tx: Queries,
  {
    profileId,
    scenarios,
    place,
  }: Placed & { readonly profileId: number; readonly scenarios: readonly ScenarioInput[] },
): Promise<void> {
  if (scenarios.length === 0) return
  const { last, live } = await countScenarios(tx, profileId)
  if (live + scenarios.length > SCENARIOS_MAX) {
    throw invalidRequest([{ field: place, message: `must leave the profile with up to ${SCENARIOS_MAX} scenarios` }])
  }
  await checkScenarios(tx, scenarios, place)
  for (const [index, { providerActionID, parameters }] of scenarios.entries()) {
    const { scenario_id: scenarioId } = await tx
      .insertInto('scenarios')
      .values({ profile_id: profileId, provider_action_id: providerActionID, sequence_number: last + 1 + index })
      .returning('scenario_id')
      .executeTakeFirstOrThrow()
    if (parameters.length === 0) continue
    await tx
      .insertInto('scenario_parameters')
      .values(
        parameters.map(({ name, scope, value }, at) => ({
          scenario_id: scenarioId,
          name,
          scope,
          value: value ?? null,
          sequence_number: at + 1,
        })),
      )
      .execute()
  }
}

/** Takes scenarios from a profile that is locked; requests that ran them keep them. */
export async function removeScenarios(
  tx: Queries,
  { profileId, scenarioIds, place }: Placed & { readonly profileId: number; readonly scenarioIds: readonly number[] },
): Promise<void> {
  for (const scenarioId of scenarioIds) {
    const { numUpdatedRows } = await tx
      .updateTable('scenarios')
      .set({ removed_at: sql`now()` })
      .where('profile_id', '=', profileId)
      .where('scenario_id', '=', scenarioId)
      .where('removed_at', 'is', null)
      .executeTakeFirst()
    if (numUpdatedRows === 0n) throw noAccess('scenario', scenarioId, place)
  }
}

/** Rejects with `invalid_request` for a value that the data type of its parameter does not allow. */
export async function checkParameters(
  tx: Queries,
  actionId: number,
  parameters: readonly (Pick<ParameterInput, 'name' | 'scope' | 'value'> & Placed)[],
): Promise<void> {
  const rules = await readDataTypeRules(tx)
  const definitions = await tx
    .selectFrom('action_data_definitions')
    .select(['name', 'data_type_id'])
    .where('provider_action_id', '=', actionId)
    .execute()
  const types = new Map(definitions.map((row) => [row.name, row.data_type_id]))
  const errors = parameters.flatMap(({ name, scope, value, place }): readonly FieldError[] => {
    const type = types.get(name)
    // The others name where the value is.
    if (type === undefined || value === undefined || scope === 'Request' || scope === 'Global') return []
    const problem = rules.problemOfComputed(type, value)
    return problem === undefined ? [] : [{ field: `${place}.value`, message: problem }]
  })
  if (errors.length > 0) throw invalidRequest(errors)
}

/** As the audit trail keeps them. */
export const withoutSecrets = (
  parameters: readonly { readonly name: string; readonly value?: string | undefined }[],
): readonly object[] =>
  parameters.map(({ value, ...parameter }) =>
    value === undefined ? parameter : { ...parameter, value: isSecretParameter(parameter.name) ? MASK : value },
  )

async function checkScenarios(tx: Queries, scenarios: readonly ScenarioInput[], place: string): Promise<void> {
  const wanted = [...new Set(scenarios.map(({ providerActionID }) => providerActionID))]
  const rows = await tx
    .selectFrom('provider_actions')
    .select('provider_action_id')
    .where('provider_action_id', 'in', wanted)
    .execute()
  const known = new Set(rows.map((row) => row.provider_action_id))
  for (const [index, { providerActionID, parameters }] of scenarios.entries()) {
    if (!known.has(providerActionID)) {
      throw noAccess('provider action', providerActionID, `${place}.${index}.providerActionID`)
    }
    await checkParameters(
      tx,
      providerActionID,
      parameters.map((parameter, at) => ({ ...parameter, place: `${place}.${index}.parameters.${at}` })),
    )
  }
}

async function countScenarios(tx: Queries, profileId: number) {
  const { rows } = await sql<{ last: number; live: number }>`
    select coalesce(max(sequence_number), 0)::integer as last,
      (count(*) filter (where removed_at is null))::integer as live
    from scenarios where profile_id = ${profileId}`.execute(tx)
  return rows[0] ?? { last: 0, live: 0 }
}
