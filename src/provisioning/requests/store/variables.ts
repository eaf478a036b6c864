import { sql, type Selectable } from 'kysely'
import { invalidRequest, parseInput } from '../../../core/parse-input.ts'
import { appendAudit } from '../../store/audit.ts'
import type { ProvisioningDatabase, Queries } from '../../store/database.ts'
import { elementChanges, isUnchanged, touchedElements } from '../model/element-changes.ts'
import { VARIABLE_PATCHES } from '../model/patch-tables.ts'
import { applyPatch, type Patch } from '../model/patch.ts'
import { noAccess } from '../model/refusal.ts'
import { VariableInput } from '../model/variable.ts'
import { readDataTypeRules } from './data-type-rules.ts'
import { lockEnvironment } from './environment-lock.ts'
import { auditChainOf, type EnvironmentChange } from './environments.ts'
import { readOutcomes, toOutcomeColumns, toOutcomeInput, writeOutcomes, type StoredOutcome } from './outcome-rows.ts'
import type { RequestTables } from './schema.ts'
import { checkUnique } from './unique-names.ts'

export type VariableRow = Selectable<RequestTables['variables']>
export type Variable = { readonly row: VariableRow; readonly outcomes: readonly StoredOutcome[] }

/** Variables: data that can have one of several values, its outcomes. */
export class Variables {
  readonly #database: ProvisioningDatabase

  constructor(database: ProvisioningDatabase) {
    this.#database = database
  }

  /** All of an environment, in the order in which they were made. */
  list(environmentId: number): Promise<readonly VariableRow[]> {
    return this.#database.query((db) =>
      db
        .selectFrom('variables')
        .selectAll()
        .where('environment_id', '=', environmentId)
        .orderBy('variable_id')
        .execute(),
    )
  }

  /** Rejects with `resource_not_found`. */
  find(environmentId: number, variableId: number): Promise<Variable> {
    return this.#database.query(async (db) => {
      const row = await existing(db, environmentId, variableId)
      return { row, outcomes: await readOutcomes(db, variableId) }
    })
  }

  /**
   * Rejects with `invalid_request` for what is not unique, for values that are not of the data type, and when there are
   * too many variables already.
   */
  create({ environmentId, actor, input }: EnvironmentChange & { readonly input: VariableInput }): Promise<Variable> {
    return this.#database.transaction(async (tx) => {
      await lockEnvironment(tx, environmentId)
      await checkCount(tx, environmentId)
      await checkUnique(tx, { kind: 'variable', environmentId, code: input.code, name: input.name })
      await checkValues(tx, input)
      const row = await tx
        .insertInto('variables')
        .values({ environment_id: environmentId, ...toColumns(input), created_by: actor, modified_by: actor })
        .returningAll()
        .executeTakeFirstOrThrow()
      const added = input.outcomes.map(toOutcomeColumns)
      await writeOutcomes(tx, row.variable_id, { removed: [], added, changed: [] })
      const outcomes = await readOutcomes(tx, row.variable_id)
      await appendAudit(tx, [{ ...auditOf(row, actor), action: 'create', after: input }])
      return { row, outcomes }
    })
  }

  /**
   * Applies a patch, all of it or nothing. Rejects with `resource_not_found`, or with `invalid_request` when an
   * operation is not allowed, or when what comes out is not what could have been made so.
   */
  patch(change: EnvironmentChange & { readonly variableId: number; readonly patch: Patch }): Promise<void> {
    const { environmentId, actor, variableId } = change
    return this.#database.transaction(async (tx) => {
      const row = await existing(tx, environmentId, variableId, 'update')
      const before = await readOutcomes(tx, variableId)
      const { input, outcomes } = patched(row, before, change.patch)
      const changes = elementChanges(before, outcomes)
      const columns = toColumns(input)
      if (isSame(row, columns) && isUnchanged(changes)) return
      await checkUnique(tx, { kind: 'variable', environmentId, id: variableId, code: input.code, name: input.name })
      await checkValues(tx, input)
      await tx
        .updateTable('variables')
        .set({ ...columns, modified_at: sql`now()`, modified_by: actor })
        .where('variable_id', '=', variableId)
        .execute()
      await writeOutcomes(tx, variableId, changes)
      await appendAudit(tx, [
        {
          ...auditOf(row, actor),
          action: 'update',
          before: { ...toDocument(row), outcomes: touchedElements(changes, 'before') },
          after: { ...input, outcomes: touchedElements(changes, 'after') },
        },
      ])
    })
  }

  /** Rejects with `resource_not_found`, and with `invalid_request` while a data definition uses it. */
  remove({ environmentId, actor, variableId }: EnvironmentChange & { readonly variableId: number }): Promise<void> {
    return this.#database.transaction(async (tx) => {
      const row = await existing(tx, environmentId, variableId, 'update')
      const user = await tx
        .selectFrom('data_definitions')
        .innerJoin('object_definitions', 'object_definitions.definition_id', 'data_definitions.definition_id')
        .select(['data_definitions.data_definition_id', 'object_definitions.code'])
        .where('variable_id', '=', variableId)
        .orderBy('data_definition_id')
        .limit(1)
        .executeTakeFirst()
      if (user !== undefined) {
        const message = `is used by the data definition ${user.data_definition_id} of ${user.code}`
        throw invalidRequest([{ field: 'variableID', message }])
      }
      const outcomes = await readOutcomes(tx, variableId)
      await tx.deleteFrom('variables').where('variable_id', '=', variableId).execute()
      await appendAudit(tx, [
        {
          ...auditOf(row, actor),
          action: 'remove',
          before: { ...toDocument(row), outcomes: outcomes.map(({ id, element }) => ({ id, ...element })) },
        },
      ])
    })
  }
}

const toColumns = (input: VariableInput) => ({
  code: input.code,
  name: input.name,
  data_type_id: input.dataTypeID,
  is_active: input.isActive,
})
type Columns = ReturnType<typeof toColumns>

const isSame = (row: VariableRow, { code, name, data_type_id, is_active }: Columns): boolean =>
  row.code === code && row.name === name && row.data_type_id === data_type_id && row.is_active === is_active

/** As it would be sent, but for its outcomes. */
const toDocument = (row: VariableRow) => ({
  code: row.code,
  name: row.name,
  dataTypeID: row.data_type_id,
  isActive: row.is_active,
})

function patched(row: VariableRow, before: readonly StoredOutcome[], patch: Patch) {
  const { document, ids } = applyPatch(patch, {
    table: VARIABLE_PATCHES,
    document: { ...toDocument(row), outcomes: before.map(({ element }) => toOutcomeInput(element)) },
    list: { name: 'outcomes', ids: before.map(({ id }) => id) },
  })
  const input = parseInput(VariableInput, document)
  const outcomes = input.outcomes.map((outcome, index) => ({ id: ids[index], element: toOutcomeColumns(outcome) }))
  return { input, outcomes }
}

/** All of them are listed at once, as the document has it. */
const VARIABLES_MAX = 10_000

async function checkCount(tx: Queries, environmentId: number): Promise<void> {
  const { rows } = await sql<{ count: number }>`
    select count(*)::integer as count from variables where environment_id = ${environmentId}`.execute(tx)
  if ((rows[0]?.count ?? 0) < VARIABLES_MAX) return
  throw invalidRequest([{ field: '', message: `the environment has ${VARIABLES_MAX} variables, and no room for more` }])
}

async function existing(queries: Queries, environmentId: number, variableId: number, lock?: 'update') {
  const query = queries
    .selectFrom('variables')
    .selectAll()
    .where('environment_id', '=', environmentId)
    .where('variable_id', '=', variableId)
  const row = await (lock === undefined ? query : query.forUpdate()).executeTakeFirst()
  if (row === undefined) throw noAccess('variable', variableId, 'variableID')
  return row
}

/** The value of an outcome is taken as it is, so it must be of the data type as it is. */
async function checkValues(tx: Queries, { dataTypeID, outcomes }: VariableInput): Promise<void> {
  const rules = await readDataTypeRules(tx)
  if (!rules.has(dataTypeID)) throw invalidRequest([{ field: 'dataTypeID', message: 'there is no such data type' }])
  const errors = outcomes.flatMap(({ value }, index) => {
    const problem = rules.problemOf(dataTypeID, value)
    return problem === undefined ? [] : [{ field: `outcomes.${index}.value`, message: problem }]
  })
  if (errors.length > 0) throw invalidRequest(errors)
}

const auditOf = (row: VariableRow, actor: string) => ({
  chain: auditChainOf(row.environment_id),
  actor,
  entity: 'variable',
  entityId: String(row.variable_id),
})
