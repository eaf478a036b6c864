import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { stockNumbers } from '../../../../test/support/number-stock.ts'
import { createEngine, openShop, orderOf, workOff } from '../../../../test/support/order-rig.ts'
import { startTestProvisioning, type TestProvisioning } from '../../../../test/support/provisioning.ts'
import { STORES } from '../../../../test/support/records.ts'
import { CountedDatabase } from '../../../../test/support/rows-read.ts'
import { ScriptedProvider } from '../../../../test/support/scripted-provider.ts'
import { parseQuery } from '../../odata/query.ts'
import { Environments } from './environments.ts'
import { ProvisionedObjects } from './provisioned-objects.ts'

/** So that no statement takes too long on a busy machine. */
const PARTS = 10

describe.each(STORES)('what the IDI API costs on %s', (store) => {
  let rig: TestProvisioning
  let shops = 0
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
    await keepStatistics()
  })
  afterAll(() => rig.stop())

  /**
   * PostgreSQL looks at the tables anew whenever it likes, and reads all of one that it has found to be tiny instead of
   * following its index: as fast, but more rows.
   */
  async function keepStatistics(): Promise<void> {
    await rig.database.query((db) =>
      sql`do $$ declare name text; begin
        for name in select relname from pg_stat_user_tables loop
          execute format('alter table %I set (autovacuum_enabled = false)', name);
        end loop;
      end $$`.execute(db),
    )
  }

  /** How many rows are read for an order of so many numbers, from its placing to its completion. */
  async function readsOfOrder(size: number, isLinked: boolean): Promise<CountedDatabase> {
    shops += 1
    const start = `+1305${shops}000000`
    const provider = new ScriptedProvider(`cost-${shops}`, [], { batchMax: 500 })
    const shop = await openShop(rig.database, {
      name: `cost${shops}`,
      start: `+13069990${shops}00`,
      provider: provider.id,
    })
    await stockNumbers(rig.database, { start, count: size, productId: shop.numbers })
    if (isLinked) {
      const environments = new Environments(rig.database)
      await environments.put({ name: `Cost-${shops}`, appId: shop.appId })
      await environments.putAccount({ name: `Cost-${shops}`, accountNumber: 1, customerId: shop.customerId })
    }
    const database = new CountedDatabase(rig.database)
    const engine = createEngine(database, provider)
    const terms = { action: 'any' as const, quantity: size, filter: {} }
    const { orderId } = await engine.ordering.place(orderOf(shop, terms, { partialAllowed: true }))
    await workOff({ database: rig.database, fulfiller: engine.fulfiller }, orderId)
    const order = await engine.orders.find(shop.customerId, orderId)
    expect(order).toMatchObject({ state: 'completed', quantityFulfilled: size })
    return database
  }

  const MIRROR = [
    'provisioning_requests',
    'request_batches',
    'provisioned_objects',
    'provisioned_object_items',
  ] as const
  const LOOKED_UP = ['services', 'orders', 'environment_accounts', 'fulfilments'] as const

  /** What is read for each number of an order because its customer is in an environment. */
  async function perNumber(size: number): Promise<readonly number[]> {
    const [plain, linked] = [await readsOfOrder(size, false), await readsOfOrder(size, true)]
    // One look for a statement, which finds nothing.
    for (const table of [...MIRROR, 'environment_accounts']) expect([table, plain.read(table)]).toEqual([table, 0])
    return [...MIRROR, ...LOOKED_UP].map((table) => (linked.read(table) - plain.read(table)) / size)
  }

  test('an order costs as much for each of its numbers, however large it is', { timeout: 240_000 }, async () => {
    const small = await perNumber(1_000)
    const large = await perNumber(5_000)
    // One row more or less for each, as the plan has it; where something is read anew for each part of the order, it
    // is five times as much.
    for (const [index, reads] of large.entries()) expect(reads).toBeLessThan((small[index] ?? 0) * 1.3 + 0.1)
    // What its own items are read for is hidden behind what the engine reads them for.
    const counted = new CountedDatabase(rig.database)
    await counted.query((db) =>
      sql`select mirror_items(array(select item_id from order_items order by item_id desc limit 500), false)`.execute(
        db,
      ),
    )
    expect(counted.read('order_items')).toBeLessThan(7 * 500)
    expect(counted.read('provisioning_requests')).toBeLessThan(4 * 500)
  })

  test('a search reads what it answers with, and not the other 120,000 items', { timeout: 120_000 }, async () => {
    const environmentId = await stockObjects(30_000)
    const counted = new CountedDatabase(rig.database)
    const objects = new ProvisionedObjects({ database: counted, secret: Buffer.alloc(32, 7) })
    const readsOf = async (work: () => Promise<{ readonly rows: readonly unknown[] }>, found: number) => {
      counted.reads.clear()
      expect((await work()).rows).toHaveLength(found)
      return counted.total
    }
    const expanded = (options: Readonly<Record<string, string>>) => () =>
      objects.searchExpanded(environmentId, parseQuery(options))
    expect(await readsOf(expanded({}), 100)).toBeLessThan(1_000)
    const { skipToken = '' } = await objects.searchExpanded(environmentId, parseQuery({ $orderby: 'internalID desc' }))
    expect(await readsOf(expanded({ $orderby: 'internalID desc', $skiptoken: skipToken }), 100)).toBeLessThan(1_000)
    expect(await readsOf(expanded({ $filter: "internalID eq 'object-2500'" }), 4)).toBeLessThan(100)
    expect(await readsOf(expanded({ $filter: "code eq 'many' and internalID eq 'object-2500'" }), 4)).toBeLessThan(100)
    // One value that all have, and one that a single object has.
    expect(await readsOf(expanded({ $filter: "name eq 'State' and value eq 'active'" }), 100)).toBeLessThan(1_000)
    expect(await readsOf(expanded({ $filter: "name eq 'Number' and value eq 'number 2500'" }), 1)).toBeLessThan(100)
    const named = [2, 29_999].map((n) => ({ code: 'many', internalId: `object-${n}` }))
    const ofNamed = () =>
      objects.search(environmentId, { objects: named, query: parseQuery({ $orderby: 'value desc' }) })
    expect(await readsOf(ofNamed, 8)).toBeLessThan(100)
  })

  /** An environment of its own with so many objects of four items. */
  async function stockObjects(count: number): Promise<number> {
    const environment = await new Environments(rig.database).put({ name: `Many-${count}` })
    const { environmentId } = environment
    const statements = [
      sql`insert into object_definitions (environment_id, code, name, created_by, modified_by)
        values (${environmentId}, 'many', 'many', 'test', 'test')`,
      sql`insert into data_definitions (definition_id, name, data_type_id, is_required, is_visible, sequence_number)
        select definition_id, keys.key, 3, false, true, 1 from object_definitions,
          unnest(array['State', 'Number', 'Note', 'Kind']) as keys (key)
        where environment_id = ${environmentId} and code = 'many'`,
      sql`insert into provisioned_objects (environment_id, code, internal_id, status_id)
        select ${environmentId}, 'many', 'object-' || n, 1 from generate_series(1, ${count}::integer) as n`,
      ...Array.from(
        { length: PARTS },
        (_, part) => sql`
          insert into provisioned_object_items (object_id, environment_id, code, internal_id, key_name, value)
        select object_id, environment_id, code, internal_id, key_name, value from provisioned_objects,
          lateral (values ('State', 'active'), ('Number', 'number ' || substr(internal_id, 8)), ('Note', repeat('x', 300)),
            ('Kind', 'kind ' || object_id % 7)) as items (key_name, value)
        where environment_id = ${environmentId} and object_id % ${sql.lit(PARTS)} = ${part}`,
      ),
      sql`analyze provisioned_objects, provisioned_object_items`,
    ]
    for (const statement of statements) await rig.database.query((db) => statement.execute(db))
    return environmentId
  }
})
