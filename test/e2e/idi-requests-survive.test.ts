import { test } from 'vitest'
import * as v from 'valibot'
import { ApiClient } from '../../src/cli/api-client.ts'
import { GatewayProgram } from '../support/gateway-program.ts'
import { makeGatewayPlace } from '../support/gateway-place.ts'
import { STORES } from '../support/records.ts'
import { until } from '../support/until.ts'

const ADMIN_KEY = 'an-admin-key-of-tests'
const API = '/ProvisioningManagement/2X/survive/api'
const REQUESTS = 30

const Row = v.record(v.string(), v.unknown())
const Page = v.object({ value: v.array(Row) })
const Orders = v.array(v.object({ action: v.string(), state: v.string() }))

// Each waits for the leases of the gateway that was killed to end, meanwhile the other can run.
test.concurrent.for(STORES)(
  'a gateway that is killed while it runs 30 provisioning requests of two steps finishes each step once, on %s',
  { timeout: 240_000 },
  async (store, { expect }) => {
    await using place = await makeGatewayPlace(store)
    const env = {
      ...place.env,
      CALLHALF_PORT: '0',
      CALLHALF_ADMIN_KEY: ADMIN_KEY,
      CALLHALF_SANDBOX_CATALOGUE: 'on',
      CALLHALF_SANDBOX_DELAY_MS: '100',
    }
    await using first = await GatewayProgram.start(env)
    const customer = await submitAll(asAdmin(first))
    await until('some requests to be complete, and others under way', async () => {
      const statuses = await statusesOf(asAdmin(first))
      return statuses.includes('Complete') && statuses.includes('In Progress') ? true : undefined
    })
    await first.kill()

    await using second = await GatewayProgram.start(env)
    const admin = asAdmin(second)
    const found = await statusesOf(admin)
    expect(found).toHaveLength(REQUESTS)
    expect(found.some((status) => status !== 'Complete')).toBe(true)
    await until(
      'every request to be complete',
      async () => ((await statusesOf(admin)).every((status) => status === 'Complete') ? true : undefined),
      120_000,
    )
    const orders = v.parse(Orders, (await admin.call('GET', `/customers/${customer}/orders?limit=500`)).body)
    const count = (action: string) => orders.filter((order) => order.action === action).length
    expect(orders.every(({ state }) => state === 'completed')).toBe(true)
    expect([count('any'), count('add')]).toEqual([REQUESTS, REQUESTS])
  },
)

const asAdmin = ({ url }: GatewayProgram) => new ApiClient({ baseUrl: url, key: ADMIN_KEY })

/** Makes a customer, a profile that begins service on any number and puts text on it, and the requests. */
async function submitAll(admin: ApiClient): Promise<string> {
  const make = async (method: 'POST' | 'PUT', path: string, body: object) =>
    v.parse(v.optional(Row, {}), (await admin.call(method, path, body)).body)
  const customer = await make('POST', '/customers', { name: 'Acme', country: 'US', currency: 'USD' })
  const customerId = String(customer['id'])
  await admin.call('PUT', '/admin/provisioning/environments/survive', {})
  await admin.call('PUT', '/admin/provisioning/environments/survive/accounts/1', { customerId })
  await admin.call('POST', `${API}/safeguard/disable`)
  const { value: providers } = v.parse(Page, (await admin.call('GET', `${API}/provider`)).body)
  const sandbox = String(providers.find(({ name }) => /sandbox/i.test(String(name)))?.['providerID'])
  const { value: actions } = v.parse(Page, (await admin.call('GET', `${API}/provider/${sandbox}/action`)).body)
  const scenarioOf = (action: string, product: string) => ({
    providerActionID: actions.find(({ name }) => name === action)?.['providerActionID'],
    parameters: [
      { name: 'Product', value: product },
      ...(action === 'BeginService' ? [{ name: 'CountryCode', value: 'US' }] : []),
    ],
  })
  const { profileID } = await make('POST', `${API}/profile`, {
    name: 'Lines',
    scenarios: [scenarioOf('BeginService', 'prd_us-local'), scenarioOf('EnableService', 'prd_text-enablement')],
  })
  for (let index = 0; index < REQUESTS; index += 1) {
    await make('POST', `${API}/provisioningRequest`, {
      accountInformation: { accountNumber: 1 },
      profileID,
      provisionedObjectInternalID: `ID${index}`,
    })
  }
  return customerId
}

async function statusesOf(admin: ApiClient): Promise<readonly unknown[]> {
  const { body } = await admin.call('GET', `${API}/provisioningRequest?$filter=isReadOnly eq false&$top=500`)
  return v.parse(Page, body).value.map(({ status }) => status)
}
