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
