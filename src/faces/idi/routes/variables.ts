import * as v from 'valibot'
import { PatchBody } from '../../../provisioning/requests/model/patch.ts'
import { VariableInput } from '../../../provisioning/requests/model/variable.ts'
import type { IdiDeps } from '../deps.ts'
import type { AddIdi } from '../operation.ts'
import { idInPath } from '../schemas/fields.ts'
import {
  OutcomesAnswer,
  toOutcomesAnswer,
  toVariableAnswer,
  toVariablesAnswer,
  VariableAnswer,
  VariablesAnswer,
} from '../schemas/variables.ts'
import { IDI_TAGS } from '../tags.ts'

const tag = IDI_TAGS.variables
const params = v.strictObject({ variableID: idInPath('variable') })

/** Variables: data that can have one of several values. */
export function addVariableRoutes(add: AddIdi, { variables }: Pick<IdiDeps, 'variables'>): void {
  add(
    'createVariable',
    { tag, summary: 'Create a variable', body: VariableInput, schema: VariableAnswer, status: 201 },
    async ({ environment, actor, body }) =>
      toVariableAnswer(await variables.create({ environmentId: environment.environmentId, actor, input: body })),
  )
  add(
    'listVariables',
    { tag, summary: 'List all variables, without their outcomes', schema: VariablesAnswer },
    async ({ environment }) => toVariablesAnswer(await variables.list(environment.environmentId)),
  )
  add(
    'getVariable',
    { tag, summary: 'Show a variable', params, schema: VariableAnswer },
    async ({ environment, params: { variableID } }) =>
      toVariableAnswer(await variables.find(environment.environmentId, variableID)),
  )
  add(
    'deleteVariable',
    { tag, summary: 'Delete a variable', description: 'Refused while a data definition uses it.', params },
    ({ environment, actor, params: { variableID } }) =>
      variables.remove({ environmentId: environment.environmentId, actor, variableId: variableID }),
  )
  add(
    'patchVariable',
    {
      tag,
      summary: 'Change a variable by a JSON Patch',
      description:
        'All of the operations or none. code, name, dataTypeID and isActive can be replaced; outcomes can be added, removed and replaced, and so can the properties of each.',
      params,
      body: PatchBody,
    },
    ({ environment, actor, params: { variableID }, body }) =>
      variables.patch({ environmentId: environment.environmentId, actor, variableId: variableID, patch: body }),
  )
  add(
    'listOutcomes',
    { tag, summary: 'List all outcomes of a variable', params, schema: OutcomesAnswer },
    async ({ environment, params: { variableID } }) =>
      toOutcomesAnswer(await variables.find(environment.environmentId, variableID)),
  )
}
