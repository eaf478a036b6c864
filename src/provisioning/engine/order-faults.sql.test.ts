import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Mortal } from '../../../test/support/mortal.ts'
import { checkBooks } from '../../../test/support/order-books.ts'
import {
  createEngine,
  openShop,
  orderOf,
  passTime,
  type Engine,
  type OrderShop,
} from '../../../test/support/order-rig.ts'
import { startTestProvisioning, type TestProvisioning } from '../../../test/support/provisioning.ts'
import { STORES } from '../../../test/support/records.ts'
import { FAULTS, ScriptedProvider } from '../../../test/support/scripted-provider.ts'
import { isGatewayError } from '../../core/errors.ts'
import type { OrderTerms } from '../model/order-terms.ts'
import type { Order } from '../store/orders.ts'

/** PGlite has one connection, so that it gets fewer. */
const RUNS = { pglite: 80, postgresql: 250 } as const
/** More rounds than any sequence of faults can take. */
const ROUNDS_MAX = 80
const ATTEMPTS_MAX = 4

const sequences = fc.record({
  kind: fc.constantFrom('any', 'range', 'port', 'add'),
  quantity: fc.integer({ min: 1, max: 5 }),
  partialAllowed: fc.boolean(),
  batchMax: fc.integer({ min: 1, max: 3 }),
  isIdempotent: fc.boolean(),
  canFind: fc.boolean(),
  canCancel: fc.boolean(),
  faults: fc.array(fc.constantFrom(...FAULTS), { maxLength: 8 }),
  /** After how many steps each process dies. */
  lives: fc.array(fc.integer({ min: 1, max: 30 }), { maxLength: 4 }),
  /** In which round the customer asks for cancellation. */
  cancelIn: fc.option(fc.integer({ min: 0, max: 5 }), { nil: undefined }),
  tellsTwice: fc.boolean(),
})
type Sequence = typeof sequences extends fc.Arbitrary<infer Value> ? Value : never

describe.each(STORES)('orders whose carrier and process fail, on %s', (store) => {
  let rig: TestProvisioning
  let shops = 0
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
  })
  afterAll(() => rig.stop())

  test(`end, and everything agrees, after ${RUNS[store]} sequences of faults`, async () => {
    await fc.assert(
      fc.asyncProperty(sequences, async (sequence) => {
        shops += 1
        const start = `+${12_125_550_000 + shops * 100}`
        const shop = await openShop(rig.database, { name: `f${shops}`, start, provider: `scripted-${shops}` })
        await new Run(rig, shop, sequence).finish(termsOf(sequence, start))
      }),
      { numRuns: RUNS[store] },
    )
  }, 600_000)
})

function termsOf({ kind, quantity }: Sequence, start: string): OrderTerms {
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

/** One order and its life. */
class Run {
  readonly #rig: TestProvisioning
  readonly #shop: OrderShop
  readonly #sequence: Sequence
  readonly #carrier: ScriptedProvider
  readonly #lives: number[]
  #mortal: Mortal
  #engine: Engine

  constructor(rig: TestProvisioning, shop: OrderShop, sequence: Sequence) {
    this.#rig = rig
    this.#shop = shop
    this.#sequence = sequence
    const { isIdempotent, canFind, canCancel, batchMax } = sequence
    this.#carrier = new ScriptedProvider(shop.numbers.replace('prd_f', 'scripted-'), sequence.faults, {
      isIdempotent,
      canFind,
      canCancel,
      batchMax,
    })
    this.#lives = [...sequence.lives]
    this.#mortal = new Mortal(Number.POSITIVE_INFINITY)
    this.#engine = this.#nextEngine()
  }

  async finish(terms: OrderTerms): Promise<void> {
    const { partialAllowed, cancelIn } = this.#sequence
    const immortal = createEngine(this.#rig.database, this.#carrier)
    const { orderId } = await immortal.ordering.place(orderOf(this.#shop, terms, { partialAllowed }))
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      if (this.#mortal.isDead) this.#engine = this.#nextEngine()
      if (round === cancelIn) await this.#cancel(orderId)
      await passTime(this.#rig.database, orderId)
      const worked = await this.#engine.fulfiller.runDue().catch(() => 1)
      const told = await this.#tell(round > 3)
      const order = await immortal.orders.find(this.#shop.customerId, orderId)
      const resumed = worked === 0 && (await this.#resume(immortal, orderId))
      if (worked === 0 && !told && !resumed && order.completedAt !== undefined) {
        return this.#check(order)
      }
    }
    throw new Error('the order never comes to rest')
  }

  async #check(order: Order): Promise<void> {
    expect(this.#carrier.violations).toEqual([])
    await checkBooks(this.#rig.database, { order, lines: [...this.#carrier.lines.keys()] })
  }

  #nextEngine(): Engine {
    this.#mortal = new Mortal(this.#lives.shift() ?? Number.POSITIVE_INFINITY)
    return createEngine(this.#mortal.database(this.#rig.database), this.#mortal.provider(this.#carrier), {
      callTimeoutMs: 150,
      attemptsMax: ATTEMPTS_MAX,
    })
  }

  /** A process that dies loses what it was told. */
  async #tell(hasTimePassed: boolean): Promise<boolean> {
    if (hasTimePassed) this.#carrier.catchUp()
    const callbacks = this.#carrier.callbacks.splice(0)
    for (const { ref, lines } of callbacks) {
      for (let times = this.#sequence.tellsTwice ? 2 : 1; times > 0; times -= 1) {
        await this.#engine.fulfiller.report(this.#carrier.id, ref, lines).catch(ignoreDeath)
      }
    }
    return callbacks.length > 0
  }

  async #cancel(orderId: string): Promise<void> {
    const ref = { customerId: this.#shop.customerId, orderId, actor: 'key:test' }
    await this.#engine.ordering.cancel(ref).catch((error: unknown) => {
      if (!isGatewayError(error, 'order_not_cancellable', 'store_unavailable')) throw error
    })
  }

  /** An operator telephones the carrier and does what is right; false: nothing waits for one. */
  async #resume({ ordering, fulfiller }: Engine, orderId: string): Promise<boolean> {
    const stuck = await this.#rig.database.query((db) =>
      db
        .selectFrom('fulfilments')
        .select(['fulfilment_id', 'is_compensation'])
        .where('order_id', '=', orderId)
        .where('state', '=', 'stuck')
        .execute(),
    )
    if (stuck.length === 0) return false
    this.#carrier.catchUp()
    for (const { fulfilment_id: key } of stuck) {
      const outcomes = this.#carrier.conclude(key)
      if (outcomes !== undefined) await fulfiller.report(this.#carrier.id, key, outcomes)
    }
    // What has not been settled by that was never carried out.
    await ordering.resume({ orderId, actor: 'admin', resumption: 'repeat' }).catch((error: unknown) => {
      if (!isGatewayError(error, 'order_not_held')) throw error
    })
    return true
  }
}

const ignoreDeath = (error: unknown): void => {
  if (!isGatewayError(error, 'store_unavailable')) throw error
}
