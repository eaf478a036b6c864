import { sql } from 'kysely'
import type { ProvisioningDatabase, Queries } from '../../store/database.ts'

/** The tables whose triggers look for the customer's account. */
const MIRRORED_TABLES = ['orders', 'order_items', 'services', 'provider_calls'] as const

/** How many rows are read for one statement; it takes well below a second, also on PGlite. */
const ORDERS_AT_ONCE = 50
const ITEMS_AT_ONCE = 1_000
const SERVICES_AT_ONCE = 500
/** Each is a detail of as many requests as its fulfilment has numbers. */
const CALLS_AT_ONCE = 20

/**
 * Shows in its environment what a customer had before its account was linked, which must be committed: orders, what
 * providers were sent for them, and services. Nothing is locked for longer than a statement. What changes from the
 * linking on is shown by the triggers of migration 0007, and what they have written is left alone, so each row is as
 * it was before the linking or as it is. It is done in many statements of a bounded size, and may be repeated. Rejects with
 * `store_unavailable` when transactions that began before the linking do not end within a statement's time.
 */
export async function mirrorPast(database: ProvisioningDatabase, customerId: string): Promise<void> {
  await awaitOlderWriters(database)
  for (let after: readonly string[] = ['']; after.length > 0;) {
    after = await nextIds(database, { table: 'orders', id: 'order_id', customerId, after, limit: ORDERS_AT_ONCE })
    await mirrorOrders(database, after)
  }
  for (let after: readonly string[] = ['']; after.length > 0;) {
    after = await nextIds(database, { table: 'services', id: 'service_id', customerId, after, limit: SERVICES_AT_ONCE })
    await database.query((db) => sql`select mirror_services(${[...after]}::text[], true)`.execute(db))
  }
}

/**
 * Whoever wrote before the account was there has not told its triggers of it: a lock that no writer bears is had
 * when the last of them has ended, and given back at once.
 */
async function awaitOlderWriters(database: ProvisioningDatabase): Promise<void> {
  for (const table of MIRRORED_TABLES) {
    await database.transaction((tx) => sql`lock table ${sql.table(table)} in share mode`.execute(tx))
  }
}

async function mirrorOrders(database: ProvisioningDatabase, orderIds: readonly string[]): Promise<void> {
  const named = sql`order_id = any(${[...orderIds]}::text[])`
  const items = await database.query((db) =>
    sql<Item>`select item_id, order_id from order_items where ${named} order by order_id, e164`.execute(db),
  )
  for (const chunk of chunks(items.rows, ITEMS_AT_ONCE)) {
    await database.transaction((tx) => mirrorItems(tx, chunk))
  }
  const calls = await database.query((db) =>
    sql<{ call_id: number }>`select call_id from provider_calls where ${named} order by call_id`.execute(db),
  )
  for (const ids of chunks(calls.rows, CALLS_AT_ONCE)) {
    const callIds = ids.map((row) => row.call_id)
    await database.query((db) => sql`select mirror_calls(${callIds}::bigint[])`.execute(db))
  }
}

type Item = { readonly item_id: string; readonly order_id: string }

/**
 * A batch refers to its order, so the order is locked sooner or later; whoever moves the order on has it locked
 * already, and waits for the batch. Locked first, it is waited for with nothing in hand.
 */
async function mirrorItems(tx: Queries, items: readonly Item[]): Promise<void> {
  const orderIds = [...new Set(items.map((item) => item.order_id))]
  const itemIds = items.map((item) => item.item_id)
  await sql`select from orders where order_id = any(${orderIds}::text[]) order by order_id for key share`.execute(tx)
  await sql`select mirror_items(${itemIds}::text[], true)`.execute(tx)
}

/** The ids that follow the last one, of the customer's rows. */
async function nextIds(
  database: ProvisioningDatabase,
  rows: {
    readonly table: 'orders' | 'services'
    readonly id: string
    readonly customerId: string
    readonly after: readonly string[]
    readonly limit: number
  },
): Promise<readonly string[]> {
  const id = sql.ref(rows.id)
  const found = await database.query((db) =>
    sql<{ id: string }>`
      select ${id} as id from ${sql.table(rows.table)}
      where customer_id = ${rows.customerId} and ${id} > ${rows.after.at(-1) ?? ''}
      order by ${id} limit ${rows.limit}::integer`.execute(db),
  )
  return found.rows.map((row) => row.id)
}

const chunks = <Row>(rows: readonly Row[], size: number): readonly (readonly Row[])[] =>
  Array.from({ length: Math.ceil(rows.length / size) }, (_, index) => rows.slice(index * size, (index + 1) * size))
