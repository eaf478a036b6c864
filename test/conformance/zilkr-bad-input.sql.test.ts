import type { OpenAPIV3_1 } from 'openapi-types'
import * as v from 'valibot'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { generateOpenApi } from '../../src/http/openapi.ts'
import { badBodies } from '../support/bad-bodies.ts'
import type { ApiResponse } from '../support/checked-request.ts'
import { resolve } from '../support/documented-body.ts'
import { dumpProvisioning } from '../support/provisioning-dump.ts'
import { STORES } from '../support/records.ts'
import { CARD, CUSTOMER, LOCAL, PERSON, PORTED, SITE, ZilkrRig } from '../support/zilkr-rig.ts'
import { ADDED_OPERATION, ZILKR_OPERATIONS } from './zilkr-operations.ts'
import { lower } from './zilkr-walk.ts'

const OPERATIONS = [...ZILKR_OPERATIONS, ADDED_OPERATION]
const NUMBER = '+12125550101'
const YESTERDAY = new Date(Date.now() - 86_400_000).toISOString()

/** A valid body of each operation that takes one. */
const BODIES: Readonly<Record<string, object>> = {
  createCustomer: { ...CUSTOMER, externalId: 'x-1', timeZone: 'America/New_York' },
  updateCustomer: CUSTOMER,
  createContact: { ...PERSON, phone: NUMBER, language: 'en' },
  updateContact: PERSON,
  createPaymentMethod: CARD,
  updatePaymentMethod: CARD,
  createProductLocation: { ...SITE, latitude: 1, longitude: 1 },
  updateProductLocation: SITE,
  orderAny: { quantity: 1, filter: { areaCode: '212', features: ['voice'] }, metadata: { a: 'b' } },
  orderPort: { ...PORTED, numbers: ['+16465550142'] },
  orderReserved: { reservationIds: ['rsv_1'], numbers: [NUMBER] },
  orderRange: { start: '+13125550110', size: 10 },
  orderMove: { numbers: [NUMBER], toLocationId: 'loc_1' },
  orderChange: { numbers: [NUMBER], changes: { callerName: 'ACME', features: ['voice'] } },
  orderDelete: { numbers: [NUMBER], reason: 'over' },
  orderDeleteAll: { reason: 'over', confirm: 1 },
  createReservation: { productId: LOCAL, quantity: 1, filter: { areaCode: '212' }, ttlSeconds: 60 },
}
const WITH_BODY = OPERATIONS.filter(({ operationId }) => BODIES[operationId] !== undefined)

const Problem = v.looseObject({
  status: v.number(),
  code: v.string(),
  errors: v.optional(v.array(v.looseObject({ field: v.string() })), []),
})
const outcomeOf = ({ body }: ApiResponse) => {
  const { status, code, errors } = v.parse(Problem, body)
  return { status, code, fields: errors.map(({ field }) => field) }
}

const fill = (path: string, ids: Record<string, string>) =>
  path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(ids[name] ?? ''))
/** Of a product in service the path has the same name as of one in the catalogue. */
const namesIn = (path: string, ids: Record<string, string>) =>
  path === '/customers/{customerId}/products/{productId}' ? { ...ids, productId: ids['serviceId'] ?? '' } : ids
const refused = (...fields: readonly string[]) => ({ status: 422, code: 'order_refused', fields })
const invalid = (...fields: readonly string[]) => ({ status: 400, code: 'invalid_request', fields })

test('every operation that takes a body has a valid one here', () => {
  const taking = OPERATIONS.filter(({ method }) => method === 'POST' || method === 'PUT')
  expect(WITH_BODY.map(({ operationId }) => operationId)).toEqual(taking.map(({ operationId }) => operationId))
})

describe.each(STORES)('bad input to the Zilkr API on %s', (store) => {
  let rig: ZilkrRig
  let document: OpenAPIV3_1.Document
  let key: string
  /** Things of one customer, by the name that paths have for their ids. */
  const own: Record<string, string> = { productId: LOCAL, countryCode: 'US', cityId: 'cty_us-new-york' }
  /** The same of another app's customer. */
  const foreign: Record<string, string> = {}

  const furnish = async (who: string, ids: Record<string, string>) => {
    const customerId = await rig.make(who, '/customers', CUSTOMER)
    const path = `/customers/${customerId}`
    ids['customerId'] = customerId
    ids['contactId'] = await rig.make(who, `${path}/contacts`, PERSON)
    ids['paymentMethodId'] = await rig.make(who, `${path}/paymentMethods`, CARD)
    ids['locationId'] = await rig.make(who, `${path}/productLocations`, SITE)
    ids['connectionId'] = `cnx_${customerId}`
    const trunk = { type: 'sipTrunk', name: 'Trunk', status: 'active' }
    await rig.api.admin('PUT', `/admin${path}/connections/${ids['connectionId']}`, trunk)
    const held = { productId: LOCAL, quantity: 1 }
    ids['reservationId'] = await rig.make(who, `${path}/reservations`, held)
    ids['orderId'] = await rig.make(who, `${path}/orders/${LOCAL}/numbers/any`, { quantity: 1 })
    await rig.settled(who, customerId, ids['orderId'])
    const Listed = v.tuple([v.looseObject({ id: v.string() })])
    ids['serviceId'] = v.parse(Listed, (await rig.as(who)('GET', `${path}/products`)).body)[0].id
    ids['invoiceId'] = v.parse(Listed, (await rig.as(who)('GET', `${path}/invoices`)).body)[0].id
  }

  beforeAll(async () => {
    rig = await ZilkrRig.start(store)
    document = await generateOpenApi(rig.api.app)
    key = (await rig.addApp()).key
    await furnish(key, own)
    await furnish((await rig.addApp()).key, foreign)
  })
  afterAll(() => rig.stop())

  const dump = () => dumpProvisioning(rig.api.database)

  test.each(WITH_BODY)('$operationId: whatever its schema forbids is named, and nothing is changed', async (known) => {
    const { operationId, method } = known
    const item = document.paths?.[known.path]?.[lower(method)]?.requestBody
    const schema = item !== undefined && 'content' in item ? item.content['application/json']?.schema : undefined
    const valid = BODIES[operationId] ?? {}
    const bodies = badBodies(document, resolve(document, schema ?? {}), valid)
    expect(bodies.length).toBeGreaterThan(10)
    const before = await dump()
    for (const { field, what, body } of bodies) {
      const outcome = outcomeOf(await rig.as(key)(method, fill(known.path, own), body))
      const isNamed = outcome.fields.includes(field)
      expect([what, field, outcome.status, isNamed ? field : outcome.fields]).toEqual([what, field, 400, field])
    }
    expect(await dump()).toEqual(before)
  })

  test.each(WITH_BODY)(
    '$operationId: what is no such body at all is refused',
    async ({ method, path, operationId }) => {
      const before = await dump()
      const target = fill(path, own)
      const send = async (body: string, type = 'application/json') => {
        const { status, code } = outcomeOf(await rig.as(key)(method, target, body, { 'content-type': type }))
        return `${status} ${code}`
      }
      const valid = JSON.stringify(BODIES[operationId])
      for (const body of ['[]', 'null', '7', '"text"', `[${valid}]`])
        expect(await send(body)).toBe('400 invalid_request')
      for (const body of ['', '{', `${valid},`, '{"name":"\\u0000"}'])
        expect(await send(body)).toBe('400 malformed_json')
      expect(await send(`{"a":"${'x'.repeat(300 * 1_024)}"}`)).toBe('413 body_too_large')
      for (const type of ['text/plain', 'application/xml', 'application/x-www-form-urlencoded']) {
        expect(await send(valid, type)).toBe('415 unsupported_media_type')
      }
      expect(await dump()).toEqual(before)
    },
  )

  test('what belongs to another customer, to another app, or is of another kind, does not exist', async () => {
    const before = await dump()
    for (const { operationId, method, path } of OPERATIONS) {
      const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name)
      const mine = namesIn(path, own)
      for (const name of names) {
        const theirs = namesIn(path, foreign)[name]
        const wrong = [theirs, 'x', `cus_${'0'.repeat(28)}`, '..%2F', own['contactId']].filter(
          (id) => id !== undefined && id !== mine[name],
        )
        for (const id of wrong) {
          const target = fill(path, { ...mine, [name]: id ?? '' })
          const outcome = outcomeOf(await rig.as(key)(method, target, BODIES[operationId]))
          expect([operationId, name, id, outcome.status]).toEqual([operationId, name, id, 404])
        }
      }
    }
    expect(await dump()).toEqual(before)
  })

  test('without a key, or with one of nobody or of an app, nothing is answered', async () => {
    const before = await dump()
    for (const { method, path, operationId } of OPERATIONS) {
      for (const who of ['x'.repeat(24), 'nobody']) {
        const outcome = outcomeOf(await rig.as(who)(method, fill(path, own), BODIES[operationId]))
        expect([operationId, outcome.status]).toEqual([operationId, 401])
      }
    }
    expect(await dump()).toEqual(before)
  })

  test('the query of every list', async () => {
    const lists = OPERATIONS.filter(({ body = '' }) => body.endsWith('[]'))
    const bad = ['limit=0', 'limit=501', 'limit=x', 'limit=1.5', 'sort=nothing', 'cursor=x', 'surprise=1', 'limit=%00']
    for (const { operationId, path } of lists) {
      const country = operationId === 'searchNumbers' ? 'country=US&' : ''
      for (const query of bad) {
        const [name = ''] = query.split('=')
        const outcome = outcomeOf(await rig.as(key)('GET', `${fill(path, own)}?${country}${query}`))
        const isNamed = outcome.fields.includes(name)
        expect([operationId, query, outcome.status, isNamed]).toEqual([operationId, query, 400, true])
      }
    }
  })

  const search = (query: string) => rig.as(key)('GET', `/numbers?${query}`)
  test.each([
    ['', 'country'],
    ['country=XX', 'country'],
    ['country=US&type=premium', 'type'],
    ['country=US&contains=abc', 'contains'],
    ['country=US&nearNumber=2125550100', 'nearNumber'],
    ['country=US&consecutive=0', 'consecutive'],
    ['country=US&excludeReserved=maybe', 'excludeReserved'],
    ['country=US&currency=ZZZ', 'currency'],
    ['country=US&features=a,,b', 'features'],
    ['country=US&quantity=-1', 'quantity'],
  ])('a search for ?%s names %s', async (query, field) => {
    expect(outcomeOf(await search(query))).toEqual({ status: 400, code: 'invalid_request', fields: [field] })
  })

  type Case = {
    readonly what: string
    readonly operationId: string
    readonly body?: () => unknown
    readonly ids?: Record<string, string>
    readonly outcome: { readonly status: number; readonly code: string; readonly fields?: readonly string[] }
  }
  const cases: readonly Case[] = [
    ...['+0123456789', '2125550101', '+1 212 555 0101', '+1', `+${'1'.repeat(16)}`].map((number) => ({
      what: `the number ${number}`,
      operationId: 'orderDelete',
      body: () => ({ numbers: [number], reason: 'over' }),
      outcome: invalid('numbers.0'),
    })),
    {
      what: 'a number twice',
      operationId: 'orderDelete',
      body: () => ({ numbers: [NUMBER, NUMBER], reason: 'over' }),
      outcome: invalid('numbers'),
    },
    {
      what: 'a date in the past',
      operationId: 'orderAny',
      body: () => ({ quantity: 1, requestedDate: YESTERDAY }),
      outcome: refused('requestedDate'),
    },
    {
      what: 'a date that does not exist',
      operationId: 'orderAny',
      body: () => ({ quantity: 1, requestedDate: '2027-13-01T00:00:00Z' }),
      outcome: invalid('requestedDate'),
    },
    {
      what: 'a past date to be ported on',
      operationId: 'orderPort',
      body: () => ({ ...BODIES['orderPort'], requestedFocDate: YESTERDAY }),
      outcome: refused('requestedFocDate'),
    },
    {
      what: "another customer's location",
      operationId: 'orderAny',
      body: () => ({ quantity: 1, locationId: foreign['locationId'] }),
      outcome: refused('locationId'),
    },
    {
      what: "another customer's connection",
      operationId: 'orderAny',
      body: () => ({ quantity: 1, connectionId: foreign['connectionId'] }),
      outcome: refused('connectionId'),
    },
    {
      what: "a move to another customer's location",
      operationId: 'orderMove',
      body: () => ({ numbers: [NUMBER], toLocationId: foreign['locationId'] }),
      outcome: refused('toLocationId'),
    },
    {
      what: "another customer's connection",
      operationId: 'orderChange',
      body: () => ({ numbers: [NUMBER], changes: { connectionId: foreign['connectionId'] } }),
      outcome: refused('changes.connectionId'),
    },
    {
      what: 'numbers that the customer does not have',
      operationId: 'orderDelete',
      body: () => ({ numbers: ['+14155550101'], reason: 'over' }),
      outcome: refused('numbers'),
    },
    {
      what: 'another count than there is',
      operationId: 'orderDeleteAll',
      body: () => ({ reason: 'over', confirm: 7 }),
      outcome: refused('confirm'),
    },
    {
      what: "another customer's reservation",
      operationId: 'orderReserved',
      body: () => ({ reservationId: foreign['reservationId'] }),
      outcome: { status: 404, code: 'reservation_not_found' },
    },
    {
      what: 'more numbers than there are',
      operationId: 'orderAny',
      body: () => ({ quantity: 5_000, filter: { areaCode: '212' } }),
      outcome: { status: 409, code: 'numbers_unavailable' },
    },
    {
      what: 'a run that is not free',
      operationId: 'orderRange',
      body: () => ({ start: '+12125550190', size: 100 }),
      outcome: { status: 409, code: 'numbers_unavailable' },
    },
    {
      what: 'an end before the start',
      operationId: 'orderRange',
      body: () => ({ start: '+12125550120', end: '+12125550110' }),
      outcome: invalid('end'),
    },
    {
      what: 'size and end',
      operationId: 'orderRange',
      body: () => ({ start: '+12125550120', end: '+12125550121', size: 2 }),
      outcome: invalid('size'),
    },
    {
      what: 'one reservation and several',
      operationId: 'orderReserved',
      body: () => ({ reservationId: 'rsv_1', reservationIds: ['rsv_2'] }),
      outcome: invalid('reservationId'),
    },
    {
      what: 'an order that is completed',
      operationId: 'cancelOrder',
      outcome: { status: 409, code: 'order_not_cancellable' },
    },
    {
      what: 'a customer with services',
      operationId: 'deleteCustomer',
      outcome: { status: 409, code: 'customer_in_use' },
    },
    {
      what: "another customer's payment method",
      operationId: 'updateCustomer',
      body: () => ({ ...CUSTOMER, defaultPaymentMethodId: foreign['paymentMethodId'] }),
      outcome: { status: 404, code: 'resource_not_found' },
    },
    {
      what: 'an app, from a key of one',
      operationId: 'createCustomer',
      body: () => ({ ...CUSTOMER, appId: 'app_1' }),
      outcome: invalid('appId'),
    },
    {
      what: 'a card number for a token',
      operationId: 'createPaymentMethod',
      body: () => ({ type: 'card', token: '4242424242424242' }),
      outcome: invalid('token'),
    },
    {
      what: 'a card without a token',
      operationId: 'createPaymentMethod',
      body: () => ({ type: 'card' }),
      outcome: invalid('token'),
    },
    {
      what: 'a country that is none, a currency that is none, a time zone that is none',
      operationId: 'createCustomer',
      body: () => ({ name: 'Acme', country: 'XX', currency: 'ZZZ', timeZone: 'Mars/Olympus' }),
      outcome: invalid('country', 'currency', 'timeZone'),
    },
    {
      what: 'numbers and a quantity',
      operationId: 'createReservation',
      body: () => ({ numbers: [NUMBER], quantity: 1, productId: LOCAL }),
      outcome: invalid('numbers'),
    },
    {
      what: "another customer's reservation, to be extended",
      operationId: 'createReservation',
      body: () => ({ reservationId: foreign['reservationId'] }),
      outcome: { status: 404, code: 'reservation_not_found' },
    },
    {
      what: 'numbers that nobody has',
      operationId: 'createReservation',
      body: () => ({ numbers: ['+12125559999'] }),
      outcome: { status: 409, code: 'numbers_unavailable' },
    },
  ]
  test.each(cases)('$operationId: $what', async ({ operationId, body, outcome }) => {
    const known = OPERATIONS.find((operation) => operation.operationId === operationId)
    const before = await dump()
    const answer = await rig.as(key)(known?.method ?? '', fill(known?.path ?? '', own), body?.())
    expect(outcomeOf(answer)).toEqual({ fields: [], ...outcome })
    expect(await dump()).toEqual(before)
  })

  test('what was changed since it was read is not overwritten, and a tag of another making is refused', async () => {
    const path = fill('/customers/{customerId}/contacts/{contactId}', own)
    const read = await rig.as(key)('GET', path)
    const stale = { 'if-match': read.headers.get('etag') ?? '' }
    expect((await rig.as(key)('PUT', path, PERSON, stale)).status).toBe(200)
    const before = await dump()
    expect(outcomeOf(await rig.as(key)('PUT', path, PERSON, stale))).toMatchObject({ status: 412 })
    expect(outcomeOf(await rig.as(key)('DELETE', path, undefined, stale))).toMatchObject({ status: 412 })
    const odd = { 'if-match': 'version 3' }
    expect(outcomeOf(await rig.as(key)('PUT', path, PERSON, odd))).toMatchObject({ status: 400, fields: ['If-Match'] })
    expect(await dump()).toEqual(before)
  })
})
