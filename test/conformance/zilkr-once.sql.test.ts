import * as v from 'valibot'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { textField } from '../support/checked-request.ts'
import { STORES } from '../support/records.ts'
import { CARD, CUSTOMER, LOCAL, PERSON, SITE, ZilkrRig } from '../support/zilkr-rig.ts'

const List = v.array(v.looseObject({ id: v.string() }))

const once = (name: string) => ({ 'idempotency-key': name })

describe.each(STORES)('requests to the Zilkr API with an Idempotency-Key, on %s', (store) => {
  let rig: ZilkrRig
  let key: string
  let appId: string
  let path: string
  beforeAll(async () => {
    rig = await ZilkrRig.start(store)
    ;({ key, appId } = await rig.addApp())
    path = `/customers/${await rig.make(key, '/customers', CUSTOMER)}`
  })
  afterAll(() => rig.stop())

  const countOf = async (list: string) => v.parse(List, (await rig.as(key)('GET', list)).body).length

  test.each([
    ['customers', () => '/customers', CUSTOMER],
    ['contacts', () => `${path}/contacts`, PERSON],
    ['payment methods', () => `${path}/paymentMethods`, CARD],
    ['locations', () => `${path}/productLocations`, SITE],
    ['reservations', () => `${path}/reservations`, { productId: LOCAL, quantity: 2 }],
  ])('%s: one is made, and told of in the same words every time', async (_, target, body) => {
    const before = await countOf(target())
    const first = await rig.as(key)('POST', target(), body, once('one'))
    const again = await rig.as(key)('POST', target(), body, once('one'))
    expect([first.status, again.status]).toEqual([201, 201])
    expect(again.body).toEqual(first.body)
    for (const name of ['location', 'etag']) expect(again.headers.get(name)).toBe(first.headers.get(name))
    expect([first, again].map(({ headers }) => headers.get('idempotency-replayed'))).toEqual([null, 'true'])
    expect(await countOf(target())).toBe(before + 1)
    const other = await rig.as(key)('POST', target(), { ...body, surprise: undefined, ...changed(body) }, once('one'))
    expect(other.body).toMatchObject({ status: 422, code: 'idempotency_mismatch' })
    expect(await countOf(target())).toBe(before + 1)
  })

  test('twenty of the same order at once: one is placed, and whoever asks later hears of it', async () => {
    const target = `${path}/orders/${LOCAL}/numbers/any`
    const before = await countOf(`${path}/orders`)
    const body = { quantity: 1 }
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => rig.as(key)('POST', target, body, once('at once'))),
    )
    const made = new Set(answers.filter(({ status }) => status === 201).map((answer) => textField(answer, 'id')))
    expect(made.size).toBe(1)
    const refused = answers.filter(({ status }) => status !== 201)
    for (const { body: told } of refused) {
      expect(told).toMatchObject({ status: 409, code: 'idempotency_in_progress' })
    }
    const later = await rig.as(key)('POST', target, body, once('at once'))
    expect([later.status, textField(later, 'id')]).toEqual([201, [...made][0]])
    expect(await countOf(`${path}/orders`)).toBe(before + 1)
  })

  test('what was refused is not remembered: the same may succeed later', async () => {
    const target = `${path}/orders/${LOCAL}/numbers/any`
    const body = { quantity: 1, filter: { areaCode: '999' } }
    expect((await rig.as(key)('POST', target, body, once('later'))).status).toBe(409)
    await rig.api.admin('POST', '/admin/provisioning/numbers', {
      productId: LOCAL,
      countryCode: 'US',
      numbers: [{ number: '+19995550100', areaCode: '999' }],
    })
    expect((await rig.as(key)('POST', target, body, once('later'))).status).toBe(201)
  })

  test('a dry run is not an order, and leaves its key free', async () => {
    const target = `${path}/orders/${LOCAL}/numbers/any`
    const dry = await rig.as(key)('POST', target, { quantity: 2, dryRun: true }, once('dry'))
    expect([dry.status, dry.body]).toMatchObject([200, { dryRun: true, oneTime: { amount: '2.00', currency: 'USD' } }])
    expect((await rig.as(key)('POST', target, { quantity: 2 }, once('dry'))).status).toBe(201)
  })

  test('a key that may see only some customers does not hear of what another key of the app made', async () => {
    const made = await rig.as(key)('POST', '/customers', CUSTOMER, once('private'))
    expect(made.status).toBe(201)
    const limited = await rig.issueKey(appId, [path.replace('/customers/', '')])
    const answer = await rig.as(limited)('POST', '/customers', CUSTOMER, once('private'))
    expect(answer.body).toMatchObject({ status: 403, code: 'scope_exceeded' })
  })

  test('a key that is none is named', async () => {
    for (const name of ['', 'x'.repeat(256)]) {
      const answer = await rig.as(key)('POST', '/customers', CUSTOMER, once(name))
      expect(answer.body).toMatchObject({ status: 400, errors: [{ field: 'Idempotency-Key' }] })
    }
  })
})

/** Another valid body. */
const changed = (body: object): object => {
  if ('quantity' in body) return { quantity: 3 }
  if ('token' in body) return { last4: '0000' }
  return 'firstName' in body ? { firstName: 'Eve' } : { name: 'Other' }
}
