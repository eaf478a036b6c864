import { sql } from 'kysely'
import type { Queries } from './database.ts'

/** One change, as it is kept for ever. */
export type AuditEntry = {
  /** The customer's id; `installation` for what is no customer's. Each chain is linked for itself. */
  readonly chain: string
  /** Who did it: `admin`, `key:<key id>`, or `engine`. */
  readonly actor: string
  readonly entity: string
  readonly entityId: string
  /** `create`, `update`, `remove`, or the verb of what happened. */
  readonly action: string
  /** Without secrets. */
  readonly before?: unknown
  readonly after?: unknown
  readonly correlationId?: string
}

/**
 * Appends to the audit trail in the transaction that makes the change. The database links each entry to the
 * one before it in its chain (`audit_link` of migration 0005) and lets nobody change it, so transactions of one
 * chain follow one another from here on: append last.
 */
export async function appendAudit(queries: Queries, entries: readonly AuditEntry[]): Promise<void> {
  for (const entry of entries) {
    await queries
      .insertInto('audit')
      .values({
        chain: entry.chain,
        actor: entry.actor,
        entity: entry.entity,
        entity_id: entry.entityId,
        action: entry.action,
        before: entry.before === undefined ? null : JSON.stringify(entry.before),
        after: entry.after === undefined ? null : JSON.stringify(entry.after),
        correlation_id: entry.correlationId ?? null,
        // The trigger overwrites these.
        seq: 0,
        prev_hash: Buffer.alloc(0),
        hash: Buffer.alloc(0),
      })
      .execute()
  }
}

/**
 * The first entry of a chain that is not what it was written as, follows on none, or is missing at its end; undefined
 * when all is well.
 */
export async function findBrokenLink(queries: Queries, chain: string): Promise<number | undefined> {
  const { rows } = await sql<{ seq: number }>`
    select seq from (
      select seq, hash, prev_hash,
        lag(hash, 1, '\\x00'::bytea) over (order by seq) as expected_prev,
        row_number() over (order by seq) as expected_seq,
        sha256(prev_hash || convert_to(jsonb_build_array(chain, seq, extract(epoch from at), actor, entity, entity_id,
          action, before, after, correlation_id)::text, 'UTF8')) as expected_hash
      from audit where chain = ${chain}
    ) as links
    where hash <> expected_hash or prev_hash <> expected_prev or seq <> expected_seq
    union all select length from audit_chains where chain = ${chain} and not exists (
      select from audit where audit.chain = audit_chains.chain and audit.seq = audit_chains.length
        and audit.hash = audit_chains.hash)
    order by seq limit 1`.execute(queries)
  return rows[0]?.seq
}
