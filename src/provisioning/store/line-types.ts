import { sql } from 'kysely'
import * as v from 'valibot'
import { LINE_TYPES, type LineType } from '../model/eligibility.ts'
import type { ProvisioningDatabase } from './database.ts'

const BATCH = 1_000

/** What a source knows of all numbers that begin alike; one number is a prefix, too. */
const LineTypeEntrySchema = v.strictObject({
  prefix: v.pipe(v.string(), v.regex(/^\+[1-9][0-9]{0,14}$/, 'must be + and the digits that numbers begin with')),
  lineType: v.picklist(LINE_TYPES),
  carrier: v.optional(v.pipe(v.string(), v.maxLength(200))),
  /** Whose knowledge it is. */
  source: v.pipe(v.string(), v.minLength(1), v.maxLength(200)),
  /** Of what time it is, in milliseconds since 1970. */
  asOf: v.pipe(v.number(), v.integer(), v.minValue(0)),
})
export type LineTypeEntry = v.InferOutput<typeof LineTypeEntrySchema>

/** What is known of numbers' line types from outside, where the numbering plan does not tell. */
export class LineTypes {
  readonly #database: ProvisioningDatabase

  constructor(database: ProvisioningDatabase) {
    this.#database = database
  }

  /** The entry of the longest prefix of the number. */
  async find(e164: string): Promise<LineTypeEntry | undefined> {
    const prefixes = Array.from({ length: e164.length - 1 }, (_, at) => e164.slice(0, at + 2))
    const row = await this.#database.query((db) =>
      db
        .selectFrom('line_types')
        .selectAll()
        .where(sql<boolean>`prefix = any(${prefixes}::text[])`)
        .orderBy(sql`length(prefix)`, 'desc')
        .limit(1)
        .executeTakeFirst(),
    )
    if (row === undefined) return undefined
    return {
      prefix: row.prefix,
      lineType: v.is(v.picklist(LINE_TYPES), row.line_type) ? row.line_type : 'unknown',
      ...(row.carrier !== null && { carrier: row.carrier }),
      source: row.source,
      asOf: row.as_of.getTime(),
    }
  }

  /**
   * Takes entries over, a thousand in a statement, so that what was read before a failure stays. Of two for the
   * same prefix the later (`asOf`) is kept, whichever came first. Resolves with how many were written.
   */
  async import(entries: Iterable<LineTypeEntry> | AsyncIterable<LineTypeEntry>): Promise<number> {
    let written = 0
    let batch = new Map<string, LineTypeEntry>()
    for await (const entry of entries) {
      const known = batch.get(entry.prefix)
      if (known === undefined || known.asOf <= entry.asOf) batch.set(entry.prefix, entry)
      if (batch.size < BATCH) continue
      written += await this.#write([...batch.values()])
      batch = new Map()
    }
    return written + (await this.#write([...batch.values()]))
  }

  async #write(entries: readonly LineTypeEntry[]): Promise<number> {
    if (entries.length === 0) return 0
    const rows: readonly LineTypeRow[] = entries.map(({ prefix, lineType, carrier = null, source, asOf }) => ({
      prefix,
      line_type: lineType,
      carrier,
      source,
      as_of: new Date(asOf),
    }))
    const written = await this.#database.query((db) =>
      db
        .insertInto('line_types')
        // In order, so that two imports at once do not wait for each other in a circle.
        .values(rows.toSorted((a, b) => (a.prefix < b.prefix ? -1 : 1)))
        .onConflict((conflict) =>
          conflict
            .column('prefix')
            .doUpdateSet({
              line_type: (eb) => eb.ref('excluded.line_type'),
              carrier: (eb) => eb.ref('excluded.carrier'),
              source: (eb) => eb.ref('excluded.source'),
              as_of: (eb) => eb.ref('excluded.as_of'),
            })
            .whereRef('line_types.as_of', '<=', 'excluded.as_of'),
        )
        .returning('prefix')
        .execute(),
    )
    return written.length
  }
}

type LineTypeRow = {
  readonly prefix: string
  readonly line_type: LineType
  readonly carrier: string | null
  readonly source: string
  readonly as_of: Date
}
