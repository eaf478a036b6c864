import { spawn, type ChildProcess } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { sql } from 'kysely'
import type { ProvisioningDatabase } from '../src/provisioning/store/database.ts'
import { stockCustomers, stockNumbers } from '../test/support/number-stock.ts'
import { createEngine } from '../test/support/order-rig.ts'
import { startTestPostgres } from '../test/support/postgres.ts'
import { shop } from './double-sale/shop.ts'
import { openStore } from './double-sale/store.ts'
import { conclude, machineLoad, say, type Condition } from './webhooks/rig/figures.ts'
import { readOptions } from './webhooks/rig/options.ts'

/**
 * Many processes with many buyers each want the same numbers, by order, by reservation and by both, while processes
 * are killed with SIGKILL: nothing is sold twice, no hold is left without an owner, and the books add up. The same
 * is asked of buyers in one process on PGlite. With `--naive` buyers look first and write afterwards, with no key to
 * stop them: then numbers must be sold twice, or the program would prove nothing.
 *
 *   node bench/double-sale.ts [--numbers 600] [--processes 4] [--buyers 8] [--kills 12] [--naive]
 */
const options = readOptions({ numbers: 600, processes: 4, buyers: 8, kills: 12, seconds: 120, naive: false })
const PRODUCT = 'prd_sale'
const customers = Array.from({ length: options.processes }, (_, index) => `cus_${index}`)

type Store = Awaited<ReturnType<typeof openStore>>

/** How long a process stands still before it is killed, so that its open transactions can be told from others'. */
const STILL_MS = 60

const conditions: Condition[] = []
await sellOnPostgres()
await sellOnPglite()
conclude(conditions)

async function sellOnPostgres(): Promise<void> {
  const postgres = await startTestPostgres()
  const url = await postgres.createDatabase()
  const store = await openStore(url)
  try {
    await stock(store.database)
    say(
      `PostgreSQL: ${options.processes} processes with ${options.buyers} buyers each, ${options.numbers} numbers; ` +
        `load ${machineLoad()}`,
    )
    const { kills, cut } = await sell(store, url)
    say(`${kills} processes were killed in the middle of ${cut} transactions`)
    await judge('PostgreSQL', store)
    if (options.naive) return
    conditions.push({ what: 'processes were killed within transactions', holds: cut > 0, seen: String(cut) })
  } finally {
    await store.close()
    await postgres.stop()
  }
}

/** All in one process, as PGlite is within one. */
async function sellOnPglite(): Promise<void> {
  const store = await openStore(undefined)
  try {
    await stock(store.database)
    say(`PGlite: ${options.processes} customers with ${options.buyers} buyers each; load ${machineLoad()}`)
    const { buyers, naive: isNaive } = options
    await Promise.all(customers.map((customerId) => shop({ store, customerId, buyers, isNaive })))
    await judge('PGlite', store)
  } finally {
    await store.close()
  }
}

async function stock(database: ProvisioningDatabase): Promise<void> {
  await stockCustomers(database, customers)
  await database.query(async (db) => {
    await sql`
      insert into products (product_id, name, kind, number_type, provider, actions, features, requirements)
      values (${PRODUCT}, 'A number', 'number', 'local', 'sandbox', '["any","reserve"]', '[]', '{}')`.execute(db)
    await sql`insert into product_prices values (${PRODUCT}, 'USD', 1.333333, 0.1)`.execute(db)
    await sql`create table naive_numbers as
      select '+' || (12125550000 + n)::text as e164, false as is_sold from generate_series(1, ${options.numbers}) n`.execute(
      db,
    )
    await sql`create table naive_sales (e164 text, customer_id text)`.execute(db)
  })
  await stockNumbers(database, { start: '+12125550000', count: options.numbers, productId: PRODUCT, areaCode: '212' })
}

/** Runs the buyers until nothing is left, and kills one after the other on the way; each is started again. */
async function sell({ database }: Store, url: string): Promise<{ readonly kills: number; readonly cut: number }> {
  const end = Date.now() + options.seconds * 1_000
  let kills = 0
  let cut = 0
  const shopping = customers.map(async (customerId) => {
    while (Date.now() < end) {
      const child = start(url, customerId)
      const exited = once(child, 'exit')
      const deadline = new AbortController()
      const isKilled = await Promise.race([
        exited.then(() => false),
        delay(kills < options.kills ? 800 + randomInt(1_500) : end - Date.now(), true, { signal: deadline.signal }),
      ])
      if (isKilled) {
        kills += 1
        cut += await killWithin(child, database)
        await exited
        continue
      }
      deadline.abort()
      if (child.exitCode !== 0) throw new Error(`a buyer ended with ${child.exitCode}`)
      return
    }
  })
  await Promise.all(shopping)
  return { kills, cut }
}

/** Kills a process; resolves with how many transactions it had begun and not ended. */
async function killWithin(child: ChildProcess, database: ProvisioningDatabase): Promise<number> {
  child.kill('SIGSTOP')
  await delay(STILL_MS)
  const [row] = await count(
    database,
    `select count(*) as open from pg_stat_activity where state = 'idle in transaction'
      and state_change < clock_timestamp() - interval '${STILL_MS / 2} milliseconds'`,
  )
  child.kill('SIGKILL')
  return row?.['open'] ?? 0
}

function start(url: string, customerId: string): ChildProcess {
  const buyer = join(import.meta.dirname, 'double-sale', 'buyer.ts')
  const mode = options.naive ? 'naive' : 'real'
  return spawn(process.execPath, [buyer, url, customerId, String(options.buyers), mode], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
}

async function judge(name: string, store: Store): Promise<void> {
  const { database } = store
  if (options.naive) {
    const [sales] = await count(database, 'select count(*) as sold, count(distinct e164) as numbers from naive_sales')
    const twice = (sales?.['sold'] ?? 0) - (sales?.['numbers'] ?? 0)
    const what = `${name}: without keys and locks, numbers are sold twice`
    conditions.push({ what, holds: twice > 0, seen: `${twice} times` })
    return
  }
  await finishOrders(store)
  // Holds of those who never came back end by themselves; here their time is over.
  await database.query(async (db) => {
    await sql`update reservation_items set expires_at = now() where state = 'held'`.execute(db)
    await sql`update reservations set expires_at = now() where state = 'active'`.execute(db)
    await sql`update numbers set reserved_until = now() where reserved_until is not null`.execute(db)
  })
  const [row] = await count(
    database,
    `select
      (select count(*) from services where state <> 'ended') as services,
      (select count(*) from (select e164 from order_items where state = 'completed' group by e164 having count(*) > 1) t) as twice,
      (select count(*) from (select e164 from sandbox_lines where ended_at is null group by e164 having count(*) > 1) t) as lines_twice,
      (select count(*) from numbers where state = 'in_service' and not exists
        (select from services where services.e164 = numbers.e164 and state <> 'ended')) as in_service_for_nobody,
      (select count(*) from numbers where state = 'reserved' and order_id is null and (reserved_until is null or not exists
        (select from reservation_items i where i.e164 = numbers.e164 and i.state = 'held'))) as orphans,
      (select count(*) from numbers where state = 'reserved' and order_id is not null and not exists
        (select from orders where orders.order_id = numbers.order_id and completed_at is null)) as order_orphans,
      (select count(*) from orders where completed_at is null) as open,
      (select count(*) from order_items where state = 'completed') as completed,
      (select count(*) from ledger) as charges,
      (select (coalesce(sum(amount), 0) * 1000000)::bigint from ledger) as charged,
      (select (coalesce(sum(total), 0) * 1000000)::bigint from invoices) as invoiced`,
  )
  const at = (field: string) => row?.[field] ?? Number.NaN
  const none = (what: string, field: string) => ({ what, holds: at(field) === 0, seen: String(at(field)) })
  const judged: readonly Condition[] = [
    none('no number is sold twice', 'twice'),
    none('the carrier has no number twice', 'lines_twice'),
    none('no number is in service for nobody', 'in_service_for_nobody'),
    none('no number is held without a hold', 'orphans'),
    none('no number is kept for an order that is over', 'order_orphans'),
    none('every order is final', 'open'),
    {
      what: 'numbers are sold',
      holds: at('services') > options.numbers / 2,
      seen: `${at('services')} of ${options.numbers}`,
    },
    {
      what: 'one charge for each number sold',
      holds: at('charges') === at('completed'),
      seen: `${at('charges')} of ${at('completed')}`,
    },
    {
      what: 'charges, invoices and prices are the same to the last digit',
      holds: at('charged') === at('invoiced') && at('charged') === at('completed') * 1_333_333,
      seen: `${at('charged')} / ${at('invoiced')} millionths`,
    },
  ]
  conditions.push(...judged.map((condition) => ({ ...condition, what: `${name}: ${condition.what}` })))
}

/** Carries out what was ordered, as the gateway would. */
async function finishOrders({ database, sandbox }: Store): Promise<void> {
  const { fulfiller } = createEngine(database, sandbox, { callTimeoutMs: 10_000 })
  const end = Date.now() + options.seconds * 1_000
  while (Date.now() < end) {
    await fulfiller.runDue()
    const [row] = await count(database, 'select count(*) as open from orders where completed_at is null')
    if (row?.['open'] === 0) return
    await delay(50)
  }
}

async function count(
  database: ProvisioningDatabase,
  query: string,
): Promise<readonly Readonly<Record<string, number>>[]> {
  const { rows } = await database.query((db) => sql.raw<Readonly<Record<string, number>>>(query).execute(db))
  return rows
}
