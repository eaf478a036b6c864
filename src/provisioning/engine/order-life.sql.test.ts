import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createEngine, openShop, orderOf, passTime, workOff, type OrderShop } from '../../../test/support/order-rig.ts'
import { startTestProvisioning, type TestProvisioning } from '../../../test/support/provisioning.ts'
import { STORES } from '../../../test/support/records.ts'
import { ScriptedProvider, type Fault } from '../../../test/support/scripted-provider.ts'
import type { ProviderCapabilities } from '../model/provider.ts'
import type { OrderTerms } from '../model/order-terms.ts'

describe.each(STORES)('an order on %s', (store) => {
  let rig: TestProvisioning
  let shops = 0
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
  })
  afterAll(() => rig.stop())

  /** A shop, a carrier and an engine of the test's own. */
  async function open(script: readonly Fault[] = [], capabilities: Partial<ProviderCapabilities> = {}) {
    shops += 1
    const shop = await openShop(rig.database, {
      name: `s${shops}`,
      start: `+1212555${String(shops).padStart(2, '0')}00`,
      provider: `scripted-${shops}`,
    })
    const provider = new ScriptedProvider(`scripted-${shops}`, script, capabilities)
    const engine = createEngine(rig.database, provider)
    const place = (terms: OrderTerms, more = {}) => engine.ordering.place(orderOf(shop, terms, more))
    const finish = async (orderId: string) => {
      await workOff({ database: rig.database, fulfiller: engine.fulfiller }, orderId)
      return engine.orders.find(shop.customerId, orderId)
    }
    return { ...engine, shop, provider, place, finish, first: `+1212555${String(shops).padStart(2, '0')}00` }
  }

  const column = async <Value>(statement: ReturnType<typeof sql<{ value: Value }>>): Promise<readonly Value[]> => {
    const { rows } = await rig.database.query((db) => statement.execute(db))
    return rows.map((row) => row.value)
  }
  const eventsOf = (shop: OrderShop) =>
    column(sql<{ value: string }>`select type as value from provisioning_outbox where app_id = ${shop.appId}
      order by event_id`)
  const statesOf = (shop: OrderShop) =>
    column(sql<{ value: string }>`select state as value from numbers where product_id = ${shop.numbers}
      and state <> 'available' order by e164`)
  const chargesOf = (orderId: string) =>
    column(
      sql<{ value: string }>`select amount::text as value from ledger where order_id = ${orderId} order by entry_id`,
    )
  const totalsOf = (orderId: string) =>
    column(sql<{ value: string }>`select total::text as value from invoices where order_id = ${orderId}`)

  const three: OrderTerms = { action: 'any', quantity: 3, filter: { countryCode: 'US' } }

  test("a line that the provider has for the gateway already is another one's to the customer", async () => {
    const { provider, place, finish } = await open()
    provider.rejectNext('+12065550123', 'provisioned_by_you')
    const order = await place({ action: 'add', numbers: ['+12065550123'] })
    const [item] = (await finish(order.orderId)).items
    expect(item).toMatchObject({ state: 'failed', error: { code: 'provisioned_by_another' } })
    expect(item?.error?.message).not.toContain('it did not work')
  })

  test('brings numbers into service, charges them exactly, and tells the app', async () => {
    const { shop, provider, place, finish } = await open()
    const placed = await place(three, { externalId: 'po-1', metadata: { team: 'north' } })
    expect(placed).toMatchObject({
      state: 'acknowledged',
      action: 'any',
      quantityRequested: 3,
      quantityFulfilled: 0,
      oneTime: { amount: '3.999999', currency: 'USD' },
      monthly: { amount: '0.30', currency: 'USD' },
      externalId: 'po-1',
      metadata: { team: 'north' },
      version: 1,
    })
    expect(await statesOf(shop)).toEqual(['reserved', 'reserved', 'reserved'])

    const order = await finish(placed.orderId)
    expect(order).toMatchObject({ state: 'completed', quantityFulfilled: 3 })
    expect(order.items.map((item) => item.state)).toEqual(['completed', 'completed', 'completed'])
    expect(order.items.every((item) => item.providerRef !== undefined)).toBe(true)
    expect(order.completedAt).toBeTypeOf('number')
    expect(provider.lines.size).toBe(3)
    expect(await statesOf(shop)).toEqual(['in_service', 'in_service', 'in_service'])
    expect(await chargesOf(placed.orderId)).toEqual(['1.333333', '1.333333', '1.333333'])
    expect(await totalsOf(placed.orderId)).toEqual(['3.999999'])
    expect(await eventsOf(shop)).toEqual([
      'order.acknowledged',
      'order.in_progress',
      'order.completed',
      'number.in_service',
      'number.in_service',
      'number.in_service',
    ])
    const services = await column(
      sql<{ value: string }>`select state as value from services where customer_id = ${shop.customerId}`,
    )
    expect(services).toEqual(['active', 'active', 'active'])
  })

  test('of all or nothing gives back what was done when a number fails, and charges nothing', async () => {
    const { shop, provider, place, finish } = await open([], { batchMax: 1 })
    const placed = await place(three)
    const [, second] = placed.items
    provider.rejectNext(second?.number)
    const order = await finish(placed.orderId)
    expect(order).toMatchObject({
      state: 'failed',
      quantityFulfilled: 0,
      outcomeReason: 'no_inventory: it did not work',
    })
    expect(provider.lines.size).toBe(0)
    expect(provider.violations).toEqual([])
    expect(await statesOf(shop)).toEqual([])
    expect(await chargesOf(placed.orderId)).toEqual([])
    expect(await totalsOf(placed.orderId)).toEqual([])
    expect(await eventsOf(shop)).not.toContain('number.in_service')
  })

  test('that may be partial keeps what was done and charges that', async () => {
    const { shop, place, finish } = await open(['some rejected'], { batchMax: 3 })
    const placed = await place(three, { partialAllowed: true })
    const order = await finish(placed.orderId)
    expect(order).toMatchObject({ state: 'partial', quantityFulfilled: 1 })
    expect(order.items.map((item) => item.state)).toEqual(['failed', 'completed', 'failed'])
    expect(await statesOf(shop)).toEqual(['in_service'])
    expect(await totalsOf(placed.orderId)).toEqual(['1.333333'])
  })

  test('for more numbers than there are is refused, or partial', async () => {
    const { shop, place, finish } = await open()
    const terms: OrderTerms = { action: 'any', quantity: 101, filter: {} }
    await expect(place(terms)).rejects.toMatchObject({
      code: 'numbers_unavailable',
      fields: { available: 100, requested: 101 },
    })
    expect(await statesOf(shop)).toEqual([])
    const placed = await place(terms, { partialAllowed: true })
    expect(placed.items).toHaveLength(100)
    expect(await finish(placed.orderId)).toMatchObject({ state: 'partial', quantityFulfilled: 100 })
    expect(await totalsOf(placed.orderId)).toEqual(['133.333300'])
  })

  test('is quoted without keeping anything', async () => {
    const { shop, ordering } = await open()
    const quote = await ordering.quote(orderOf(shop, three))
    expect(quote).toMatchObject({
      quantityRequested: 3,
      unitOneTime: { amount: '1.333333', currency: 'USD' },
      oneTime: { amount: '3.999999', currency: 'USD' },
    })
    expect(quote.numbers).toHaveLength(3)
    expect(await statesOf(shop)).toEqual([])
    expect(await eventsOf(shop)).toEqual([])
  })

  test('to port waits for the losing carrier and forgets its PIN in the end', async () => {
    const { shop, place, finish, fulfiller, orders } = await open(['pending'])
    const number = '+13125550199'
    const placed = await place({
      action: 'port',
      numbers: [number],
      losingCarrier: { name: 'Old Telephone', accountNumber: '42', pin: '9876' },
      authorizedBy: { name: 'Ada' },
      address: { line1: '1 Main St', city: 'Chicago', postalCode: '60601', country: 'US' },
    })
    expect(JSON.stringify(placed)).not.toContain('9876')
    await fulfiller.runDue()
    const waiting = await orders.find(shop.customerId, placed.orderId)
    expect(waiting).toMatchObject({ state: 'pending', items: [{ state: 'pending', focDate: 1_900_000_000_000 }] })
    expect(waiting.milestones).toMatchObject([{ number, text: 'comes over on 2030-03-17T17:46:40.000Z' }])
    expect(await finish(placed.orderId)).toMatchObject({ state: 'completed' })
    expect(await eventsOf(shop)).toContain('number.porting')
    const [parameters] = await column(
      sql<{ value: string }>`select parameters::text as value from orders where order_id = ${placed.orderId}`,
    )
    expect(parameters).toContain('Old Telephone')
    expect(parameters).not.toContain('9876')
  })

  test('moves, changes and ends services, at no charge', async () => {
    const { shop, place, finish, first, provider } = await open()
    const begun = await place({ action: 'range', start: first, size: 2 })
    await finish(begun.orderId)
    const second = `${first.slice(0, -1)}1`
    const changed = await place({ action: 'change', numbers: [first], changes: { callerName: 'ACME' } })
    expect(await finish(changed.orderId)).toMatchObject({ state: 'completed', oneTime: { amount: '0.00' } })
    const ended = await place({ action: 'delete', numbers: [second], reason: 'no longer needed' })
    expect(await finish(ended.orderId)).toMatchObject({ state: 'completed' })
    expect(await statesOf(shop)).toEqual(['in_service', 'aging'])
    await expect(place({ action: 'deleteAll', reason: 'over', confirm: 2 })).rejects.toMatchObject({
      code: 'order_refused',
      fields: { field: 'confirm', count: 1 },
    })
    const all = await place({ action: 'deleteAll', reason: 'over', confirm: 1 })
    expect(await finish(all.orderId)).toMatchObject({ state: 'completed' })
    expect(await statesOf(shop)).toEqual(['aging', 'aging'])
    expect(provider.lines.size).toBe(0)
    expect(await chargesOf(changed.orderId)).toEqual([])
    const names = await column(
      sql<{ value: string | null }>`select caller_name as value from services where e164 = ${first}`,
    )
    expect(names).toEqual(['ACME'])
    expect(await eventsOf(shop)).toContain('number.changed')
    expect((await eventsOf(shop)).filter((type) => type === 'number.released')).toHaveLength(2)
  })

  test('to change all or nothing is changed back when a number fails', async () => {
    const { place, finish, first, provider } = await open([], { batchMax: 1 })
    const begun = await place({ action: 'range', start: first, size: 2 })
    await finish(begun.orderId)
    const [one, two] = begun.items
    provider.rejectNext(two?.number)
    const changed = await place({
      action: 'change',
      numbers: begun.items.map((item) => item.number),
      changes: { callerName: 'ACME' },
    })
    expect(await finish(changed.orderId)).toMatchObject({ state: 'failed' })
    expect(one?.number).toBe(first)
    const names = await column(
      sql<{ value: string | null }>`select caller_name as value from services where order_id = ${begun.orderId}`,
    )
    expect(names).toEqual([null, null])
    expect(provider.violations).toEqual([])
  })

  test('to add a service is refused for a number that has one, or that is another customer’s', async () => {
    const { shop, place, finish } = await open()
    const number = '+13125550123'
    const added = await place({ action: 'add', numbers: [number], externalId: 'vendor-7' })
    await expect(place({ action: 'add', numbers: [number] })).rejects.toMatchObject({ code: 'number_busy' })
    await finish(added.orderId)
    await expect(place({ action: 'add', numbers: [number] })).rejects.toMatchObject({
      code: 'numbers_unavailable',
      fields: { numbers: [number] },
    })
    const ids = await column(
      sql<{ value: string }>`select external_id as value from services where customer_id = ${shop.customerId}`,
    )
    expect(ids).toEqual(['vendor-7'])
    const other = await open()
    const numbers = await other.place({ action: 'any', quantity: 1, filter: {} })
    const theirs = numbers.items.map((item) => item.number)
    await expect(place({ action: 'add', numbers: theirs })).rejects.toMatchObject({ code: 'numbers_unavailable' })
  })

  test('for later is not begun before, and is cancelled at once', async () => {
    const { shop, place, provider, fulfiller, ordering } = await open()
    const placed = await place(three, { requestedDate: Date.now() + 3_600_000 })
    await fulfiller.runDue()
    expect(provider.calls).toBe(0)
    const cancelled = await ordering.cancel({
      customerId: shop.customerId,
      orderId: placed.orderId,
      actor: 'key:test',
    })
    expect(cancelled).toMatchObject({ state: 'cancelled', outcomeReason: 'cancelled on request' })
    expect(await statesOf(shop)).toEqual([])
    expect(await eventsOf(shop)).toEqual(['order.acknowledged', 'order.cancelled'])
    await expect(
      ordering.cancel({ customerId: shop.customerId, orderId: placed.orderId, actor: 'key:test' }),
    ).rejects.toMatchObject({ code: 'order_not_cancellable' })
  })

  test.each([
    ['in the past', -1_000],
    ['too far ahead', 400 * 86_400_000],
  ])('for a date %s is refused', async (_name, offset) => {
    const { place } = await open()
    await expect(place(three, { requestedDate: Date.now() + offset })).rejects.toMatchObject({
      code: 'order_refused',
      fields: { field: 'requested_date' },
    })
  })

  test('at a provider is cancelled by it, or goes on if it does not cancel', async () => {
    const { shop, place, finish, fulfiller, ordering, provider } = await open(['accepted'], { batchMax: 3 })
    const placed = await place(three)
    await fulfiller.runDue()
    const ref = { customerId: shop.customerId, orderId: placed.orderId, actor: 'key:test' }
    expect(await ordering.cancel(ref)).toMatchObject({ state: 'assessingCancellation' })
    expect(await finish(placed.orderId)).toMatchObject({ state: 'cancelled', quantityFulfilled: 0 })
    expect(provider.lines.size).toBe(0)
    expect(await statesOf(shop)).toEqual([])

    const stubborn = await open(['accepted', 'cancellation refused'], { batchMax: 3 })
    const kept = await stubborn.place(three)
    await stubborn.fulfiller.runDue()
    await stubborn.ordering.cancel({ ...ref, customerId: stubborn.shop.customerId, orderId: kept.orderId })
    expect(await stubborn.finish(kept.orderId)).toMatchObject({ state: 'completed', quantityFulfilled: 3 })
  })

  test('that may have been carried out is not taken for unsent because its repetition is throttled', async () => {
    const { shop, provider, place, finish, fulfiller, ordering } = await open(
      ['timeout after it is carried out', 'throttle'],
      { batchMax: 3, canFind: false },
    )
    const placed = await place(three)
    await fulfiller.runDue()
    await passTime(rig.database, placed.orderId)
    await fulfiller.runDue()
    expect(provider.calls).toBe(2)
    const ref = { customerId: shop.customerId, orderId: placed.orderId, actor: 'key:test' }
    expect(await ordering.cancel(ref)).toMatchObject({ state: 'assessingCancellation' })
    expect(await finish(placed.orderId)).toMatchObject({ state: 'completed', quantityFulfilled: 3 })
    expect(provider.lines.size).toBe(3)
    expect(await statesOf(shop)).toEqual(['in_service', 'in_service', 'in_service'])
  })

  test('at a provider that cannot cancel is refused to be cancelled, and nothing changes', async () => {
    const { shop, place, finish, fulfiller, ordering, orders } = await open(['accepted'], {
      batchMax: 3,
      canCancel: false,
    })
    const placed = await place(three)
    await fulfiller.runDue()
    const before = await orders.find(shop.customerId, placed.orderId)
    await expect(
      ordering.cancel({ customerId: shop.customerId, orderId: placed.orderId, actor: 'key:test' }),
    ).rejects.toMatchObject({ code: 'order_not_cancellable' })
    expect(await orders.find(shop.customerId, placed.orderId)).toEqual(before)
    expect(await finish(placed.orderId)).toMatchObject({ state: 'completed' })
  })

  test('whose provider can never tell is held, is never sent twice, and goes on when an operator says so', async () => {
    const blind = { isIdempotent: false, canFind: false, batchMax: 3 }
    const { shop, place, finish, ordering, provider, operatorEvents } = await open(
      ['timeout after it is carried out'],
      blind,
    )
    const placed = await place(three)
    const held = await finish(placed.orderId)
    expect(held).toMatchObject({
      state: 'held',
      outcomeReason: 'the provider cannot tell whether it was carried out',
    })
    expect(provider.calls).toBe(1)
    expect(operatorEvents).toMatchObject([
      { type: 'provisioning.order_held', details: { order_id: placed.orderId, provider: provider.id } },
    ])
    await ordering.resume({ orderId: placed.orderId, actor: 'admin', resumption: 'done' })
    expect(await finish(placed.orderId)).toMatchObject({ state: 'completed', quantityFulfilled: 3 })
    expect(await statesOf(shop)).toEqual(['in_service', 'in_service', 'in_service'])
    expect(await totalsOf(placed.orderId)).toEqual(['3.999999'])
    await expect(
      ordering.resume({ orderId: placed.orderId, actor: 'admin', resumption: 'continue' }),
    ).rejects.toMatchObject({ code: 'order_not_held' })
  })

  test('told of twice, and late, is charged once; what comes after it was given up is undone', async () => {
    const { shop, place, finish, fulfiller, provider } = await open(['told twice', 'rejected, and done later'], {
      batchMax: 3,
    })
    const first = await place(three)
    await finish(first.orderId)
    for (const { ref, lines } of provider.callbacks) expect(await fulfiller.report(provider.id, ref, lines)).toBe(true)
    expect(await totalsOf(first.orderId)).toEqual(['3.999999'])
    expect(await statesOf(shop)).toEqual(['in_service', 'in_service', 'in_service'])

    const second = await place(three)
    expect(await finish(second.orderId)).toMatchObject({ state: 'failed' })
    provider.callbacks.length = 0
    provider.catchUp()
    expect(provider.lines.size).toBe(6)
    for (const { ref, lines } of provider.callbacks) await fulfiller.report(provider.id, ref, lines)
    for (const { ref, lines } of provider.callbacks) await fulfiller.report(provider.id, ref, lines)
    expect(await finish(second.orderId)).toMatchObject({ state: 'failed' })
    expect(provider.lines.size).toBe(3)
    expect(provider.violations).toEqual([])
    expect(await chargesOf(second.orderId)).toEqual([])
    expect(await fulfiller.report(provider.id, 'never heard of', [])).toBe(false)
  })

  test('of a customer without a price, or who is suspended, or of a foreign place, is refused', async () => {
    const { shop, place } = await open()
    await expect(place({ ...three, locationId: 'loc_other' })).rejects.toMatchObject({
      code: 'order_refused',
      fields: { field: 'location_id' },
    })
    await rig.database.query((db) =>
      sql`update customers set currency = 'SEK' where customer_id = ${shop.customerId}`.execute(db),
    )
    await expect(place(three)).rejects.toMatchObject({ code: 'order_refused', fields: { field: 'product_id' } })
    await rig.database.query((db) =>
      sql`update customers set status = 'suspended' where customer_id = ${shop.customerId}`.execute(db),
    )
    await expect(place(three)).rejects.toMatchObject({ code: 'customer_inactive' })
    await expect(place(three, { customerId: 'cus_nobody' })).rejects.toMatchObject({ code: 'customer_not_found' })
    await expect(place(three, { productId: 'prd_nothing' })).rejects.toMatchObject({ code: 'customer_inactive' })
  })
})
