import { sql } from 'kysely'
import type { Queries } from '../../store/database.ts'
import type { DataDefinitionInput } from '../model/definition.ts'
import type { ElementChanges, Kept } from '../model/element-changes.ts'

type OptionColumns = { readonly transition_id: number; readonly is_required: boolean; readonly is_visible: boolean }

/** A data definition without its id, so that two can be compared. */
export type DataDefinitionColumns = {
  readonly name: string
  readonly data_type_id: number
  readonly default_value: string | null
  readonly description: string | null
  readonly is_required: boolean
  readonly is_visible: boolean
  readonly list_id: number | null
  readonly variable_id: number | null
  readonly sequence_number: number
  /** By transition. */
  readonly options: readonly OptionColumns[]
}

/** As it is kept; `index`: where it stands in its list. */
export const toColumns = (input: DataDefinitionInput, index: number): DataDefinitionColumns => ({
  name: input.name,
  data_type_id: input.dataTypeID,
  default_value: input.defaultValue ?? null,
  description: input.description ?? null,
  is_required: input.isRequired,
  is_visible: input.isVisible,
  list_id: input.listID ?? null,
  variable_id: input.variableID ?? null,
  sequence_number: index,
  options: input.transitionOptions
    .map((option) => ({
      transition_id: option.provisionedObjectTransitionID,
      is_required: option.isRequired,
      is_visible: option.isVisible,
    }))
    .toSorted((left, right) => left.transition_id - right.transition_id),
})

/** As it would be sent: what a patch is applied to. */
export const toInput = (columns: DataDefinitionColumns): DataDefinitionInput => ({
  name: columns.name,
  dataTypeID: columns.data_type_id,
  ...(columns.default_value !== null && { defaultValue: columns.default_value }),
  ...(columns.description !== null && { description: columns.description }),
  isRequired: columns.is_required,
  isVisible: columns.is_visible,
  ...(columns.list_id !== null && { listID: columns.list_id }),
  transitionOptions: columns.options.map((option) => ({
    provisionedObjectTransitionID: option.transition_id,
    isRequired: option.is_required,
    isVisible: option.is_visible,
  })),
  ...(columns.variable_id !== null && { variableID: columns.variable_id }),
})

export type StoredDataDefinition = Kept<DataDefinitionColumns> & { readonly isBuiltIn: boolean }

/** Those of a definition, in their order. */
export async function readDataDefinitions(
  queries: Queries,
  definitionId: number,
): Promise<readonly StoredDataDefinition[]> {
  const { rows } = await sql<DataDefinitionColumns & { readonly id: number; readonly is_built_in: boolean }>`
    select d.data_definition_id as id, d.is_built_in, d.name, d.data_type_id, d.default_value, d.description,
      d.is_required, d.is_visible, d.list_id, d.variable_id, d.sequence_number, coalesce((
        select json_agg(json_build_object('transition_id', o.transition_id, 'is_required', o.is_required,
          'is_visible', o.is_visible) order by o.transition_id)
        from transition_options o where o.data_definition_id = d.data_definition_id), '[]') as options
    from data_definitions d where d.definition_id = ${definitionId}
    order by d.sequence_number, d.data_definition_id`.execute(queries)
  return rows.map(({ id, is_built_in, ...element }) => ({ id, isBuiltIn: is_built_in, element }))
}

const COLUMNS = sql`name text, data_type_id int, default_value text, description text, is_required boolean,
  is_visible boolean, list_id int, variable_id int, sequence_number int, options jsonb`

/** Writes what became of the data definitions of a definition, each kind in one statement. */
export async function writeDataDefinitions(
  tx: Queries,
  definitionId: number,
  { removed, added, changed }: ElementChanges<DataDefinitionColumns>,
): Promise<void> {
  const touched = [...removed, ...changed].map(({ id }) => id)
  if (touched.length > 0) await tx.deleteFrom('transition_options').where('data_definition_id', 'in', touched).execute()
  if (removed.length > 0) {
    const ids = removed.map(({ id }) => id)
    await tx.deleteFrom('data_definitions').where('data_definition_id', 'in', ids).execute()
  }
  if (changed.length > 0) {
    await sql`update data_definitions d set name = w.name, data_type_id = w.data_type_id,
        default_value = w.default_value, description = w.description, is_required = w.is_required,
        is_visible = w.is_visible, list_id = w.list_id, variable_id = w.variable_id,
        sequence_number = w.sequence_number
      from jsonb_to_recordset(${toJson(changed.map(({ id, element }) => ({ id, ...element })))}::jsonb)
        as w(id int, ${COLUMNS})
      where d.data_definition_id = w.id`.execute(tx)
  }
  if (added.length > 0) {
    await sql`insert into data_definitions (definition_id, name, data_type_id, default_value, description,
        is_required, is_visible, list_id, variable_id, sequence_number)
      select ${definitionId}::int, name, data_type_id, default_value, description, is_required, is_visible, list_id,
        variable_id, sequence_number
      from jsonb_to_recordset(${toJson(added)}::jsonb) as w(${COLUMNS}) order by sequence_number`.execute(tx)
  }
  const written = [...changed.map(({ element }) => element), ...added].filter(({ options }) => options.length > 0)
  if (written.length === 0) return
  // By name, which is unique in a definition: those that were added have their ids only from here on.
  await sql`insert into transition_options (data_definition_id, transition_id, is_required, is_visible)
    select d.data_definition_id, o.transition_id, o.is_required, o.is_visible
    from jsonb_to_recordset(${toJson(written)}::jsonb) as w(${COLUMNS})
    join data_definitions d on d.definition_id = ${definitionId} and d.name = w.name
    cross join jsonb_to_recordset(w.options) as o(transition_id int, is_required boolean, is_visible boolean)`.execute(
    tx,
  )
}

const toJson = (rows: readonly object[]): string => JSON.stringify(rows)
