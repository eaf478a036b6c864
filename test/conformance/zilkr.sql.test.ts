import type { OpenAPIV3_1 } from 'openapi-types'
import * as v from 'valibot'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { generateOpenApi } from '../../src/http/openapi.ts'
import { textField, type ApiResponse } from '../support/checked-request.ts'
import { STORES } from '../support/records.ts'
import { CARD, CUSTOMER, LOCAL, PERSON, PORTED, SITE, ZilkrRig } from '../support/zilkr-rig.ts'
import { ADDED_OPERATION, ZILKR_OPERATIONS } from './zilkr-operations.ts'
import { lower, refOf, schemaOf, Walk } from './zilkr-walk.ts'

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const
const Numbered = v.looseObject({ items: v.array(v.looseObject({ number: v.string() })) })
const numbersOf = ({ body }: ApiResponse) => v.parse(Numbered, body).items.map(({ number }) => number)
const IdList = v.array(v.looseObject({ id: v.string() }))

const countOf = (method: string) => ZILKR_OPERATIONS.filter((known) => known.method === method).length

test('the document has 47 operations: 25 GET, 13 POST, 4 PUT, 5 DELETE', () => {
  expect(ZILKR_OPERATIONS).toHaveLength(47)
  expect(['GET', 'POST', 'PUT', 'DELETE'].map(countOf)).toEqual([25, 13, 4, 5])
  expect(new Set(ZILKR_OPERATIONS.map(({ method, path }) => `${method} ${path}`)).size).toBe(47)
})

describe.each(STORES)('the Zilkr Provisioning API on %s', (store) => {
  let rig: ZilkrRig
  let document: OpenAPIV3_1.Document
  let key: string
  let appId: string
  beforeAll(async () => {
    rig = await ZilkrRig.start(store)
    document = await generateOpenApi(rig.api.app)
    ;({ key, appId } = await rig.addApp())
  })
  afterAll(() => rig.stop())

  test('the OpenAPI document has these operations with their statuses and bodies, and one of ours', () => {
    const described = Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
      /^\/(customers|products|countries|numbers)(\/|$)/.test(path)
        ? METHODS.filter((method) => item?.[method === 'GET' ? 'get' : lower(method)] !== undefined).map(
            (method) => `${method} ${path}`,
          )
        : [],
    )
    const wanted = [...ZILKR_OPERATIONS, ADDED_OPERATION].map(({ method, path }) => `${method} ${path}`)
    expect(described.toSorted()).toEqual(wanted.toSorted())
    for (const known of ZILKR_OPERATIONS) {
      const responses = document.paths?.[known.path]?.[lower(known.method)]?.responses ?? {}
      expect([known.operationId, Object.keys(responses).includes(String(known.status))]).toEqual([
        known.operationId,
        true,
      ])
      expect([known.operationId, refOf(schemaOf(document, known))]).toEqual([known.operationId, known.body])
    }
  })

  test('every operation answers with its status and a body that is documented to the last field', async () => {
    const walk = new Walk(rig, document, key)
    await walkAccounts(walk)
    await walkCatalogue(walk)
    await walkOrders(walk)
    await walkEnd(walk)
    expect(ZILKR_OPERATIONS.map(({ operationId }) => operationId).filter((id) => !walk.done.has(id))).toEqual([])
    expect(walk.done.size).toBe(47)
  })

  test('other methods are refused with those that there are', async () => {
    const paths = new Set(ZILKR_OPERATIONS.map(({ path }) => path))
    for (const path of paths) {
      const allowed = METHODS.filter((method) =>
        [...ZILKR_OPERATIONS, ADDED_OPERATION].some((known) => known.path === path && known.method === method),
      )
      for (const method of METHODS.filter((other) => !allowed.includes(other))) {
        const answer = await rig.as(key)(method, path.replaceAll(/\{\w+\}/g, 'x'))
        expect([method, path, answer.status]).toEqual([method, path, 405])
        const expected = allowed.includes('GET') ? ['HEAD', ...allowed] : allowed
        expect(answer.headers.get('allow')).toBe(expected.join(', '))
      }
    }
  })

  test('reading an order never cancels it, however it is read; DELETE does', async () => {
    const customerId = await rig.make(key, '/customers', CUSTOMER)
    const requestedDate = new Date(Date.now() + 86_400_000).toISOString()
    const body = { quantity: 1, requestedDate }
    const orderId = await rig.make(key, `/customers/${customerId}/orders/${LOCAL}/numbers/any`, body)
    const path = `/customers/${customerId}/orders/${orderId}`
    const call = rig.as(key)
    for (const method of ['GET', 'HEAD', 'GET']) expect((await call(method, path)).status).toBe(200)
    expect((await call('GET', `${path}?cancel=true`)).status).toBe(200)
    expect(textField(await call('GET', path), 'state')).toBe('acknowledged')
    expect((await call('DELETE', path)).status).toBe(204)
    expect(textField(await call('GET', path), 'state')).toBe('cancelled')
    expect((await call('DELETE', path)).body).toMatchObject({ code: 'order_not_cancellable', status: 409 })
  })

  test('a key sees the customers of its app, a limited one only its own, the admin key all', async () => {
    const customerId = await rig.make(key, '/customers', CUSTOMER)
    const other = await rig.make(key, '/customers', CUSTOMER)
    const stranger = (await rig.addApp()).key
    const limited = await rig.issueKey(appId, [customerId])
    const seenBy = async (who: string) => {
      const path = `/customers/${customerId}`
      const [own, theirs] = await Promise.all([rig.as(who)('GET', path), rig.as(who)('GET', `/customers/${other}`)])
      return [own.status, theirs.status]
    }
    expect(await seenBy(key)).toEqual([200, 200])
    expect(await seenBy(limited)).toEqual([200, 404])
    expect(await seenBy(stranger)).toEqual([404, 404])
    expect((await rig.api.admin('GET', `/customers/${customerId}`)).status).toBe(200)
    const listed = await rig.as(limited)('GET', '/customers')
    expect(v.parse(IdList, listed.body).map(({ id }) => id)).toEqual([customerId])
    expect((await rig.as(limited)('POST', '/customers', CUSTOMER)).body).toMatchObject({ code: 'scope_exceeded' })
  })
})

async function walkAccounts(walk: Walk): Promise<void> {
  const { ids } = walk
  ids['customerId'] = textField(await walk.call('createCustomer', { body: CUSTOMER }), 'id')
  await walk.call('listCustomers')
  await walk.call('getCustomer')
  await walk.call('updateCustomer', { body: { ...CUSTOMER, name: 'Acme Ltd', timeZone: 'America/New_York' } })
  ids['contactId'] = textField(await walk.call('createContact', { body: { ...PERSON, phone: '+12125550100' } }), 'id')
  await walk.call('listContacts')
  await walk.call('getContact')
  await walk.call('updateContact', { body: { ...PERSON, language: 'en-US' } })
  await walk.call('deleteContact')
  const card = await walk.call('createPaymentMethod', { body: { ...CARD, isDefault: true } })
  expect(card.body).not.toHaveProperty('token')
  ids['paymentMethodId'] = textField(card, 'id')
  await walk.call('listPaymentMethods')
  await walk.call('getPaymentMethod')
  await walk.call('updatePaymentMethod', { body: { type: 'card', last4: '1111' } })
  const site = { ...SITE, latitude: 40.7, longitude: -74 }
  ids['locationId'] = textField(await walk.call('createProductLocation', { body: site }), 'id')
  await walk.call('listProductLocations')
  await walk.call('getProductLocation')
  await walk.call('updateProductLocation', { body: SITE })
  await walk.call('deleteProductLocation')
}

async function walkCatalogue(walk: Walk): Promise<void> {
  await walk.call('listProducts', { query: '?limit=3&kind=number&country=US&sort=-name' })
  await walk.call('getProduct')
  await walk.call('listCountries')
  await walk.call('getCountry')
  await walk.call('listCities', { query: '?limit=2' })
  await walk.call('getCity')
  const query = '?country=US&type=local&areaCode=212&currency=USD&features=voice,sms&limit=20'
  const found = await walk.call('searchNumbers', { query })
  expect(found.body).toMatchObject([
    { number: '+12125550100', oneTime: { amount: '1.00', currency: 'USD' }, reservable: true },
    ...Array.from({ length: 19 }, () => ({ countryCode: 'US' })),
  ])
}

/** A real order of every action, and what it leaves behind. */
async function walkOrders(walk: Walk): Promise<void> {
  const { ids, rig } = walk
  const customer = `/customers/${ids['customerId']}`
  ids['locationId'] = await rig.make(walk.key, `${customer}/productLocations`, SITE)
  ids['connectionId'] = `cnx_${ids['customerId']}`
  await rig.api.admin('PUT', `/admin${customer}/connections/${ids['connectionId']}`, {
    type: 'sipTrunk',
    name: 'Trunk 1',
    status: 'active',
    capacity: { channels: 30 },
    locationId: ids['locationId'],
  })
  await walk.call('listConnections')
  await walk.call('getConnection')

  const { locationId } = ids
  const any = await walk.order('orderAny', { quantity: 2, filter: { areaCode: '212' }, locationId })
  const range = await walk.order('orderRange', { start: '+13125550110', size: 10 })
  const reservation = { productId: LOCAL, quantity: 3, filter: { areaCode: '713' }, ttlSeconds: 120 }
  ids['reservationId'] = textField(await walk.call('createReservation', { body: reservation }), 'id')
  await walk.call('listReservations', { query: '?state=active&sort=-createdAt' })
  await walk.call('getReservation')
  const reserved = await walk.order('orderReserved', { reservationId: ids['reservationId'] })
  await walk.order('orderPort', { ...PORTED, numbers: ['+12125550142'].map(portable) })
  expect([any, range, reserved].map((order) => numbersOf(order).length)).toEqual([2, 10, 3])

  const services = await walk.call('listCustomerProducts', { query: '?sort=number' })
  expect(services.body).toHaveLength(16)
  const [service] = v.parse(IdList, services.body)
  ids['productId'] = service?.id ?? ''
  await walk.call('getCustomerProduct')
  ids['productId'] = LOCAL
  const numbers = numbersOf(any)
  await walk.order('orderMove', { numbers, toLocationId: ids['locationId'], toConnectionId: ids['connectionId'] })
  await walk.order('orderChange', { numbers, changes: { callerName: 'ACME', features: ['voice'] } })
  await walk.order('orderDelete', { numbers, reason: 'no longer needed' })
  await walk.order('orderDeleteAll', { reason: 'the end', confirm: 14 })
  expect((await walk.call('listCustomerProducts')).body).toEqual([])

  const invoices = await walk.call('listInvoices')
  expect(invoices.body).toHaveLength(4)
  ids['invoiceId'] = v.parse(IdList, invoices.body)[0]?.id ?? ''
  expect((await walk.call('getInvoice')).body).toMatchObject({ status: 'open', total: { amount: '2.00' } })
  const orders = await walk.call('listOrders', { query: '?limit=5&sort=-createdAt' })
  expect(orders.headers.get('link')).toContain('rel="next"')
}

/** A number that can be ported: nobody's here. */
const portable = (number: string): string => number.replace('+1212', '+1646')

async function walkEnd(walk: Walk): Promise<void> {
  const { ids, rig } = walk
  const customer = `/customers/${ids['customerId']}`
  const requestedDate = new Date(Date.now() + 3_600_000).toISOString()
  ids['orderId'] = await rig.make(walk.key, `${customer}/orders/${LOCAL}/numbers/any`, { quantity: 1, requestedDate })
  await walk.call('getOrder')
  await walk.call('cancelOrder')
  const body = { numbers: ['+14155550150'] }
  ids['reservationId'] = await rig.make(walk.key, `${customer}/reservations`, body)
  await walk.call('deleteReservation')
  for (const { id } of v.parse(IdList, (await walk.call('listInvoices')).body)) {
    await rig.api.admin('PUT', `/admin${customer}/invoices/${id}`, { status: 'paid' })
  }
  await walk.call('deleteCustomer')
}
