import * as v from 'valibot'
import type { AllowedDefinition } from '../../../provisioning/requests/store/profile-definitions.ts'
import type { ProfileRow } from '../../../provisioning/requests/store/profile-rows.ts'
import type { Parameter, Scenario } from '../../../provisioning/requests/store/scenarios.ts'
import { authorship, id, idInPath, present, toAuthorship } from './fields.ts'

export const ProfileParams = v.strictObject({ profileId: idInPath('profile') })
export const ScenarioParams = v.strictObject({ ...ProfileParams.entries, scenarioId: idInPath('scenario') })

/** What a request has done. */
export const ProfileItem = v.object({
  ...authorship,
  description: v.optional(v.string()),
  name: v.string(),
  profileID: id,
})
export const toProfileItem = (row: ProfileRow): v.InferOutput<typeof ProfileItem> => ({
  ...toAuthorship(row),
  ...present({ description: row.description }),
  name: row.name,
  profileID: row.profile_id,
})

/** A definition whose objects requests of a profile can be about. */
export const AllowedDefinitionItem = v.object({
  code: v.string(),
  name: v.string(),
  provisionableObjectDefinitionID: id,
})
export const toAllowedDefinitionItem = (row: AllowedDefinition): v.InferOutput<typeof AllowedDefinitionItem> => ({
  code: row.code,
  name: row.name,
  provisionableObjectDefinitionID: row.definition_id,
})

/** One thing that a provider is to do. */
export const ScenarioItem = v.object({
  provider: v.string(),
  providerID: id,
  providerAction: v.string(),
  providerActionCode: v.string(),
  providerActionID: id,
  scenarioID: id,
})
export const toScenarioItem = (row: Scenario): v.InferOutput<typeof ScenarioItem> => ({
  provider: row.provider,
  providerID: row.provider_id,
  providerAction: row.provider_action,
  providerActionCode: row.provider_action_code,
  providerActionID: row.provider_action_id,
  scenarioID: row.scenario_id,
})

/** What the provider is told of it. */
export const ParameterItem = v.object({
  name: v.string(),
  scope: v.pipe(v.string(), v.description('Literal, Request, Global, or the code of a definition')),
  sequenceNumber: v.pipe(v.number(), v.integer()),
  value: v.optional(v.string()),
})
export const toParameterItem = (row: Parameter): v.InferOutput<typeof ParameterItem> => ({
  name: row.name,
  scope: row.scope,
  sequenceNumber: row.sequence_number,
  ...present({ value: row.value }),
})
