import { sql } from 'kysely'
import { GatewayError } from '../../core/errors.ts'
import type { OrderAction } from '../../core/provisioning-event.ts'
import type { ProvisioningDatabase } from './database.ts'

/** An order about a line that is not final; a number has at most one of a product. */
export type OpenLineOrder = {
  readonly orderId: string
  readonly action: OrderAction
  /** Whether nothing has been done yet, as it is for later. */
  readonly isScheduled: boolean
  /** For when it is, in milliseconds since 1970; absent when it was for at once. */
  readonly requestedDate?: number
  /** The caller's own id of the line, as it is to be. */
  readonly externalId?: string
  /** How many numbers it is about. */
  readonly quantity: number
}

/** The messaging service that a customer has on a number, or tried to have, whichever API ordered it. */
export type LineState = {
  /** `held`: an operator is needed; `failed`: nothing came of it. */
  readonly state: 'scheduled' | 'pending' | 'held' | 'failed' | 'active'
  readonly productId: string
  /** The order that began it, or is about to. */
  readonly orderId: string
  readonly externalId?: string
  /** In milliseconds since 1970. */
  readonly updatedAt: number
  readonly open?: OpenLineOrder
}

type Row = {
  readonly state: LineState['state']
  readonly product_id: string
  readonly order_id: string
  readonly external_id: string | null
  readonly updated_at: Date
  readonly open: {
    readonly order_id: string
    readonly action: OrderAction
    readonly is_scheduled: boolean
    readonly requested_ms: number | null
    readonly external_id: string | null
    readonly quantity: number
  } | null
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

  /** Whether text messages reach the number through us, whoever's line it is. */
  async isTextEnabled(number: string): Promise<boolean> {
    const { rows } = await this.#database.query((db) =>
      sql`
        select from services join products using (product_id)
        where e164 = ${number} and services.state <> 'ended' and kind = 'messaging' limit 1`.execute(db),
    )
    return rows.length > 0
  }

  /**
   * What the customer has on the number: what is in service before what is ordered, and what failed only when
   * nothing has come of the number since.
   */
  async find(customerId: string, number: string): Promise<LineState | undefined> {
    const { rows } = await this.#database.query((db) =>
      sql<Row>`
        with found as (
          select 'active' as state, product_id, order_id, external_id, updated_at, 0 as rank
          from services
          where e164 = ${number} and customer_id = ${customerId} and services.state <> 'ended'
          union all
          select case
              when items.state in ('failed', 'held') then items.state
              when items.state = 'acknowledged' and orders.requested_date > now() then 'scheduled'
              else 'pending' end,
            items.product_id, items.order_id, coalesce(orders.parameters ->> 'externalId', orders.external_id),
            items.updated_at, case when items.state = 'failed' then 2 else 1 end
          from order_items items join orders using (order_id)
          where e164 = ${number} and items.customer_id = ${customerId} and items.action = 'add'
            and items.state not in ('completed', 'cancelled')
            and (items.state <> 'failed' or not exists (
              select from order_items later
              where later.e164 = items.e164 and later.product_id = items.product_id
                and later.customer_id = items.customer_id and later.item_id > items.item_id))
        )
        select found.*, (
          select json_build_object('order_id', orders.order_id, 'action', orders.action,
            'is_scheduled', items.state = 'acknowledged' and orders.requested_date > now(),
            'requested_ms', round(extract(epoch from orders.requested_date) * 1000),
            'external_id', coalesce(orders.parameters ->> 'externalId', orders.parameters -> 'changes' ->> 'externalId'),
            'quantity', orders.quantity_requested)
          from order_items items join orders using (order_id)
          where items.e164 = ${number} and items.customer_id = ${customerId} and items.product_id = found.product_id
            and items.state not in ('completed', 'failed', 'cancelled')) as open
        from found join products using (product_id)
        where products.kind = 'messaging'
        order by rank, found.updated_at desc limit 1`.execute(db),
    )
    const [row] = rows
    return row === undefined ? undefined : toLine(row)
  }
}

const toLine = (row: Row): LineState => ({
  state: row.state,
  productId: row.product_id,
  orderId: row.order_id,
  ...(row.external_id !== null && { externalId: row.external_id }),
  updatedAt: row.updated_at.getTime(),
  ...(row.open !== null && { open: toOpen(row.open) }),
})

const toOpen = (open: NonNullable<Row['open']>): OpenLineOrder => ({
  orderId: open.order_id,
  action: open.action,
  isScheduled: open.is_scheduled,
  ...(open.requested_ms !== null && { requestedDate: open.requested_ms }),
  ...(open.external_id !== null && { externalId: open.external_id }),
  quantity: open.quantity,
})
