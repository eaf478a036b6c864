import { invalidRequest, type FieldError } from '../../../core/parse-input.ts'
import type { Queries } from '../../store/database.ts'
import type { DefinitionInput } from '../model/definition.ts'
import { readDataTypeRules } from './data-type-rules.ts'

/**
 * Rejects with `invalid_request` when a definition refers to what there is not, or has a default value that its data
 * type does not allow. The variables that it refers to stay until the transaction ends.
 */
export async function checkDefinition(tx: Queries, environmentId: number, input: DefinitionInput): Promise<void> {
  const rules = await readDataTypeRules(tx)
  const transitions = await tx.selectFrom('object_transitions').select('transition_id').execute()
  const transitionIds: ReadonlySet<number> = new Set(transitions.map((row) => row.transition_id))
  const variableIds = await lockVariables(tx, environmentId, input)
  const errors = input.dataDefinitions.flatMap((definition, index): readonly FieldError[] => {
    const { dataTypeID, defaultValue, variableID, transitionOptions } = definition
    const problem = defaultValue === undefined ? undefined : rules.problemOfComputed(dataTypeID, defaultValue)
    const place = `dataDefinitions.${index}`
    return [
      ...(rules.has(dataTypeID) ? [] : [{ field: `${place}.dataTypeID`, message: 'there is no such data type' }]),
      ...(problem === undefined ? [] : [{ field: `${place}.defaultValue`, message: problem }]),
      ...(variableID === undefined || variableIds.has(variableID)
        ? []
        : [{ field: `${place}.variableID`, message: 'there is no such variable' }]),
      ...transitionOptions.flatMap(({ provisionedObjectTransitionID }, option) =>
        transitionIds.has(provisionedObjectTransitionID)
          ? []
          : [
              {
                field: `${place}.transitionOptions.${option}.provisionedObjectTransitionID`,
                message: 'there is no such transition',
              },
            ],
      ),
    ]
  })
  if (errors.length > 0) throw invalidRequest(errors)
}

async function lockVariables(
  tx: Queries,
  environmentId: number,
  { dataDefinitions }: DefinitionInput,
): Promise<ReadonlySet<number>> {
  const wanted = new Set(dataDefinitions.flatMap(({ variableID }) => (variableID === undefined ? [] : [variableID])))
  if (wanted.size === 0) return wanted
  const rows = await tx
    .selectFrom('variables')
    .select('variable_id')
    .where('environment_id', '=', environmentId)
    .where('variable_id', 'in', [...wanted])
    .orderBy('variable_id')
    .forShare()
    .execute()
  return new Set(rows.map((row) => row.variable_id))
}
