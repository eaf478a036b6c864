import { Client } from 'pg'
import { test } from 'vitest'
import * as v from 'valibot'
import { ApiClient } from '../../src/cli/api-client.ts'
import { GatewayProgram } from '../support/gateway-program.ts'
import { makeGatewayPlace } from '../support/gateway-place.ts'
import { STORES } from '../support/records.ts'
import { until } from '../support/until.ts'

const ADMIN_KEY = 'an-admin-key-of-tests'
const PRODUCT = 'prd_us-local'
const ORDERS = 50
const NUMBERS_EACH = 2
const ALL_ONCE = { ever: 100, live: 100, charges: 100 }

const Orders = v.array(
  v.object({ id: v.string(), externalId: v.string(), state: v.string(), quantityFulfilled: v.number() }),
)
const Services = v.array(v.object({ number: v.string(), orderId: v.string(), state: v.string() }))
const Invoices = v.array(
  v.object({ lines: v.array(v.object({ orderId: v.string() })), total: v.object({ amount: v.string() }) }),
)

// Each waits for the leases of the gateway that was killed to end, meanwhile the other can run.
test.concurrent.for(STORES)(
  'a gateway that is killed in the middle of 50 orders, and started again, finishes each of them once, on %s',
  { timeout: 240_000 },
  async (store, { expect }) => {
    await using place = await makeGatewayPlace(store)
    const env = {
      ...place.env,
      CALLHALF_PORT: '0',
      CALLHALF_ADMIN_KEY: ADMIN_KEY,
      CALLHALF_SANDBOX_CATALOGUE: 'on',
      CALLHALF_SANDBOX_DELAY_MS: '200',
    }
    await using first = await GatewayProgram.start(env)
    const customer = await makeCustomer(asAdmin(first))
    const placed = new Set<string>()
    const killing = until('some orders to be completed, and others under way', async () => {
      if (placed.size < ORDERS / 2) return undefined
      const states = (await readOrders(asAdmin(first), customer)).map(({ state }) => state)
      return states.includes('completed') && states.includes('inProgress')
    }).then(() => first.kill())
    await placeAll(asAdmin(first), { customer, placed })
    await killing
    const survived = placed.size

    await using second = await GatewayProgram.start(env)
    const admin = asAdmin(second)
    const found = await readOrders(admin, customer)
    // What was answered is there; what was not may be there or not, and is asked after before it is placed again.
    for (const { externalId } of found) placed.add(externalId)
    expect(found.length).toBeGreaterThanOrEqual(survived)
    expect(found.some(({ state }) => state !== 'completed')).toBe(true)
    await placeAll(admin, { customer, placed })
    const orders = await until(
      'every order to be completed',
      async () => {
        const all = await readOrders(admin, customer)
        return all.every(({ state }) => state === 'completed') ? all : undefined
      },
      120_000,
    )
    expect(new Set(orders.map(({ externalId }) => externalId)).size).toBe(ORDERS)
    expect(orders.map(({ quantityFulfilled }) => quantityFulfilled)).toEqual(orders.map(() => NUMBERS_EACH))

    const services = await read(admin, `/customers/${customer}/products?limit=500`, Services)
    expect(new Set(services.map(({ number }) => number)).size).toBe(ORDERS * NUMBERS_EACH)
    expect(services).toHaveLength(ORDERS * NUMBERS_EACH)
    const invoices = await read(admin, `/customers/${customer}/invoices?limit=500`, Invoices)
    expect(invoices.map(({ total }) => total.amount)).toEqual(orders.map(() => '2.00'))
    const invoiced = new Set(invoices.map(({ lines }) => lines[0]?.orderId))
    expect(invoiced).toEqual(new Set(orders.map(({ id }) => id)))
    // A file of PGlite is read by one process only: there the gateway's own answers must do.
    const lines = place.databaseUrl === undefined ? ALL_ONCE : await countLines(place.databaseUrl)
    expect(lines).toEqual(ALL_ONCE)
  },
)

const asAdmin = ({ url }: GatewayProgram) => new ApiClient({ baseUrl: url, key: ADMIN_KEY })

async function makeCustomer(admin: ApiClient): Promise<string> {
  const { body } = await admin.call('POST', '/customers', { name: 'Acme', country: 'US', currency: 'USD' })
  return v.parse(v.object({ id: v.string() }), body).id
}

/** Places what has not been placed, a few at a time, until all are or the gateway is gone. */
async function placeAll(
  admin: ApiClient,
  { customer, placed }: { readonly customer: string; readonly placed: Set<string> },
): Promise<void> {
  const waiting = Array.from({ length: ORDERS }, (_, index) => `po-${index}`).filter((each) => !placed.has(each))
  const place = async () => {
    for (let externalId = waiting.shift(); externalId !== undefined; externalId = waiting.shift()) {
      const body = { quantity: NUMBERS_EACH, filter: { countryCode: 'US' }, externalId }
      const path = `/customers/${customer}/orders/${PRODUCT}/numbers/any`
      const answer = await admin.call('POST', path, body).catch(isGone)
      if (answer === undefined) return
      placed.add(externalId)
    }
  }
  await Promise.all(Array.from({ length: 4 }, place))
}

/** A connection that breaks is what is to be survived; an answer that refuses is not. */
function isGone(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && /ECONN|UND_ERR/.test(String(error.code))) return undefined
  throw error
}

const readOrders = (admin: ApiClient, customer: string) =>
  read(admin, `/customers/${customer}/orders?limit=500`, Orders)

async function read<Schema extends v.GenericSchema>(
  admin: ApiClient,
  path: string,
  schema: Schema,
): Promise<v.InferOutput<Schema>> {
  return v.parse(schema, (await admin.call('GET', path)).body)
}

/** The carrier's lines, and what was charged. */
async function countLines(url: string): Promise<unknown> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    const { rows } = await client.query(`select count(*)::integer as ever,
      count(*) filter (where ended_at is null)::integer as live,
      (select count(*)::integer from ledger) as charges from sandbox_lines`)
    return rows[0]
  } finally {
    await client.end()
  }
}
