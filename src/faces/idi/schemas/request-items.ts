import * as v from 'valibot'
import type { ComputedRow, GivenItem, OutcomeRow } from '../../../provisioning/requests/engine/request-items.ts'
import { present } from './fields.ts'

/** An extended information item, as the request gave it. */
export const GivenItemItem = v.object({ keyName: v.string(), value: v.string() })
export const toGivenItem = (row: GivenItem): v.InferOutput<typeof GivenItemItem> => ({
  keyName: row.key_name,
  value: row.value,
})

/** An extended information item, and what it comes to. */
export const ComputedItemItem = v.object({
  computationType: v.pipe(
    v.picklist(['Request', 'State', 'Default', 'Reference', 'Expression']),
    v.description(
      'Given by the request, had by the object (the word of the document), the default of the definition; Reference and Expression: computed from @[key] or #[expression]',
    ),
  ),
  isComputed: v.pipe(v.boolean(), v.description('It is not just what the request gave')),
  isRequired: v.boolean(),
  keyName: v.string(),
  value: v.optional(v.string()),
})
export const toComputedItem = (row: ComputedRow): v.InferOutput<typeof ComputedItemItem> => ({
  computationType: row.computation_type,
  isComputed: row.computation_type !== 'Request',
  isRequired: row.is_required,
  keyName: row.key_name,
  ...present({ value: row.value }),
})

/** Which outcome a request has of a variable; spelled as in the document. */
export const OutcomeItem = v.object({ OutcomeCode: v.string(), VariableCode: v.string() })
export const toOutcomeItem = (row: OutcomeRow): v.InferOutput<typeof OutcomeItem> => ({
  OutcomeCode: row.outcome_code,
  VariableCode: row.variable_code,
})
