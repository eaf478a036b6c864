import type { Transaction } from 'kysely'
import { GatewayError } from '../../core/errors.ts'
import type { ProvisioningSchema } from './schema.ts'

/**
 * Keeps a customer from being removed until the transaction ends; others may use it at the same time, unless
 * `isAlone`, for what must not change twice at once. Rejects with `customer_not_found`.
 */
export async function lockCustomer(
  tx: Transaction<ProvisioningSchema>,
  customerId: string,
  { isAlone = false } = {},
): Promise<void> {
  const query = tx
    .selectFrom('customers')
    .select('customer_id')
    .where('customer_id', '=', customerId)
    .where('removed_at', 'is', null)
  const row = await (isAlone ? query.forNoKeyUpdate() : query.forShare()).executeTakeFirst()
  if (row === undefined) throw new GatewayError('customer_not_found')
}
