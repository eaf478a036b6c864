import * as v from 'valibot'
import type { StoredOutcome } from '../../../provisioning/requests/store/outcome-rows.ts'
import type { Variable, VariableRow } from '../../../provisioning/requests/store/variables.ts'
import { authorship, id, present, toAuthorship } from './fields.ts'

/** A value that a variable can have. */
const OutcomeItem = v.object({
  displayValue: v.optional(v.pipe(v.string(), v.description('Absent unless it is set'))),
  outcomeCode: v.string(),
  outcomeID: id,
  sequenceNumber: v.pipe(id, v.description('What outcomes are in the order of')),
  value: v.string(),
})
const toOutcomeItem = ({ id: outcomeId, element }: StoredOutcome): v.InferOutput<typeof OutcomeItem> => ({
  ...present({ displayValue: element.display_value }),
  outcomeCode: element.outcome_code,
  outcomeID: outcomeId,
  sequenceNumber: element.sequence_number,
  value: element.value,
})

const VariableItem = v.object({
  code: v.string(),
  ...authorship,
  dataTypeID: id,
  isActive: v.boolean(),
  name: v.string(),
  variableID: id,
})
const toVariableItem = (row: VariableRow): v.InferOutput<typeof VariableItem> => ({
  code: row.code,
  ...toAuthorship(row),
  dataTypeID: row.data_type_id,
  isActive: row.is_active,
  name: row.name,
  variableID: row.variable_id,
})

/** Data that can have one of several values, with these. */
export const VariableAnswer = v.object({ ...VariableItem.entries, outcomes: v.array(OutcomeItem) })
export const toVariableAnswer = ({ row, outcomes }: Variable): v.InferOutput<typeof VariableAnswer> => ({
  ...toVariableItem(row),
  outcomes: outcomes.map(toOutcomeItem),
})

/** All variables, without their outcomes; no page, in the document. */
export const VariablesAnswer = v.object({ value: v.array(VariableItem) })
export const toVariablesAnswer = (rows: readonly VariableRow[]): v.InferOutput<typeof VariablesAnswer> => ({
  value: rows.map(toVariableItem),
})

/** All outcomes of a variable. */
export const OutcomesAnswer = v.object({ '@count': id, value: v.array(OutcomeItem) })
export const toOutcomesAnswer = ({ outcomes }: Variable): v.InferOutput<typeof OutcomesAnswer> => ({
  '@count': outcomes.length,
  value: outcomes.map(toOutcomeItem),
})
