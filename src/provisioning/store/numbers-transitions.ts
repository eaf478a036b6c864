import { sql } from 'kysely'
import { GatewayError } from '../../core/errors.ts'
import type { Queries } from './database.ts'

const AGING_DAYS = 90

/**
 * Takes numbers from the customer who had them by an order or a service. One whose porting to us ends is another
 * carrier's, and is `removed` whatever was asked for. Held, free and removed ones are left as they are.
 */
export async function releaseNumbers(
  tx: Queries,
  release: {
    readonly numbers: readonly string[]
    readonly to: 'available' | 'aging' | 'removed'
    /** For how long nobody gets a number that is `aging`; 90 days unless given. */
    readonly agingDays?: number
  },
): Promise<void> {
  const { to, agingDays = AGING_DAYS } = release
  await sql`
    with locked as materialized (
      select e164 from numbers where e164 = any(${[...release.numbers]}::text[])
        and state in ('reserved', 'in_service', 'released', 'port_in', 'port_out') and reservation_id is null
      order by e164 for update)
    update numbers set state = case when state in ('port_in', 'port_out') then 'removed' else ${to}::text end,
      customer_id = null, order_id = null,
      aging_until = case when ${to}::text = 'aging' and state not in ('port_in', 'port_out')
        then now() + make_interval(days => ${agingDays}::integer) end,
      updated_at = now(), version = version + 1
    where e164 = any(array(select e164 from locked))`.execute(tx)
}

/**
 * What an order has `reserved`, or ported in, is in service from now on. Throws `internal` unless all of the
 * numbers are the customer's and were on their way.
 */
export async function putInService(
  tx: Queries,
  { numbers, customerId }: { readonly numbers: readonly string[]; readonly customerId: string },
): Promise<void> {
  const { rows } = await sql`
    with locked as materialized (
      select e164 from numbers where e164 = any(${[...numbers]}::text[]) and customer_id = ${customerId}
        and (state = 'port_in' or state = 'reserved' and order_id is not null)
      order by e164 for update)
    update numbers set state = 'in_service', order_id = null, updated_at = now(), version = version + 1
    where e164 = any(array(select e164 from locked))
    returning e164`.execute(tx)
  const asked = new Set(numbers).size
  if (rows.length === asked) return
  const cause = new Error(`${asked - rows.length} of ${asked} numbers were not on their way to the customer`)
  throw new GatewayError('internal', { cause })
}
