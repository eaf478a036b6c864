import { Registry } from 'prom-client'
import { sql } from 'kysely'
import { systemClock } from '../../src/core/clock.ts'
import { silentLogger } from '../../src/core/logger.ts'
import type { NewOperatorEvent } from '../../src/core/operator-event.ts'
import { Fulfiller } from '../../src/provisioning/engine/fulfiller.ts'
import { FulfilmentMetrics } from '../../src/provisioning/engine/fulfilment-metrics.ts'
import { Ordering } from '../../src/provisioning/engine/ordering.ts'
import type { NumberProvider } from '../../src/provisioning/model/provider.ts'
import { ORDER_ACTIONS } from '../../src/provisioning/model/order.ts'
import type { OrderTerms, PlaceOrder } from '../../src/provisioning/model/order-terms.ts'
import type { ProvisioningDatabase } from '../../src/provisioning/store/database.ts'
import { Orders } from '../../src/provisioning/store/orders.ts'
import { stockNumbers } from './number-stock.ts'

/** What orders are placed with: one customer of one app, two products of one provider, prices with odd fractions. */
export type OrderShop = {
  readonly appId: string
  readonly customerId: string
  readonly numbers: string
  readonly messaging: string
}

/** Opens a shop of its own in a database; `name` tells it from others, `start` is its first of 100 numbers. */
export async function openShop(
  database: ProvisioningDatabase,
  { name, start, provider }: { readonly name: string; readonly start: string; readonly provider: string },
): Promise<OrderShop> {
  const shop = {
    appId: `app-${name}`,
    customerId: `cus_${name}`,
    numbers: `prd_${name}`,
    messaging: `prd_${name}-text`,
  }
  await database.transaction(async (tx) => {
    await sql`insert into apps (app_id, shard, name, created_at) values (${shop.appId}, '0', ${name}, now())`.execute(
      tx,
    )
    await tx
      .insertInto('customers')
      .values({
        customer_id: shop.customerId,
        app_id: shop.appId,
        name,
        status: 'active',
        country: 'US',
        currency: 'USD',
        metadata: '{}',
      })
      .execute()
    for (const [productId, kind] of [
      [shop.numbers, 'number'],
      [shop.messaging, 'messaging'],
    ] as const) {
      await tx
        .insertInto('products')
        .values({
          product_id: productId,
          name: kind === 'number' ? 'A number' : 'Text enablement',
          kind,
          number_type: kind === 'number' ? 'local' : null,
          provider,
          actions: JSON.stringify(ORDER_ACTIONS),
          features: '[]',
          requirements: '{}',
        })
        .execute()
      await tx
        .insertInto('product_prices')
        .values({ product_id: productId, currency: 'USD', one_time: '1.333333', monthly: '0.1' })
        .execute()
    }
  })
  await stockNumbers(database, { start, count: 100, productId: shop.numbers, areaCode: '212' })
  return shop
}

export type Engine = {
  readonly ordering: Ordering
  readonly orders: Orders
  readonly fulfiller: Fulfiller
  readonly operatorEvents: NewOperatorEvent[]
  readonly registry: Registry
}

/** The engine over these tables and this provider; the fulfiller is not started. */
export function createEngine(
  database: ProvisioningDatabase,
  provider: NumberProvider,
  options: { readonly callTimeoutMs?: number; readonly attemptsMax?: number; readonly pollMs?: number } = {},
): Engine {
  const settings = { providers: new Map([[provider.id, provider]]), agingDays: 90, providerWaitDays: 30 }
  const operatorEvents: NewOperatorEvent[] = []
  const registry = new Registry()
  const fulfiller = new Fulfiller({
    database,
    settings,
    metrics: new FulfilmentMetrics(registry),
    operatorEvents: {
      append: (event) => {
        operatorEvents.push(event)
        return Promise.resolve()
      },
    },
    clock: systemClock,
    random: () => 0,
    log: silentLogger,
    callTimeoutMs: 1_000,
    ...options,
  })
  const ordering = new Ordering({ database, settings, clock: systemClock, wake: () => fulfiller.wake() })
  return { ordering, orders: new Orders(database), fulfiller, operatorEvents, registry }
}

/** An order of the shop; all or nothing unless said otherwise. */
export const orderOf = (shop: OrderShop, terms: OrderTerms, more: Partial<PlaceOrder> = {}): PlaceOrder => ({
  customerId: shop.customerId,
  actor: 'key:test',
  face: 'zilkr',
  productId: terms.action === 'add' ? shop.messaging : shop.numbers,
  partialAllowed: false,
  metadata: {},
  terms,
  ...more,
})

/** As if so much time had passed that everything is due and every lease has run out. */
export async function passTime(database: ProvisioningDatabase, orderId: string): Promise<void> {
  await database.query((db) =>
    sql`update fulfilments set leased_until = null, due_at = case when due_at is null then null else now() end
      where order_id = ${orderId}`.execute(db),
  )
}

/** Works until nothing is left to do for the order, and resolves with how many rounds that took. */
export async function workOff(
  { database, fulfiller }: { readonly database: ProvisioningDatabase; readonly fulfiller: Fulfiller },
  orderId: string,
): Promise<void> {
  for (let round = 0; round < 100; round += 1) {
    await passTime(database, orderId)
    if ((await fulfiller.runDue()) === 0) return
  }
  throw new Error(`order ${orderId} never comes to rest`)
}
