import { sql } from 'kysely'
import type { ODataQuery } from '../../odata/query.ts'
import type { SearchPage, SearchSource } from '../../odata/search.ts'
import { runSearch, type SearchParts } from './run-search.ts'
import { integerColumn, textColumn } from './search-fields.ts'

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

const TRANSITIONS: SearchSource = {
  from: sql`from object_transitions t join object_statuses s using (status_id) where true`,
  columns: sql`t.transition_id, t.name, t.status_id, s.name as status_name`,
  key: 'provisionedObjectTransitionID',
  fields: {
    provisionedObjectTransitionID: integerColumn(sql`t.transition_id`),
    // As answers spell it, and the document.
    provisionedObjectTranstionID: integerColumn(sql`t.transition_id`),
    provisionedObjectStatusID: integerColumn(sql`t.status_id`),
    name: textColumn(sql`t.name`),
    provisionedObjectStatus: textColumn(sql`s.name`),
  },
}

const DATA_TYPES: SearchSource = {
  from: sql`from data_types d where true`,
  columns: sql`d.*`,
  key: 'dataTypeID',
  fields: {
    dataTypeID: integerColumn(sql`d.data_type_id`),
    name: textColumn(sql`d.name`),
    description: textColumn(sql`d.description`),
  },
}

/** What is the same in every environment: transitions and data types. */
export class AuxiliaryData {
  readonly #parts: SearchParts

  constructor(parts: SearchParts) {
    this.#parts = parts
  }

  transitions(query: ODataQuery): Promise<SearchPage<Transition>> {
    return runSearch(this.#parts, { source: TRANSITIONS, query })
  }

  dataTypes(query: ODataQuery): Promise<SearchPage<DataType>> {
    return runSearch(this.#parts, { source: DATA_TYPES, query })
  }
}
