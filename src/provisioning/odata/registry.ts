import type { RawBuilder } from 'kysely'

export type FieldType = 'text' | 'integer' | 'decimal' | 'time' | 'boolean'

/** A field that a search knows, by its public name. */
export type SearchField = {
  /** The SQL that is its value: a column, never anything that a caller wrote. */
  readonly value: RawBuilder<unknown>
  readonly type: FieldType
  readonly isFilterable: boolean
  readonly isSortable: boolean
  /** Whether it may be null; sorted last if so, in either direction. */
  readonly isNullable?: boolean
  /**
   * Whether an index begins with it, after what `from` confines the rows to: what callers are told to filter or sort
   * by when a search costs too much.
   */
  readonly isIndexed?: boolean
  /** Whether it is an expression rather than a column, of whose values PostgreSQL has no statistics. */
  readonly isComputed?: boolean
  /** Of a text too long for an index: the expression of its first characters that an index has instead. */
  readonly indexedPrefix?: { readonly value: RawBuilder<unknown>; readonly length: number }
}

/** Rows that belong to each row, for `any` and `all`. */
type SearchCollection = {
  /** `from … where …` of the rows that belong to the outer one. */
  readonly source: RawBuilder<unknown>
  readonly fields: Readonly<Record<string, SearchField>>
}

/** What can be searched: the fields of a table, and of what belongs to its rows. */
export type SearchRegistry = {
  readonly fields: Readonly<Record<string, SearchField>>
  readonly collections?: Readonly<Record<string, SearchCollection>>
}

/** The fields that a caller can choose from, for the error that one was named which is not among them. */
export const namesOf = (
  fields: Readonly<Record<string, SearchField>>,
  isFit: (field: SearchField) => boolean,
): readonly string[] => Object.entries(fields).flatMap(([name, field]) => (isFit(field) ? [name] : []))

/** A value in SQL, with what OData calls its type. */
export type Value = {
  readonly value: RawBuilder<unknown>
  readonly type: ValueType
  readonly isConstant?: boolean
  /** Whether it may be null. */
  readonly isNullable: boolean
  readonly indexedPrefix?: SearchField['indexedPrefix']
}
export type ValueType = 'text' | 'number' | 'time' | 'boolean' | 'null'
