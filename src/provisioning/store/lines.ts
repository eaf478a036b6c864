import { sql } from 'kysely'
import { GatewayError } from '../../core/errors.ts'
import type { ProvisioningDatabase } from './database.ts'

/** What a customer has on a number, whichever API ordered it. */
export type LineState = {
  /** `scheduled`: ordered for later; `unknown`: something went wrong and nothing is in service. */
  readonly state: 'scheduled' | 'pending' | 'active' | 'unknown'
  /** Whether it is the messaging service; otherwise the number itself. */
  readonly isMessaging: boolean
  /** The order that began it, or is about to. */
  readonly orderId: string
  readonly externalId?: string
  /** In milliseconds since 1970. */
  readonly updatedAt: number
}

type Row = {
  readonly state: LineState['state']
  readonly is_messaging: boolean
  readonly order_id: string
  readonly external_id: string | null
  readonly updated_at: Date
}

/** Text enablement of single numbers, over the same services and orders as everything else. */
export class Lines {
  readonly #database: ProvisioningDatabase

  constructor(database: ProvisioningDatabase) {
    this.#database = database
  }

  /** The product that text enablement is; the first of them, if there are several. Rejects with `product_not_found`. */
  async productId(): Promise<string> {
    const row = await this.#database.query((db) =>
      db
        .selectFrom('products')
        .select('product_id')
        .where('kind', '=', 'messaging')
        .where('is_active', '=', true)
        .orderBy('product_id')
        .executeTakeFirst(),
    )
    if (row === undefined) throw new GatewayError('product_not_found', { detail: 'There is no messaging product.' })
    return row.product_id
  }

  /**
   * What the customer has on the number: the messaging service before the number itself, what is in service before
   * what is ordered, and what failed only when nothing has come of the number since.
   */
  async find(customerId: string, number: string): Promise<LineState | undefined> {
    const { rows } = await this.#database.query((db) =>
      sql<Row>`
        select * from (
          select 'active' as state, kind = 'messaging' as is_messaging, services.order_id, services.external_id,
            services.updated_at, 0 as rank
          from services join products using (product_id)
          where e164 = ${number} and customer_id = ${customerId} and services.state <> 'ended'
          union all
          select case
              when items.state in ('failed', 'held') then 'unknown'
              when items.state = 'acknowledged' and orders.requested_date > now() then 'scheduled'
              else 'pending' end,
            kind = 'messaging', items.order_id, orders.external_id, items.updated_at,
            case when items.state = 'failed' then 2 else 1 end
          from order_items items join orders using (order_id)
            join products on products.product_id = items.product_id
          where e164 = ${number} and items.customer_id = ${customerId}
            and items.action in ('any', 'port', 'reserve', 'range', 'add')
            and items.state not in ('completed', 'cancelled', 'compensating')
            and (items.state <> 'failed' or not exists (
              select from order_items later
              where later.e164 = items.e164 and later.product_id = items.product_id
                and later.customer_id = items.customer_id and later.item_id > items.item_id))
        ) as lines
        order by rank, is_messaging desc, updated_at desc limit 1`.execute(db),
    )
    const [row] = rows
    return row === undefined ? undefined : toLine(row)
  }
}

const toLine = (row: Row): LineState => ({
  state: row.state,
  isMessaging: row.is_messaging,
  orderId: row.order_id,
  ...(row.external_id !== null && { externalId: row.external_id }),
  updatedAt: row.updated_at.getTime(),
})
