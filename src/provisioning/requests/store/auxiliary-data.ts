import { sql } from 'kysely'
import type { ODataQuery } from '../../odata/query.ts'
import { searchRows, type SearchPage, type SearchSource } from '../../odata/search.ts'
import type { ProvisioningDatabase } from '../../store/database.ts'

export type Transition = {
  readonly name: string
  readonly status_name: string
  readonly status_id: number
  readonly transition_id: number
}
export type DataType = {
  readonly data_type_id: number
  readonly name: string
  readonly description: string
  readonly validation: string
  readonly validation_regex: string
  readonly validation_regex_strict: string
}

/** What a search needs of the installation. */
export type SearchParts = {
  readonly database: ProvisioningDatabase
  /** What skip tokens are signed with. */
  readonly secret: Buffer
}

const TRANSITIONS: SearchSource = {
  from: sql`from object_transitions t join object_statuses s using (status_id) where true`,
  columns: sql`t.transition_id, t.name, t.status_id, s.name as status_name`,
  key: 'provisionedObjectTransitionID',
  fields: {
    provisionedObjectTransitionID: {
      value: sql`t.transition_id`,
      type: 'integer',
      isFilterable: true,
      isSortable: true,
    },
    provisionedObjectStatusID: { value: sql`t.status_id`, type: 'integer', isFilterable: true, isSortable: true },
    name: { value: sql`t.name`, type: 'text', isFilterable: true, isSortable: true },
    provisionedObjectStatus: { value: sql`s.name`, type: 'text', isFilterable: true, isSortable: true },
  },
}

const DATA_TYPES: SearchSource = {
  from: sql`from data_types d where true`,
  columns: sql`d.*`,
  key: 'dataTypeID',
  fields: {
    dataTypeID: { value: sql`d.data_type_id`, type: 'integer', isFilterable: true, isSortable: true },
    name: { value: sql`d.name`, type: 'text', isFilterable: true, isSortable: true },
    description: { value: sql`d.description`, type: 'text', isFilterable: true, isSortable: true },
  },
}

/** What is the same in every environment: transitions and data types. */
export class AuxiliaryData {
  readonly #parts: SearchParts

  constructor(parts: SearchParts) {
    this.#parts = parts
  }

  transitions(query: ODataQuery): Promise<SearchPage<Transition>> {
    const { database, secret } = this.#parts
    return database.query((db) => searchRows<Transition>(db, { source: TRANSITIONS, query, secret }))
  }

  dataTypes(query: ODataQuery): Promise<SearchPage<DataType>> {
    const { database, secret } = this.#parts
    return database.query((db) => searchRows<DataType>(db, { source: DATA_TYPES, query, secret }))
  }
}
