import type { Selectable } from 'kysely'
import { checkAudit } from './audit-check.ts'
import type { ProvisioningDatabase } from './database.ts'
import type { ProvisioningSchema } from './schema.ts'

/** One kept change, as it is read. */
export type AuditRecord = {
  readonly seq: number
  readonly at: number
  readonly actor: string
  readonly entity: string
  readonly entityId: string
  readonly action: string
  readonly before?: unknown
  readonly after?: unknown
  readonly correlationId?: string
  /** In hexadecimal. */
  readonly hash: string
}

export type AuditPage = {
  readonly entries: readonly AuditRecord[]
  /** The seq after which the next page begins; absent of the last one. */
  readonly cursor?: number
  /** Of all of the chain, not of the page alone. */
  readonly length: number
  /** The last entry that was checked. */
  readonly checkedTo: number
  /** The first of the entries checked that is not as it was written, or is missing; absent when all is well. */
  readonly brokenAt?: number
}

/** Entries that one request may have checked beyond its page: some seconds of the database's time. */
const CHECKED_MAX = 100_000

/** The audit trail, to be read and checked. */
export class AuditTrail {
  readonly #database: ProvisioningDatabase

  constructor(database: ProvisioningDatabase) {
    this.#database = database
  }

  /**
   * One page of a chain, oldest first; of a chain that has nothing, an empty one. What is checked is the page and its
   * link to the entry before it, or with `checksOn` up to 100,000 entries from there on.
   */
  async read({
    chain,
    after = 0,
    limit,
    checksOn = false,
  }: {
    readonly chain: string
    readonly after?: number | undefined
    readonly limit: number
    readonly checksOn?: boolean
  }): Promise<AuditPage> {
    return this.#database.query(async (db) => {
      const rows = await db
        .selectFrom('audit')
        .selectAll()
        .where('chain', '=', chain)
        .where('seq', '>', after)
        .orderBy('seq')
        .limit(limit + 1)
        .execute()
      const check = await checkAudit(db, { chain, after, count: checksOn ? CHECKED_MAX : limit })
      const entries = rows.slice(0, limit).map(toRecord)
      const last = entries.at(-1)
      return { entries, ...check, ...(rows.length > limit && last !== undefined && { cursor: last.seq }) }
    })
  }
}

const toRecord = (row: Selectable<ProvisioningSchema['audit']>): AuditRecord => ({
  seq: row.seq,
  at: row.at.getTime(),
  actor: row.actor,
  entity: row.entity,
  entityId: row.entity_id,
  action: row.action,
  ...(row.before !== null && { before: row.before }),
  ...(row.after !== null && { after: row.after }),
  ...(row.correlation_id !== null && { correlationId: row.correlation_id }),
  // Of PGlite it is a Uint8Array, whatever the schema says.
  hash: Buffer.from(row.hash).toString('hex'),
})
