import { sql } from 'kysely'
import type { Queries } from './database.ts'

/** What a check of a chain found. */
export type AuditCheck = {
  /** Of the whole chain. */
  readonly length: number
  /** The last entry that was looked at; equal to `length` when the end of the chain was reached. */
  readonly checkedTo: number
  /** The first entry looked at that is not as it was written, follows on another than the one before it, or is missing. */
  readonly brokenAt?: number
}

/**
 * Checks up to `count` entries of a chain after the entry `after`: each for itself, its link to the one before it,
 * that of the first one included, and the end of the chain, if it is among them. One statement, so of one state of the
 * store; nobody has to wait for it. Whoever has checked a chain piece by piece from 0 on has checked all of it.
 */
export async function checkAudit(
  queries: Queries,
  { chain, after = 0, count }: { readonly chain: string; readonly after?: number; readonly count: number },
): Promise<AuditCheck> {
  const { rows } = await sql<{ length: number | null; checked_to: number | null; broken_at: number | null }>`
    with links as materialized (
      select seq, hash, prev_hash, lag(hash) over (order by seq) as hash_before, row_number() over (order by seq) as nth,
        sha256(prev_hash || convert_to(jsonb_build_array(chain, seq, extract(epoch from at), actor, entity, entity_id,
          action, before, after, correlation_id)::text, 'UTF8')) as expected_hash
      from (select * from audit where chain = ${chain} and seq > ${after}::bigint order by seq limit ${count}::integer)
        as looked_at),
    ending as materialized (select length, hash from audit_chains where chain = ${chain}),
    before as materialized (
      select case when ${after}::bigint = 0 then '\\x00'::bytea
        else (select hash from audit where chain = ${chain} and seq = ${after}::bigint) end as hash),
    broken as (
      select seq from links
      where hash <> expected_hash or seq <> ${after}::bigint + nth
        or prev_hash is distinct from coalesce(hash_before, (select hash from before))
        or seq > coalesce((select length from ending), 0)
      union all
      select ${after}::bigint + (select count(*) from links) + 1 from ending
      where (select count(*) from links) < least(${count}::integer, length - ${after}::bigint)
      union all
      select length from ending, links where links.seq = ending.length and links.hash <> ending.hash)
    select (select length from ending)::double precision as length, (select max(seq) from links)::double precision as checked_to,
      (select min(seq) from broken)::double precision as broken_at`.execute(queries)
  const [row] = rows
  return {
    length: row?.length ?? 0,
    checkedTo: row?.checked_to ?? after,
    ...(typeof row?.broken_at === 'number' && { brokenAt: row.broken_at }),
  }
}
