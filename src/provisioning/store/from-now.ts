import { sql, type RawBuilder } from 'kysely'

/** A moment `ms` from now, by the database's clock, which all instances share. */
export const fromNow = (ms: number): RawBuilder<Date> =>
  sql<Date>`now() + ${ms}::double precision * interval '1 millisecond'`
