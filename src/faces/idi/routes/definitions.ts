import * as v from 'valibot'
import { DefinitionInput } from '../../../provisioning/requests/model/definition.ts'
import { PatchBody } from '../../../provisioning/requests/model/patch.ts'
import type { IdiDeps } from '../deps.ts'
import type { AddIdi } from '../operation.ts'
import {
  DataDefinitionItem,
  DefinitionAnswer,
  DefinitionItem,
  toDataDefinitionItem,
  toDefinitionItem,
} from '../schemas/definitions.ts'
import { idInPath } from '../schemas/fields.ts'
import { addSearch } from '../search-operation.ts'
import { IDI_TAGS } from '../tags.ts'

const tag = IDI_TAGS.definitions
const params = v.strictObject({ provisionableObjectDefinitionId: idInPath('definition') })

type Deps = Pick<IdiDeps, 'definitions' | 'definitionSearch'>

/** Provisionable object definitions: what there can be in an environment. */
export function addDefinitionRoutes(add: AddIdi, { definitions, definitionSearch }: Deps): void {
  addSearch(add, {
    name: 'listDefinitions',
    tag,
    summary: 'Search provisionable object definitions',
    item: DefinitionItem,
    toItem: toDefinitionItem,
    search: ({ environment, query }) => definitionSearch.definitions(environment.environmentId, query),
  })
  add(
    'createDefinition',
    {
      tag,
      summary: 'Create a provisionable object definition',
      body: DefinitionInput,
      schema: DefinitionAnswer,
      status: 201,
    },
    async ({ environment: { environmentId }, actor, body }) => {
      const { row, dataDefinitions } = await definitions.create({ environmentId, actor, input: body })
      return { ...toDefinitionItem(row), dataDefinitions: dataDefinitions.map(toDataDefinitionItem) }
    },
  )
  add(
    'getDefinition',
    { tag, summary: 'Show a provisionable object definition', params, schema: DefinitionItem },
    async ({ environment, params: { provisionableObjectDefinitionId } }) =>
      toDefinitionItem(await definitions.find(environment.environmentId, provisionableObjectDefinitionId)),
  )
  add(
    'patchDefinition',
    {
      tag,
      summary: 'Change a provisionable object definition by a JSON Patch',
      description:
        'All of the operations or none. code and name can be replaced, the description can be added, removed and replaced, and so can data definitions and their properties as far as these are optional; the others can be replaced. Of the definition of a product, the code and what is built in stay.',
      params,
      body: PatchBody,
    },
    ({ environment: { environmentId }, actor, params: { provisionableObjectDefinitionId }, body }) =>
      definitions.patch({ environmentId, actor, definitionId: provisionableObjectDefinitionId, patch: body }),
  )
  addSearch(add, {
    name: 'listDataDefinitions',
    tag,
    summary: 'Search the data definitions of a provisionable object definition',
    params,
    item: DataDefinitionItem,
    toItem: toDataDefinitionItem,
    search: async ({ environment: { environmentId }, params: { provisionableObjectDefinitionId }, query }) => {
      const { definition_id } = await definitions.find(environmentId, provisionableObjectDefinitionId)
      return definitionSearch.dataDefinitions(environmentId, definition_id, query)
    },
  })
}
