import { sql } from 'kysely'
import type { Clock } from '../../core/clock.ts'
import { GatewayError, isGatewayError } from '../../core/errors.ts'
import { newId } from '../model/ids.ts'
import { formatMoney, toMicros, toMoney, type Money } from '../model/money.ts'
import { PROVIDER_ACTION_OF } from '../model/order.ts'
import type { OrderParameters, OrderTerms, PlaceOrder } from '../model/order-terms.ts'
import { appendAudit } from '../store/audit.ts'
import type { ProvisioningDatabase, Queries } from '../store/database.ts'
import { addFulfilments } from '../store/fulfilments.ts'
import { appendHistory } from '../store/order-rows.ts'
import { findOrder, type Order, type OrderRef } from '../store/orders.ts'
import { cancelOrder } from './cancellation.ts'
import { lockOrder } from './locked-order.ts'
import { checkOrder, type CheckedOrder } from './order-checks.ts'
import { tellNumbers, tellOrder } from './order-events.ts'
import { takeNumbers, type OrderNumbers } from './order-numbers.ts'
import type { EngineSettings } from './order-progress.ts'
import { resumeOrder, type Resumption } from './stuck-fulfilments.ts'

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

export type PlaceOptions = {
  /** What must be locked before anything else is, and be so for the order to be placed. */
  readonly before?: (tx: Queries) => Promise<void>
  /** What else belongs into the transaction that places an order, such as the answer to be repeated. */
  readonly inTransaction?: (tx: Queries, order: Order) => Promise<void>
}

export type OrderingOptions = {
  readonly database: ProvisioningDatabase
  readonly settings: EngineSettings
  readonly clock: Pick<Clock, 'now'>
  /** Tells whoever carries orders out that there is something to do. */
  readonly wake: () => void
}

/** Takes orders; `Fulfiller` carries them out. */
export class Ordering {
  readonly #options: OrderingOptions

  constructor(options: OrderingOptions) {
    this.#options = options
  }

  /**
   * Places an order, with its numbers, in one transaction; it is carried out afterwards. Rejects as `checkOrder` and
   * `takeNumbers` say, and then nothing has changed.
   */
  async place(request: PlaceOrder, { before, inTransaction }: PlaceOptions = {}): Promise<Order> {
    const { database, wake } = this.#options
    const order = await database
      .transaction(async (tx) => {
        await before?.(tx)
        const placed = await this.#place(tx, request)
        await inTransaction?.(tx, placed)
        return placed
      })
      .catch((error: unknown) => {
        throw isBusy(error) ? new GatewayError('number_busy', { cause: error }) : error
      })
    wake()
    return order
  }

  /** What `place` would do: everything is checked and priced, and nothing is kept. Rejects as `place` does. */
  async quote(request: PlaceOrder): Promise<Quote> {
    try {
      return await this.#options.database.transaction(async (tx) => {
        const { checked, taken } = await this.#prepare(tx, request, newId('order', this.#options.clock.now()))
        throw new QuotedError(toQuote(checked, taken))
      })
    } catch (error) {
      if (error instanceof QuotedError) return error.quote
      throw error
    }
  }

  /**
   * Cancels what has not been done yet; the order is `cancelled`, or on its way there. Rejects with
   * `order_not_found` or `order_not_cancellable`.
   */
  async cancel(ref: OrderRef & { readonly actor: string }): Promise<Order> {
    const { database, settings, wake } = this.#options
    const order = await database.transaction(async (tx) => {
      await cancelOrder(tx, { ...ref, settings })
      return findOrder(tx, ref)
    })
    wake()
    return order
  }

  /** For operators: goes on with an order that is held. Rejects with `order_not_found` or `order_not_held`. */
  async resume(resumed: {
    readonly orderId: string
    readonly actor: string
    readonly resumption: Resumption
  }): Promise<Order> {
    const { database, settings, wake } = this.#options
    const order = await database.transaction(async (tx) => {
      const { customer_id: customerId } = await resumeOrder(tx, { ...resumed, settings })
      return findOrder(tx, { customerId, orderId: resumed.orderId })
    })
    wake()
    return order
  }

  async #prepare(
    tx: Queries,
    request: PlaceOrder,
    orderId: string,
  ): Promise<{ readonly checked: CheckedOrder; readonly taken: OrderNumbers }> {
    const checked = await checkOrder(tx, request, this.#options.settings.providers)
    const taken = await takeNumbers(tx, { request, orderId, kind: checked.product.kind })
    return { checked, taken }
  }

  async #place(tx: Queries, request: PlaceOrder): Promise<Order> {
    const { clock } = this.#options
    const orderId = newId('order', clock.now())
    const { checked, taken } = await this.#prepare(tx, request, orderId)
    await insertOrder(tx, { request, orderId, checked, taken })
    const itemIds = await insertItems(tx, { request, orderId, checked, taken, now: clock.now() })
    await scheduleItems(tx, { request, orderId, checked, itemIds, now: clock.now() })
    await appendHistory(tx, orderId, [{ kind: 'state', text: 'acknowledged' }])
    const order = await lockOrder(tx, orderId)
    await tellOrder(tx, order, {})
    if (request.terms.action === 'port') {
      const porting = taken.numbers.map((number) => ({ number, event: 'number.porting', state: 'port_in' }) as const)
      await tellNumbers(tx, order, porting)
    }
    await appendAudit(tx, [toAudit(request, orderId, taken)])
    return findOrder(tx, { customerId: request.customerId, orderId })
  }
}

/** Ends the transaction of a quote, so that nothing is kept. */
class QuotedError extends GatewayError {
  readonly quote: Quote

  constructor(quote: Quote) {
    super('internal', { detail: 'a quote keeps nothing' })
    this.quote = quote
  }
}

function toQuote({ unitOneTime, unitMonthly, customer }: CheckedOrder, { numbers, asked }: OrderNumbers): Quote {
  const { currency } = customer
  return {
    quantityRequested: asked,
    numbers,
    unitOneTime: toMoney(unitOneTime, currency),
    unitMonthly: toMoney(unitMonthly, currency),
    oneTime: multiply(unitOneTime, numbers.length, currency),
    monthly: multiply(unitMonthly, numbers.length, currency),
  }
}

const multiply = (amount: string, count: number, currency: string): Money =>
  formatMoney(toMicros(amount) * BigInt(count), currency)

type Placing = { readonly request: PlaceOrder; readonly orderId: string; readonly checked: CheckedOrder }

async function insertOrder(
  tx: Queries,
  { request, orderId, checked, taken }: Placing & { readonly taken: OrderNumbers },
): Promise<void> {
  const { currency } = checked.customer
  await tx
    .insertInto('orders')
    .values({
      order_id: orderId,
      customer_id: request.customerId,
      product_id: request.productId,
      face: request.face,
      action: request.terms.action,
      state: 'acknowledged',
      partial_allowed: request.partialAllowed,
      requested_date: request.requestedDate === undefined ? null : new Date(request.requestedDate),
      external_id: request.externalId ?? null,
      parameters: JSON.stringify(toParameters(request.terms)),
      metadata: JSON.stringify(request.metadata),
      quantity_requested: taken.asked,
      currency,
      one_time_price: multiply(checked.unitOneTime, taken.numbers.length, currency).amount,
      monthly_price: multiply(checked.unitMonthly, taken.numbers.length, currency).amount,
    })
    .execute()
}

/** The numbers are those of the items. */
function toParameters(terms: OrderTerms): OrderParameters {
  if (!('numbers' in terms)) return terms
  const { numbers: _, ...parameters } = terms
  return parameters
}

async function insertItems(
  tx: Queries,
  { request, orderId, checked, taken, now }: Placing & { readonly taken: OrderNumbers; readonly now: number },
): Promise<readonly string[]> {
  const itemIds = taken.numbers.map(() => newId('item', now))
  await sql`
    insert into order_items (item_id, order_id, product_id, customer_id, e164, action, state, one_time_price, monthly_price)
    select item_id, ${orderId}, ${request.productId}, ${request.customerId}, e164, ${request.terms.action},
      'acknowledged', ${checked.unitOneTime}::numeric, ${checked.unitMonthly}::numeric
    from unnest(${itemIds}::text[], ${[...taken.numbers]}::text[]) as named (item_id, e164)`.execute(tx)
  return itemIds
}

async function scheduleItems(
  tx: Queries,
  { request, orderId, checked, itemIds, now }: Placing & { readonly itemIds: readonly string[]; readonly now: number },
): Promise<void> {
  const { provider } = checked
  const batches = await addFulfilments(tx, {
    orderId,
    provider: provider.id,
    action: PROVIDER_ACTION_OF[request.terms.action],
    isCompensation: false,
    itemIds,
    batchMax: provider.capabilities.batchMax,
    dueAt: request.requestedDate === undefined ? null : new Date(request.requestedDate),
    now,
  })
  const pairs = batches.flatMap((batch) => batch.itemIds.map((itemId) => ({ itemId, id: batch.fulfilmentId })))
  await sql`
    update order_items set fulfilment_id = batch.fulfilment_id
    from unnest(${pairs.map((pair) => pair.itemId)}::text[], ${pairs.map((pair) => pair.id)}::text[])
      as batch (item_id, fulfilment_id)
    where order_items.item_id = batch.item_id`.execute(tx)
}

const toAudit = (
  { customerId, actor, productId, terms, correlationId }: PlaceOrder,
  orderId: string,
  taken: OrderNumbers,
) => ({
  chain: customerId,
  actor,
  entity: 'order',
  entityId: orderId,
  action: 'place',
  after: { productId, action: terms.action, quantity: taken.asked, numbers: taken.numbers },
  ...(correlationId !== undefined && { correlationId }),
})

/** Two orders for the same number met at the index. */
function isBusy(error: unknown): boolean {
  if (!isGatewayError(error, 'already_exists')) return false
  const { cause } = error
  return typeof cause === 'object' && cause !== null && 'constraint' in cause && cause.constraint === 'order_items_live'
}
