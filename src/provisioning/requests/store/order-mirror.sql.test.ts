import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { disagreements } from '../../../../test/support/compared-faces.ts'
import { createEngine, openShop, orderOf, workOff, type OrderShop } from '../../../../test/support/order-rig.ts'
import { startTestProvisioning, type TestProvisioning } from '../../../../test/support/provisioning.ts'
import { STORES } from '../../../../test/support/records.ts'
import { ScriptedProvider, type Fault } from '../../../../test/support/scripted-provider.ts'
import type { OrderTerms, PlaceOrder } from '../../model/order-terms.ts'
import { Environments } from './environments.ts'
import { Safeguards } from './safeguards.ts'

const three: OrderTerms = { action: 'any', quantity: 3, filter: {} }

describe.each(STORES)('what the IDI API sees of orders on %s', (store) => {
  let rig: TestProvisioning
  let scenes = 0
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
  })
  afterAll(() => rig.stop())

  const rows = async <Row>(statement: ReturnType<typeof sql<Row>>): Promise<readonly Row[]> =>
    (await rig.database.query((db) => statement.execute(db))).rows

  /** A customer with a shop and a carrier of its own, in an environment unless said otherwise. */
  async function open({ script = [], isLinked = true }: { script?: readonly Fault[]; isLinked?: boolean } = {}) {
    scenes += 1
    const prefix = `+1213555${String(scenes).padStart(2, '0')}`
    const provider = new ScriptedProvider(`carrier-${scenes}`, script, { batchMax: 2 })
    const shop = await openShop(rig.database, { name: `m${scenes}`, start: `${prefix}00`, provider: provider.id })
    const engine = createEngine(rig.database, provider)
    const environments = new Environments(rig.database)
    const environment = await environments.put({ name: `Mirror-${scenes}`, appId: shop.appId })
    const account = { name: environment.name, accountNumber: 7, customerId: shop.customerId }
    if (isLinked) await environments.putAccount(account)
    return {
      ...engine,
      shop,
      provider,
      environmentId: environment.environmentId,
      first: `${prefix}00`,
      link: () => environments.putAccount(account),
      place: (terms: OrderTerms, more: Partial<PlaceOrder> = {}) => engine.ordering.place(orderOf(shop, terms, more)),
      workOff: (orderId: string) => workOff({ database: rig.database, fulfiller: engine.fulfiller }, orderId),
    }
  }
  const requestsOf = (orderId: string) =>
    rows(sql<Record<string, unknown>>`
      select r.internal_id, r.object_code, s.name as status, t.name as transition, r.status_note, r.account_number,
        r.account_name, r.is_read_only, r.completed_at is not null as is_over, p.name as profile, r.created_by
      from provisioning_requests r join order_items i on i.item_id = r.order_item_id
        join request_statuses s using (status_id) join object_transitions t using (transition_id)
        join profiles p using (profile_id)
      where i.order_id = ${orderId} order by r.request_id`)
  const statusesOf = async (orderId: string) => (await requestsOf(orderId)).map(({ status }) => status)
  const batchOf = async (orderId: string) =>
    (
      await rows(sql<Record<string, unknown>>`
        select total_object_count, is_open, completed_at is not null as is_over,
          (select count(*) from provisioning_requests r where r.batch_id = b.batch_id) as members
        from request_batches b where order_id = ${orderId}`)
    )[0]
  const objectOf = async (shop: OrderShop, e164: string, code = shop.numbers) => {
    const [object] = await rows(sql<{ object_id: number; status: string; ended: boolean }>`
      select o.object_id, s.name as status, o.ended_at is not null as ended
      from provisioned_objects o join object_statuses s using (status_id)
      where o.code = ${code} and o.internal_id = ${e164}`)
    const items = await rows(sql<{ key_name: string; value: string }>`
      select key_name, value from provisioned_object_items where object_id = ${object?.object_id ?? 0}`)
    return { ...object, items: Object.fromEntries(items.map(({ key_name, value }) => [key_name, value])) }
  }

  test('an order is a batch, its items are read-only requests, and its services are objects', async () => {
    const scene = await open()
    const placed = await scene.place(three)
    expect(await requestsOf(placed.orderId)).toEqual(
      placed.items.map(({ number }) => ({
        internal_id: number,
        object_code: scene.shop.numbers,
        status: 'Submitted',
        transition: 'Activate',
        status_note: null,
        account_number: 7,
        account_name: scene.shop.customerId.slice('cus_'.length),
        is_read_only: true,
        is_over: false,
        profile: 'Orders',
        created_by: 'order',
      })),
    )
    expect(await batchOf(placed.orderId)).toEqual({ total_object_count: 3, is_open: true, is_over: false, members: 3 })
    expect(await objectOf(scene.shop, scene.first)).toEqual({ items: {} })

    await scene.workOff(placed.orderId)
    expect(await statusesOf(placed.orderId)).toEqual(['Complete', 'Complete', 'Complete'])
    expect(await batchOf(placed.orderId)).toEqual({ total_object_count: 3, is_open: false, is_over: true, members: 3 })
    expect(await objectOf(scene.shop, scene.first)).toMatchObject({
      status: 'Active',
      ended: false,
      items: {
        Number: scene.first,
        Product: scene.shop.numbers,
        State: 'active',
        Customer: scene.shop.customerId,
        Order: placed.orderId,
      },
    })
  })

  test('a completed item of all or nothing is in progress until its order is final', async () => {
    const scene = await open({ script: ['told twice', 'throttle'] })
    const placed = await scene.place(three)
    await scene.fulfiller.runDue()
    const { items } = await scene.orders.find(scene.shop.customerId, placed.orderId)
    expect(items.map(({ state }) => state)).toEqual(expect.arrayContaining(['completed', 'inProgress']))
    expect(await statusesOf(placed.orderId)).toEqual(['In Progress', 'In Progress', 'In Progress'])
    await scene.workOff(placed.orderId)
    expect(await statusesOf(placed.orderId)).toEqual(['Complete', 'Complete', 'Complete'])
  })

  test('a completed item that is of use by itself is complete at once', async () => {
    const scene = await open({ script: ['told twice', 'throttle'] })
    const placed = await scene.place(three, { partialAllowed: true })
    await scene.fulfiller.runDue()
    expect(await statusesOf(placed.orderId)).toEqual(expect.arrayContaining(['Complete', 'In Progress']))
    expect(await batchOf(placed.orderId)).toMatchObject({ is_open: true })
  })

  test('what fails is in error with its reason, what is given back is cancelled, and the batch is closed', async () => {
    const scene = await open()
    const placed = await scene.place(three)
    // In one request with the first; the third is in another one, which may be sent before or not at all.
    scene.provider.rejectNext(placed.items[1]?.number)
    const seen = new Set<unknown>()
    for (let round = 0; round < 6; round += 1) {
      await scene.fulfiller.runDue()
      for (const status of await statusesOf(placed.orderId)) seen.add(status)
    }
    await scene.workOff(placed.orderId)
    expect(seen).not.toContain('Complete')
    expect(await requestsOf(placed.orderId)).toMatchObject([
      { status: 'Cancelled', status_note: 'compensated: given back, because not all numbers could be done' },
      { status: 'In Error', status_note: 'no_inventory: it did not work', is_over: true },
      { status: 'Cancelled' },
    ])
    expect(await batchOf(placed.orderId)).toMatchObject({ is_open: false, members: 3 })
    expect(await objectOf(scene.shop, scene.first)).toEqual({ items: {} })
  })

  test('what is changed and ended is so there as well, and what is no more is no item', async () => {
    const scene = await open()
    const { shop, first } = scene
    const begun = await scene.place({ action: 'range', start: first, size: 1 })
    await scene.workOff(begun.orderId)
    const changes = { features: ['sms', 'voice'], callerName: 'Acme', externalId: 'x-1' }
    const changed = await scene.place({ action: 'change', numbers: [first], changes })
    await scene.workOff(changed.orderId)
    expect(await requestsOf(changed.orderId)).toMatchObject([{ transition: 'Change', status: 'Complete' }])
    expect(await objectOf(shop, first)).toMatchObject({
      items: { Features: 'sms,voice', CallerName: 'Acme', ExternalID: 'x-1', Order: begun.orderId },
    })
    const bare = await scene.place({ action: 'change', numbers: [first], changes: { features: [] } })
    await scene.workOff(bare.orderId)
    expect((await objectOf(shop, first)).items).not.toHaveProperty('Features')

    const ended = await scene.place({ action: 'delete', numbers: [first], reason: 'moved' })
    await scene.workOff(ended.orderId)
    expect(await requestsOf(ended.orderId)).toMatchObject([{ transition: 'Disconnect', status: 'Complete' }])
    expect(await objectOf(shop, first)).toMatchObject({
      status: 'Disconnected',
      ended: true,
      items: { State: 'ended' },
    })
  })

  test('an order that is held is not let go by a safeguard, which did not hold it', async () => {
    const scene = await open({ script: Array.from({ length: 100 }, () => 'throttle' as const) })
    const placed = await scene.place({ action: 'range', start: scene.first, size: 1 })
    await scene.workOff(placed.orderId)
    expect(await statusesOf(placed.orderId)).toEqual(['Held'])
    const safeguards = new Safeguards({ database: rig.database, secret: Buffer.alloc(32) }, () => undefined)
    const by = { environmentId: scene.environmentId, actor: 'key:test' }
    await safeguards.update({ ...by, changes: [{ internalId: scene.first, isAllowed: true }] })
    await safeguards.set({ ...by, isEnabled: false })
    const due = await rows(sql`select request_id from provisioning_requests
      where environment_id = ${scene.environmentId} and due_at is not null`)
    expect(due).toEqual([])
  })

  test('an order that is cancelled and one that is held are seen to be', async () => {
    const scene = await open()
    const cancelled = await scene.place(three)
    await scene.ordering.cancel({ customerId: scene.shop.customerId, orderId: cancelled.orderId, actor: 'key:test' })
    expect(await statusesOf(cancelled.orderId)).toEqual(['Cancelled', 'Cancelled', 'Cancelled'])
    expect(await batchOf(cancelled.orderId)).toMatchObject({ is_open: false })

    const held = await open({ script: Array.from({ length: 100 }, () => 'throttle' as const) })
    const placed = await held.place({ action: 'range', start: held.first, size: 1 })
    await held.workOff(placed.orderId)
    expect(await statusesOf(placed.orderId)).toEqual(['Held'])
    await held.ordering.resume({ orderId: placed.orderId, actor: 'admin', resumption: 'failed' })
    expect(await requestsOf(placed.orderId)).toMatchObject([
      { status: 'In Error', status_note: 'operator: given up by an operator' },
    ])
  })

  const detailsOf = (orderId: string) =>
    rows(sql<{ internal_id: string; content: string; is_response: boolean; is_named: boolean }>`
      select r.internal_id, c.content, d.is_response, d.provider_action_id is not null as is_named
      from call_details d join provisioning_requests r using (request_id) join provider_calls c using (call_id)
      where c.order_id = ${orderId} order by r.internal_id, d.call_detail_id`)

  test('what the carrier was sent is in the details of the requests that it was about', async () => {
    const scene = await open()
    const { rows: providers } = await rig.database.query((db) =>
      sql<{ provider_id: number }>`insert into action_providers (code, name, description)
        values (${scene.provider.id}, ${scene.provider.id}, '') returning provider_id`.execute(db),
    )
    await rig.database.query((db) =>
      sql`insert into provider_actions (provider_id, operation, code, name, description)
        values (${providers[0]?.provider_id}, 'begin', ${scene.provider.id}, 'Begin', '')`.execute(db),
    )
    const placed = await scene.place(three)
    await scene.workOff(placed.orderId)
    const numbers = placed.items.map(({ number }) => number)
    const common = { is_response: false, is_named: true }
    expect(await detailsOf(placed.orderId)).toEqual([
      { internal_id: numbers[0], content: 'begin 2', ...common },
      { internal_id: numbers[1], content: 'begin 2', ...common },
      { internal_id: numbers[2], content: 'begin 1', ...common },
    ])
  })

  test('a question that is asked again and again is one detail, and each new answer another', async () => {
    const scene = await open()
    const placed = await scene.place({ action: 'range', start: scene.first, size: 1 })
    await scene.fulfiller.runDue()
    const [fulfilment] = await rows(sql<{ fulfilment_id: string }>`
      select fulfilment_id from fulfilments where order_id = ${placed.orderId}`)
    for (const content of ['waits', 'waits', 'waits', 'done', 'done']) {
      await rig.database.query((db) =>
        db
          .insertInto('provider_calls')
          .values({
            order_id: placed.orderId,
            fulfilment_id: fulfilment?.fulfilment_id ?? '',
            provider: 'carrier',
            action: 'poll',
            is_response: true,
            correlation_id: 'c',
            attempt: 1,
            content,
          })
          .execute(),
      )
    }
    const polled = (await detailsOf(placed.orderId)).map(({ content }) => content)
    expect(polled).toEqual(['begin 1', 'waits', 'done'])
  })

  test('what a customer had before it was linked is there afterwards, as if it had been linked all along', async () => {
    const [before, after] = [await open(), await open({ isLinked: false })]
    for (const scene of [before, after]) {
      const done = await scene.place({ action: 'range', start: scene.first, size: 10 })
      await scene.workOff(done.orderId)
      const ended = await scene.place({ action: 'delete', numbers: [scene.first], reason: 'moved' })
      await scene.workOff(ended.orderId)
      const failed = await scene.place(three)
      scene.provider.rejectNext(failed.items[0]?.number)
      await scene.workOff(failed.orderId)
      await scene.place(three)
    }
    expect(await picture(after.environmentId, after.first)).toEqual({ requests: [], objects: [], batches: [] })
    await after.link()
    await after.link()
    const seen = await picture(after.environmentId, after.first)
    expect(seen).toEqual(await picture(before.environmentId, before.first))
    expect(seen.requests).toHaveLength(17)
    expect(seen.objects).toHaveLength(10)
  })

  /** All that is seen of a customer, without what is of this customer alone. */
  async function picture(environmentId: number, first: string) {
    const prefix = first.slice(0, -2)
    const requests = await rows(sql`
      select replace(r.internal_id, ${prefix}, '') as number, status_id, status_note, transition_id, is_read_only,
        (select count(*) from request_links l where l.request_id = r.request_id) as links,
        (select array_agg(c.content order by c.call_id) from call_details d join provider_calls c using (call_id)
          where d.request_id = r.request_id and c.action = 'end') as calls
      from provisioning_requests r where environment_id = ${environmentId} order by r.created_at, r.internal_id`)
    const objects = await rows(sql`
      select replace(o.internal_id, ${prefix}, '') as number, status_id, (select array_agg(key_name order by key_name)
        from provisioned_object_items i where i.object_id = o.object_id) as keys
      from provisioned_objects o where environment_id = ${environmentId} order by o.internal_id`)
    const batches = await rows(sql`
      select total_object_count, is_open, completed_at is not null as is_over from request_batches
      where environment_id = ${environmentId} order by created_at`)
    return { requests, objects, batches }
  }

  test(
    'a customer that is linked while its orders are carried out is seen as it is',
    { timeout: 120_000 },
    async () => {
      for (let round = 0; round < 5; round += 1) {
        const scene = await open({ script: ['told twice', 'throttle', 'accepted', 'some rejected'], isLinked: false })
        const { shop, first } = scene
        const numbers = Array.from({ length: 24 }, (_, index) => `+${BigInt(first.slice(1)) + BigInt(index)}`)
        const compared = {
          environmentId: scene.environmentId,
          customerIds: [shop.customerId],
          numbers,
          numberProduct: shop.numbers,
          textProduct: shop.messaging,
        }
        const begin = (index: number) =>
          scene.place(
            { action: 'range', start: numbers[index * 4] ?? '', size: 4 },
            { partialAllowed: index % 2 === 0 },
          )
        const orders = [await begin(0), await begin(1), await begin(2)]
        const work = (async () => {
          for (const { orderId } of orders) await scene.workOff(orderId)
          for (const { orderId } of [await begin(3), await begin(4)]) await scene.workOff(orderId)
        })()
        await scene.link()
        expect(await disagreements(rig.database, compared)).toEqual([])
        await work
        expect(await disagreements(rig.database, compared)).toEqual([])
      }
    },
  )

  test('a number that goes to another account takes nothing along, and its old service is no more', async () => {
    const scene = await open()
    const { shop, first, environmentId } = scene
    const begun = await scene.place({ action: 'range', start: first, size: 1 })
    await scene.workOff(begun.orderId)
    await rig.database.query((db) =>
      sql`insert into provisioned_object_items (object_id, environment_id, code, internal_id, key_name, value)
        select object_id, environment_id, code, internal_id, 'Contact', 'Ada' from provisioned_objects
        where environment_id = ${environmentId}`.execute(db),
    )
    const other = `${shop.customerId}-2`
    await rig.database.query((db) =>
      sql`insert into customers (customer_id, app_id, name, status, country, currency, metadata)
        values (${other}, ${shop.appId}, 'Other', 'active', 'US', 'USD', '{}')`.execute(db),
    )
    await new Environments(rig.database).putAccount({
      name: `Mirror-${scenes}`,
      accountNumber: 8,
      customerId: other,
    })
    const ended = await scene.place({ action: 'delete', numbers: [first], reason: 'moved' })
    await scene.workOff(ended.orderId)
    expect((await objectOf(shop, first)).items).toMatchObject({ Contact: 'Ada', State: 'ended' })
    await rig.database.query((db) =>
      sql`update numbers set state = 'available', aging_until = null where e164 = ${first}`.execute(db),
    )
    const again = await scene.place({ action: 'range', start: first, size: 1 }, { customerId: other })
    await scene.workOff(again.orderId)
    const object = await objectOf(shop, first)
    expect(object).toMatchObject({ status: 'Active', items: { State: 'active', Customer: other } })
    expect(object.items).not.toHaveProperty('Contact')

    // Whatever is written of the old service, the object is the new one's.
    await rig.database.query((db) =>
      sql`update services set updated_at = now() where e164 = ${first} and state = 'ended'`.execute(db),
    )
    expect(await objectOf(shop, first)).toEqual(object)
  })

  test('a product has a definition in each environment, whichever of them was there first', async () => {
    const earlier = await open()
    const later = await open()
    const definitions = await rows(sql<{ code: string; keys: readonly string[] }>`
      select code, array_agg(d.name order by sequence_number) as keys
      from object_definitions o join data_definitions d using (definition_id)
      where environment_id = ${earlier.environmentId} and product_id in (${earlier.shop.numbers}, ${later.shop.messaging})
        and d.is_built_in
      group by code order by code`)
    const { rows: keys } = await rig.database.query((db) =>
      sql<{ name: string }>`select name from mirrored_keys order by sequence_number`.execute(db),
    )
    const all = keys.map(({ name }) => name)
    expect(definitions).toEqual([
      { code: earlier.shop.numbers, keys: all },
      { code: later.shop.messaging, keys: all },
    ])
    const { rows: shown } = await rig.database.query((db) =>
      sql<{ key_name: string }>`select distinct key_name from mirrored_service_items`.execute(db),
    )
    expect(shown.map(({ key_name }) => key_name).toSorted()).toEqual(all.toSorted())
  })

  test('orders of a customer in no environment leave no trace', async () => {
    const scene = await open({ isLinked: false })
    const placed = await scene.place(three)
    await scene.workOff(placed.orderId)
    expect(await requestsOf(placed.orderId)).toEqual([])
    expect(await batchOf(placed.orderId)).toBeUndefined()
    expect(await objectOf(scene.shop, scene.first)).toEqual({ items: {} })
  })

  test('orders that requests place are no requests of their own', async () => {
    const scene = await open()
    const placed = await scene.place(three, { face: 'idi' })
    await scene.workOff(placed.orderId)
    expect(await requestsOf(placed.orderId)).toEqual([])
    expect(await objectOf(scene.shop, scene.first)).toMatchObject({ status: 'Active', items: { State: 'active' } })
  })
})
