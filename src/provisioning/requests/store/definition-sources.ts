import { sql, type RawBuilder, type Selectable } from 'kysely'
import type { SearchSource } from '../../odata/search.ts'
import type { Queries } from '../../store/database.ts'
import type { RequestTables } from './schema.ts'
import { authorshipColumns, booleanColumn, hiddenColumn, integerColumn, nullable, textColumn } from './search-fields.ts'

export type DefinitionRow = Selectable<RequestTables['object_definitions']>

/** A data definition as searches find it. */
export type FoundDataDefinition = {
  readonly data_definition_id: number
  readonly name: string
  readonly data_type_id: number
  readonly default_value: string | null
  readonly description: string | null
  readonly is_required: boolean
  readonly is_visible: boolean
  readonly list_id: number | null
  readonly variable_id: number | null
  readonly sequence_number: number
  /** Of its definition. */
  readonly code: string
  readonly transition_options: readonly {
    readonly transition_id: number
    readonly transition: string
    readonly status_id: number
    readonly status: string
    readonly is_required: boolean
    readonly is_visible: boolean
  }[]
}

/** Which object's data is asked for, and for which transition of it. */
export type AskedObject = {
  readonly code: string
  readonly internalID: string
  readonly transitionID: number
  /** Also what is not shown to users. */
  readonly includeNonVisible: boolean
}

/** A data definition as it is for a transition, with what an object has for it, else its default value. */
export type DataDefinitionWithItem = {
  readonly code: string
  readonly internal_id: string
  readonly data_definition_id: number
  readonly name: string
  readonly data_type_id: number
  readonly is_required: boolean
  readonly is_visible: boolean
  readonly list_id: number | null
  readonly variable_id: number | null
  readonly sequence_number: number
  readonly transition_id: number
  readonly transition: string
  readonly status_id: number
  readonly status: string
  readonly value: string | null
}

/** Those of an environment. */
export const definitionsOf = (environmentId: number): SearchSource => ({
  from: sql`from object_definitions p where p.environment_id = ${environmentId}`,
  columns: sql`p.*`,
  key: 'provisionableObjectDefinitionID',
  fields: {
    code: textColumn(sql`p.code`),
    ...authorshipColumns('p'),
    description: nullable(textColumn(sql`p.description`)),
    name: textColumn(sql`p.name`),
    provisionableObjectDefinitionID: integerColumn(sql`p.definition_id`),
  },
})

const OPTIONS = sql`transition_options o join object_transitions t using (transition_id)
  join object_statuses s using (status_id) where o.data_definition_id = d.data_definition_id`

/** Data definitions; `wanted` says of which definitions (`p`). */
export const dataDefinitionsWhere = (wanted: RawBuilder<unknown>): SearchSource => ({
  from: sql`from data_definitions d join object_definitions p using (definition_id) where ${wanted}`,
  columns: sql`d.*, p.code, coalesce((select json_agg(json_build_object('transition_id', o.transition_id,
    'transition', t.name, 'status_id', t.status_id, 'status', s.name, 'is_required', o.is_required,
    'is_visible', o.is_visible) order by o.transition_id) from ${OPTIONS}), '[]') as transition_options`,
  key: 'dataDefinitionID',
  fields: {
    dataDefinitionID: integerColumn(sql`d.data_definition_id`),
    dataTypeID: integerColumn(sql`d.data_type_id`),
    defaultValue: nullable(textColumn(sql`d.default_value`)),
    description: nullable(textColumn(sql`d.description`)),
    isRequired: booleanColumn(sql`d.is_required`),
    isVisible: booleanColumn(sql`d.is_visible`),
    listID: nullable(integerColumn(sql`d.list_id`)),
    name: textColumn(sql`d.name`),
    sequenceNumber: integerColumn(sql`d.sequence_number`),
    variableID: nullable(integerColumn(sql`d.variable_id`)),
  },
  collections: {
    transitionOptions: {
      source: sql`from ${OPTIONS}`,
      fields: {
        isRequired: booleanColumn(sql`o.is_required`),
        isVisible: booleanColumn(sql`o.is_visible`),
        provisionedObjectStatus: textColumn(sql`s.name`),
        provisionedObjectStatusID: integerColumn(sql`t.status_id`),
        provisionedObjectTransition: textColumn(sql`t.name`),
        provisionedObjectTransitionID: integerColumn(sql`o.transition_id`),
      },
    },
  },
})

/** What was asked for first comes first. */
const POSITION = '#position'

/** The data definitions of objects, each for a transition, with what the objects have. */
export function dataDefinitionsWithItems(environmentId: number, asked: readonly AskedObject[]): SearchSource {
  const rows = JSON.stringify(asked.map((object, position) => ({ ...object, position })))
  const isRequired = sql`coalesce(o.is_required, d.is_required)`
  const isVisible = sql`coalesce(o.is_visible, d.is_visible)`
  const value = sql`coalesce(i.value, d.default_value)`
  return {
    from: sql`from jsonb_to_recordset(${rows}::jsonb) as asked("position" int8, code text, "internalID" text,
        "transitionID" int, "includeNonVisible" boolean)
      join object_definitions p on p.environment_id = ${environmentId} and p.code = asked.code
      join data_definitions d on d.definition_id = p.definition_id
      join object_transitions t on t.transition_id = asked."transitionID"
      join object_statuses s on s.status_id = t.status_id
      left join transition_options o
        on o.data_definition_id = d.data_definition_id and o.transition_id = t.transition_id
      left join provisioned_object_items i on i.environment_id = ${environmentId} and i.code = asked.code
        and i.internal_id = asked."internalID" and i.key_name = d.name
      where (asked."includeNonVisible" or ${isVisible})`,
    columns: sql`asked.code, asked."internalID" as internal_id, d.data_definition_id, d.name, d.data_type_id,
      ${isRequired} as is_required, ${isVisible} as is_visible, d.list_id, d.variable_id, d.sequence_number,
      t.transition_id, t.name as transition, s.status_id, s.name as status, ${value} as value`,
    key: POSITION,
    fields: {
      [POSITION]: hiddenColumn(sql`(asked."position" * 2147483648 + d.data_definition_id)`),
      code: textColumn(sql`asked.code`),
      dataDefinitionID: integerColumn(sql`d.data_definition_id`),
      dataTypeID: integerColumn(sql`d.data_type_id`),
      internalID: textColumn(sql`asked."internalID"`),
      isRequired: booleanColumn(isRequired),
      isVisible: booleanColumn(isVisible),
      listID: nullable(integerColumn(sql`d.list_id`)),
      name: textColumn(sql`d.name`),
      provisionedObjectStatus: textColumn(sql`s.name`),
      provisionedObjectStatusID: integerColumn(sql`s.status_id`),
      provisionedObjectTransition: textColumn(sql`t.name`),
      provisionedObjectTransitionID: integerColumn(sql`t.transition_id`),
      sequenceNumber: integerColumn(sql`d.sequence_number`),
      value: nullable(textColumn(value)),
      variableID: nullable(integerColumn(sql`d.variable_id`)),
    },
  }
}

/** All of a definition, in their order. */
export async function readFoundDataDefinitions(
  queries: Queries,
  definitionId: number,
): Promise<readonly FoundDataDefinition[]> {
  const { columns, from } = dataDefinitionsWhere(sql`p.definition_id = ${definitionId}`)
  const { rows } = await sql<FoundDataDefinition>`select ${columns} ${from}
    order by d.sequence_number, d.data_definition_id`.execute(queries)
  return rows
}
