import { GatewayError } from '../../core/errors.ts'
import type { Money } from '../model/money.ts'
import type { PlaceOrder } from '../model/order-terms.ts'
import type { ProvisioningDatabase, Queries } from '../store/database.ts'
import type { Order, OrderRef } from '../store/orders.ts'

/** What an order would do and cost, if it were placed now. */
export type Quote = {
  readonly quantityRequested: number
  /** The numbers it would be about; they are not kept. */
  readonly numbers: readonly string[]
  readonly unitOneTime: Money
  readonly unitMonthly: Money
  readonly oneTime: Money
  readonly monthly: Money
}

/** What else belongs into the transaction that places an order, such as the answer to be repeated. */
export type PlaceOptions = { readonly inTransaction?: (tx: Queries, order: Order) => Promise<void> }

export type OrderingOptions = { readonly database: ProvisioningDatabase }

/** Takes orders. */
export class Ordering {
  readonly #options: OrderingOptions

  constructor(options: OrderingOptions) {
    this.#options = options
  }

  /** Places an order; it is carried out afterwards. */
  async place(request: PlaceOrder, options: PlaceOptions = {}): Promise<Order> {
    void this.#options
    await Promise.resolve([request, options])
    throw new GatewayError('internal')
  }

  /** What `place` would do, without doing it. */
  async quote(request: PlaceOrder): Promise<Quote> {
    await Promise.resolve(request)
    throw new GatewayError('internal')
  }

  /** Cancels what has not been done yet; rejects with `order_not_found` or `order_not_cancellable`. */
  async cancel(ref: OrderRef & { readonly actor: string }): Promise<Order> {
    await Promise.resolve(ref)
    throw new GatewayError('internal')
  }
}
