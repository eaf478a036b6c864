import { sql } from 'kysely'
import type { Queries } from './database.ts'
import { fromNow } from './from-now.ts'

type Lease = { readonly name: string; readonly holder: string }

/** Takes what is free, or has run out by the database's clock, and renews one's own. False: somebody else has it. */
export async function holdLease(queries: Queries, { name, holder, leaseMs }: Lease & { readonly leaseMs: number }) {
  const { rows } = await sql<{ readonly holder: string }>`
    insert into provisioning_leases as lease (name, holder, until)
    values (${name}, ${holder}, ${fromNow(leaseMs)})
    on conflict (name) do update set holder = excluded.holder, until = excluded.until
    where lease.holder = excluded.holder or lease.until <= now()
    returning holder`.execute(queries)
  return rows.length > 0
}

/** Lets somebody else have it at once. */
export async function releaseLease(queries: Queries, { name, holder }: Lease): Promise<void> {
  await queries.deleteFrom('provisioning_leases').where('name', '=', name).where('holder', '=', holder).execute()
}
