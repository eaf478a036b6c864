import type { Selectable } from 'kysely'
import { findBrokenLink } from './audit.ts'
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
  /** The first entry that is not as it was written, or is missing; absent when all is well. */
  readonly brokenAt?: number
}

/** The audit trail, to be read and checked. */
export class AuditTrail {
  readonly #database: ProvisioningDatabase

  constructor(database: ProvisioningDatabase) {
    this.#database = database
  }

  /** One page of a chain, oldest first, from one state of the store; of a chain that has nothing, an empty one. */
  read({
    chain,
    after = 0,
    limit,
  }: {
    readonly chain: string
    readonly after?: number | undefined
    readonly limit: number
  }): Promise<AuditPage> {
    return this.#database.transaction(async (tx) => {
      // The row keeps writers of the chain out, so that page, length and check are of one state.
      const end = await tx
        .selectFrom('audit_chains')
        .select('length')
        .where('chain', '=', chain)
        .forShare()
        .executeTakeFirst()
      const rows = await tx
        .selectFrom('audit')
        .selectAll()
        .where('chain', '=', chain)
        .where('seq', '>', after)
        .orderBy('seq')
        .limit(limit + 1)
        .execute()
      const brokenAt = await findBrokenLink(tx, chain)
      const entries = rows.slice(0, limit).map(toRecord)
      const last = entries.at(-1)
      return {
        entries,
        length: end?.length ?? 0,
        ...(rows.length > limit && last !== undefined && { cursor: last.seq }),
        ...(brokenAt !== undefined && { brokenAt }),
      }
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
  hash: row.hash.toString('hex'),
})
