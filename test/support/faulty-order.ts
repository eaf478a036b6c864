import * as fc from 'fast-check'
import { isGatewayError } from '../../src/core/errors.ts'
import type { OrderTerms } from '../../src/provisioning/model/order-terms.ts'
import type { LineOutcome, NumberProvider } from '../../src/provisioning/model/provider.ts'
import type { ProvisioningDatabase } from '../../src/provisioning/store/database.ts'
import type { Order } from '../../src/provisioning/store/orders.ts'
import { Mortal } from './mortal.ts'
import { checkBooks } from './order-books.ts'
import { createEngine, orderOf, passTime, type Engine, type OrderShop } from './order-rig.ts'

/** A carrier that fails as it is told to. */
export type FaultyCarrier = {
  readonly provider: NumberProvider
  /** Lets time pass there. */
  passTime(round: number): Promise<void>
  /** Has what is to be told told to `engine`, which may die of it; resolves with whether something was or will be. */
  tell(engine: Engine): Promise<boolean>
  /** Brings a request to its end and says what that was; undefined: it never had it. */
  conclude(key: string): Promise<readonly LineOutcome[] | undefined>
  /** The numbers that it has lines of. */
  lines(): Promise<readonly string[]>
  /** What must never have happened to it. */
  readonly violations: readonly string[]
}

/** What is ordered, and what besides the carrier befalls the order. */
export const fates = {
  kind: fc.constantFrom('any', 'range', 'port', 'add'),
  quantity: fc.integer({ min: 1, max: 5 }),
  partialAllowed: fc.boolean(),
  /** After how many steps each process dies, see `Mortal`; the last one lives on. */
  lives: fc.array(fc.integer({ min: 1, max: 30 }), { maxLength: 4 }),
  /** In which round the customer asks for cancellation. */
  cancelIn: fc.option(fc.integer({ min: 0, max: 5 }), { nil: undefined }),
} as const

type Fate = {
  readonly [Field in keyof typeof fates]: (typeof fates)[Field] extends fc.Arbitrary<infer Value> ? Value : never
}

/** More rounds than any sequence of faults can take. */
const ROUNDS_MAX = 100
const ATTEMPTS_MAX = 4

/** Places one order and sees it through whatever happens, with operators who do what is right; then checks the books. */
export class FaultyOrder {
  readonly #database: ProvisioningDatabase
  readonly #shop: OrderShop
  readonly #carrier: FaultyCarrier
  readonly #fate: Fate
  readonly #lives: number[]
  #mortal: Mortal
  #engine: Engine

  constructor(
    database: ProvisioningDatabase,
    { shop, carrier, fate }: { readonly shop: OrderShop; readonly carrier: FaultyCarrier; readonly fate: Fate },
  ) {
    this.#database = database
    this.#shop = shop
    this.#carrier = carrier
    this.#fate = fate
    this.#lives = [...fate.lives]
    this.#mortal = new Mortal(Number.POSITIVE_INFINITY)
    this.#engine = this.#nextEngine()
  }

  /** `start` is the first number of the shop. */
  async finish(start: string): Promise<Order> {
    const { partialAllowed, cancelIn } = this.#fate
    const immortal = createEngine(this.#database, this.#carrier.provider)
    const terms = termsOf(this.#fate, start)
    const { orderId } = await immortal.ordering.place(orderOf(this.#shop, terms, { partialAllowed }))
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      if (this.#mortal.isDead) this.#engine = this.#nextEngine()
      if (round === cancelIn) await this.#cancel(orderId)
      await passTime(this.#database, orderId)
      await this.#carrier.passTime(round)
      const worked = await this.#engine.fulfiller.runDue().catch(countDeath)
      const told = await this.#carrier.tell(this.#engine)
      const resumed = worked === 0 && (await this.#resume(immortal, orderId))
      const order = await immortal.orders.find(this.#shop.customerId, orderId)
      if (worked > 0 || told || resumed || order.completedAt === undefined) continue
      const { violations } = this.#carrier
      await checkBooks(this.#database, { order, violations, lines: await this.#carrier.lines() })
      return order
    }
    throw new Error('the order never comes to rest')
  }

  #nextEngine(): Engine {
    this.#mortal = new Mortal(this.#lives.shift() ?? Number.POSITIVE_INFINITY)
    return createEngine(this.#mortal.database(this.#database), this.#mortal.provider(this.#carrier.provider), {
      callTimeoutMs: 150,
      attemptsMax: ATTEMPTS_MAX,
    })
  }

  async #cancel(orderId: string): Promise<void> {
    const ref = { customerId: this.#shop.customerId, orderId, actor: 'key:test' }
    await this.#engine.ordering.cancel(ref).catch((error: unknown) => {
      if (!isGatewayError(error, 'order_not_cancellable', 'store_unavailable')) throw error
    })
  }

  /** An operator telephones the carrier and does what is right; false: nothing waits for one. */
  async #resume({ ordering, fulfiller }: Engine, orderId: string): Promise<boolean> {
    const stuck = await this.#database.query((db) =>
      db
        .selectFrom('fulfilments')
        .select('fulfilment_id')
        .where('order_id', '=', orderId)
        .where('state', '=', 'stuck')
        .execute(),
    )
    if (stuck.length === 0) return false
    for (const { fulfilment_id: key } of stuck) {
      const outcomes = await this.#carrier.conclude(key)
      if (outcomes !== undefined) await fulfiller.report(this.#carrier.provider.id, key, outcomes)
    }
    // What has not been settled by that was never carried out.
    await ordering.resume({ orderId, actor: 'admin', resumption: 'repeat' }).catch((error: unknown) => {
      if (!isGatewayError(error, 'order_not_held')) throw error
    })
    return true
  }
}

function termsOf({ kind, quantity }: Fate, start: string): OrderTerms {
  const numbers = Array.from({ length: quantity }, (_, index) => `+${Number(start.slice(1)) + 2_000_000_000 + index}`)
  if (kind === 'any') return { action: 'any', quantity, filter: {} }
  if (kind === 'range') return { action: 'range', start, size: quantity }
  if (kind === 'add') return { action: 'add', numbers }
  return {
    action: 'port',
    numbers,
    losingCarrier: { name: 'Old Telephone', pin: '9876' },
    authorizedBy: { name: 'Ada' },
    address: { line1: '1 Main St', city: 'Chicago', postalCode: '60601', country: 'US' },
  }
}

/** What a dead process was told is lost. */
export const ignoreDeath = (error: unknown): void => {
  if (!isGatewayError(error, 'store_unavailable')) throw error
}

function countDeath(error: unknown): number {
  ignoreDeath(error)
  return 1
}
