import type { ColumnType } from 'kysely'

/** Written as JSON text, read as the value. */
export type Json<Value> = ColumnType<Value, string, string>
/** Exact: a decimal in text. */
export type Decimal = string
/** Set by the database's clock unless given. */
export type DefaultNow = ColumnType<Date, Date | undefined, Date>
/** Given by the store; a number in every store while it is exact. */
export type BigSerial = ColumnType<number, never, never>
