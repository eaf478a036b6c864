import * as v from 'valibot'
import type {
  ActionDataDefinition,
  Provider,
  ProviderActionRow,
} from '../../../provisioning/requests/store/providers.ts'
import { id, idInPath, present } from './fields.ts'

export const ProviderParams = v.strictObject({ providerId: idInPath('provider') })
export const ActionParams = v.strictObject({ ...ProviderParams.entries, actionId: idInPath('provider action') })

/** Who carries out what requests are about. */
export const ProviderItem = v.object({ description: v.string(), name: v.string(), providerID: id })
export const toProviderItem = (row: Provider): v.InferOutput<typeof ProviderItem> => ({
  description: row.description,
  name: row.name,
  providerID: row.provider_id,
})

/** What a provider can do. */
export const ActionItem = v.object({ description: v.string(), name: v.string(), providerActionID: id })
export const toActionItem = (row: ProviderActionRow): v.InferOutput<typeof ActionItem> => ({
  description: row.description,
  name: row.name,
  providerActionID: row.provider_action_id,
})

/** What an action can be told, by the parameters of a scenario. */
export const ActionDataDefinitionItem = v.object({
  dataDefinitionID: id,
  dataTypeID: id,
  defaultValue: v.optional(v.string()),
  description: v.string(),
  isRequired: v.boolean(),
  isVisible: v.boolean(),
  listID: v.optional(id),
  name: v.string(),
  sequenceNumber: v.pipe(v.number(), v.integer()),
})
export const toActionDataDefinitionItem = (
  row: ActionDataDefinition,
): v.InferOutput<typeof ActionDataDefinitionItem> => ({
  dataDefinitionID: row.data_definition_id,
  dataTypeID: row.data_type_id,
  ...present({ defaultValue: row.default_value }),
  description: row.description,
  isRequired: row.is_required,
  isVisible: true,
  name: row.name,
  sequenceNumber: row.sequence_number,
})
