import { sql } from 'kysely'
import { invalidRequest, parseInput } from '../../../core/parse-input.ts'
import { appendAudit } from '../../store/audit.ts'
import type { ProvisioningDatabase, Queries } from '../../store/database.ts'
import { DefinitionInput } from '../model/definition.ts'
import { elementChanges, isUnchanged, touchedElements } from '../model/element-changes.ts'
import { DEFINITION_PATCHES } from '../model/patch-tables.ts'
import { applyPatch, type Patch } from '../model/patch.ts'
import { noAccess } from '../model/refusal.ts'
import {
  readDataDefinitions,
  toColumns,
  toInput,
  writeDataDefinitions,
  type DataDefinitionColumns,
  type StoredDataDefinition,
} from './data-definition-rows.ts'
import { checkDefinition } from './definition-checks.ts'
import { readFoundDataDefinitions, type DefinitionRow, type FoundDataDefinition } from './definition-sources.ts'
import { auditChainOf, type EnvironmentChange } from './environments.ts'
import { checkUnique } from './unique-names.ts'

export type Definition = { readonly row: DefinitionRow; readonly dataDefinitions: readonly FoundDataDefinition[] }

/** Provisionable object definitions: what there can be in an environment, and which data it has. */
export class Definitions {
  readonly #database: ProvisioningDatabase

  constructor(database: ProvisioningDatabase) {
    this.#database = database
  }

  /** Rejects with `resource_not_found`. */
  find(environmentId: number, definitionId: number): Promise<DefinitionRow> {
    return this.#database.query((db) => existing(db, environmentId, definitionId))
  }

  /** Rejects with `invalid_request` for what is not unique or refers to what there is not. */
  create({
    environmentId,
    actor,
    input,
  }: EnvironmentChange & { readonly input: DefinitionInput }): Promise<Definition> {
    return this.#database.transaction(async (tx) => {
      await checkUnique(tx, { kind: 'definition', environmentId, code: input.code, name: input.name })
      await checkDefinition(tx, environmentId, input)
      const row = await tx
        .insertInto('object_definitions')
        .values({
          environment_id: environmentId,
          code: input.code,
          name: input.name,
          description: input.description ?? null,
          created_by: actor,
          modified_by: actor,
        })
        .returningAll()
        .executeTakeFirstOrThrow()
      const added = input.dataDefinitions.map(toColumns)
      await writeDataDefinitions(tx, row.definition_id, { removed: [], added, changed: [] })
      const dataDefinitions = await readFoundDataDefinitions(tx, row.definition_id)
      await appendAudit(tx, [{ ...auditOf(row, actor), action: 'create', after: input }])
      return { row, dataDefinitions }
    })
  }

  /**
   * Applies a patch, all of it or nothing. Rejects with `resource_not_found`, or with `invalid_request` when an
   * operation is not allowed, or when what comes out is not what could have been made so.
   */
  patch(change: EnvironmentChange & { readonly definitionId: number; readonly patch: Patch }): Promise<void> {
    const { environmentId, actor, definitionId } = change
    return this.#database.transaction(async (tx) => {
      const row = await existing(tx, environmentId, definitionId, 'update')
      const before = await readDataDefinitions(tx, definitionId)
      const { input, elements } = patched(row, before, change.patch)
      if (row.product_id !== null) checkBuiltIn(row, before, { input, elements })
      const changes = elementChanges(before, elements)
      const columns = { code: input.code, name: input.name, description: input.description ?? null }
      const isSame = row.code === columns.code && row.name === columns.name && row.description === columns.description
      if (isSame && isUnchanged(changes)) return
      await checkUnique(tx, { kind: 'definition', environmentId, id: definitionId, code: input.code, name: input.name })
      await checkDefinition(tx, environmentId, input)
      await tx
        .updateTable('object_definitions')
        .set({ ...columns, modified_at: sql`now()`, modified_by: actor })
        .where('definition_id', '=', definitionId)
        .execute()
      await writeDataDefinitions(tx, definitionId, changes)
      await appendAudit(tx, [
        {
          ...auditOf(row, actor),
          action: 'update',
          before: {
            code: row.code,
            name: row.name,
            description: row.description,
            dataDefinitions: touchedElements(changes, 'before'),
          },
          after: { ...columns, dataDefinitions: touchedElements(changes, 'after') },
        },
      ])
    })
  }
}

type Elements = readonly { readonly id: number | undefined; readonly element: DataDefinitionColumns }[]
type Outcome = { readonly input: DefinitionInput; readonly elements: Elements }

function patched(row: DefinitionRow, before: readonly StoredDataDefinition[], patch: Patch): Outcome {
  const { document, ids } = applyPatch(patch, {
    table: DEFINITION_PATCHES,
    document: {
      code: row.code,
      name: row.name,
      ...(row.description !== null && { description: row.description }),
      dataDefinitions: before.map(({ element }) => toInput(element)),
    },
    list: { name: 'dataDefinitions', ids: before.map(({ id }) => id) },
  })
  const input = parseInput(DefinitionInput, document)
  const elements = input.dataDefinitions.map((definition, index) => ({
    id: ids[index],
    element: toColumns(definition, index),
  }))
  return { input, elements }
}

/** What the services of a product are shown by stays: the code, and the names and types of built-in data. */
function checkBuiltIn(row: DefinitionRow, before: readonly StoredDataDefinition[], { input, elements }: Outcome): void {
  const lost = before.find(({ id, element, isBuiltIn }) => {
    const now = elements.find((candidate) => candidate.id === id)?.element
    return isBuiltIn && (now?.name !== element.name || now.data_type_id !== element.data_type_id)
  })
  const errors = [
    ...(input.code === row.code ? [] : [{ field: 'code', message: 'is that of a product, and stays' }]),
    ...(lost === undefined
      ? []
      : [{ field: 'dataDefinitions', message: `${lost.element.name} is built in, and keeps its name and data type` }]),
  ]
  if (errors.length > 0) throw invalidRequest(errors)
}

async function existing(
  queries: Queries,
  environmentId: number,
  definitionId: number,
  lock?: 'update',
): Promise<DefinitionRow> {
  const query = queries
    .selectFrom('object_definitions')
    .selectAll()
    .where('environment_id', '=', environmentId)
    .where('definition_id', '=', definitionId)
  const row = await (lock === undefined ? query : query.forUpdate()).executeTakeFirst()
  if (row === undefined) {
    throw noAccess('provisionable object definition', definitionId, 'provisionableObjectDefinitionId')
  }
  return row
}

const auditOf = (row: DefinitionRow, actor: string) => ({
  chain: auditChainOf(row.environment_id),
  actor,
  entity: 'provisionable_object_definition',
  entityId: String(row.definition_id),
})
