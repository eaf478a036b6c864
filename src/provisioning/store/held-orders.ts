import { sql } from 'kysely'
import type { ProvisioningDatabase } from './database.ts'

/** A request to a provider that waits for an operator; see `Ordering.resume`. */
export type HeldFulfilment = {
  readonly fulfilmentId: string
  readonly orderId: string
  readonly customerId: string
  readonly productId: string
  readonly provider: string
  readonly action: string
  readonly isCompensation: boolean
  readonly providerRef?: string
  readonly attempts: number
  readonly reason?: string
  /** In milliseconds since 1970. */
  readonly since: number
  readonly numbers: readonly string[]
}

type Row = {
  readonly fulfilment_id: string
  readonly order_id: string
  readonly customer_id: string
  readonly product_id: string
  readonly provider: string
  readonly action: string
  readonly is_compensation: boolean
  readonly provider_ref: string | null
  readonly attempts: number
  readonly last_error: string | null
  readonly updated_at: Date
  readonly numbers: readonly string[]
}

/** What no retry will bring further. */
export class HeldOrders {
  readonly #database: ProvisioningDatabase

  constructor(database: ProvisioningDatabase) {
    this.#database = database
  }

  /** One page by fulfilment id, so those that began first. */
  async list({ after = '', limit }: { readonly after?: string | undefined; readonly limit: number }): Promise<{
    readonly held: readonly HeldFulfilment[]
    readonly cursor?: string
  }> {
    const { rows } = await this.#database.query((db) =>
      sql<Row>`
        select fulfilment_id, order_id, customer_id, product_id, provider, fulfilments.action, is_compensation,
          provider_ref, attempts, last_error, fulfilments.updated_at, (
            select coalesce(jsonb_agg(e164 order by e164), '[]') from order_items
            where order_items.fulfilment_id = fulfilments.fulfilment_id) as numbers
        from fulfilments join orders using (order_id)
        where fulfilments.state = 'stuck' and fulfilment_id > ${after}
        order by fulfilment_id limit ${limit + 1}::integer`.execute(db),
    )
    const held = rows.slice(0, limit).map(toHeld)
    const last = held.at(-1)
    return { held, ...(rows.length > limit && last !== undefined && { cursor: last.fulfilmentId }) }
  }
}

const toHeld = (row: Row): HeldFulfilment => ({
  fulfilmentId: row.fulfilment_id,
  orderId: row.order_id,
  customerId: row.customer_id,
  productId: row.product_id,
  provider: row.provider,
  action: row.action,
  isCompensation: row.is_compensation,
  ...(row.provider_ref !== null && { providerRef: row.provider_ref }),
  attempts: row.attempts,
  ...(row.last_error !== null && { reason: row.last_error }),
  since: row.updated_at.getTime(),
  numbers: row.numbers,
})
