import { sql, type RawBuilder } from 'kysely'
import type { FieldType, SearchField } from '../../odata/registry.ts'

const field = (value: RawBuilder<unknown>, type: FieldType): SearchField => ({
  value,
  type,
  isFilterable: true,
  isSortable: true,
})

/** Fields by which rows can be filtered and sorted. */
export const textColumn = (value: RawBuilder<unknown>): SearchField => field(value, 'text')
export const integerColumn = (value: RawBuilder<unknown>): SearchField => field(value, 'integer')
export const booleanColumn = (value: RawBuilder<unknown>): SearchField => field(value, 'boolean')
/** What rows are found again by, and are in the order of, where the document has no such field: no caller can name it. */
export const hiddenColumn = (value: RawBuilder<unknown>): SearchField => ({
  ...field(value, 'integer'),
  isFilterable: false,
  isSortable: false,
})
/** As exact as times are shown, so that a time which was read finds its row. */
export const timeColumn = (value: RawBuilder<unknown>): SearchField => ({
  ...field(sql`date_trunc('milliseconds', ${value})`, 'time'),
  isComputed: true,
})
/** The same of a column that has no more than milliseconds. */
export const millisecondColumn = (value: RawBuilder<unknown>): SearchField => field(value, 'time')
/** The field, when its value may be null. */
export const nullable = (column: SearchField): SearchField => ({ ...column, isNullable: true })
/** The field, when an index begins with it: what callers are told to search by. */
export const indexed = (column: SearchField): SearchField => ({ ...column, isIndexed: true })

/** Who made and who last changed what a table (by its alias) has. */
export const authorshipColumns = (alias: string): Readonly<Record<string, SearchField>> => ({
  createDate: timeColumn(sql.ref(`${alias}.created_at`)),
  createUser: textColumn(sql.ref(`${alias}.created_by`)),
  lastModifiedDate: timeColumn(sql.ref(`${alias}.modified_at`)),
  lastModifiedUser: textColumn(sql.ref(`${alias}.modified_by`)),
})
