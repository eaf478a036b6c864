import { sql } from 'kysely'
import * as v from 'valibot'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { generateOpenApi } from '../../src/http/openapi.ts'
import { badBodies } from '../support/bad-bodies.ts'
import { textField } from '../support/checked-request.ts'
import { resolve } from '../support/documented-body.ts'
import { dumpProvisioning } from '../support/provisioning-dump.ts'
import { STORES } from '../support/records.ts'
import { CUSTOMER, LOCAL, PORTED, ZilkrRig } from '../support/zilkr-rig.ts'

const PRODUCT = {
  name: 'Geneva numbers',
  kind: 'number',
  numberType: 'local',
  provider: 'sandbox',
  orderVerbs: ['any', 'delete', 'deleteAll'],
  features: ['voice'],
  countries: ['CH'],
  prices: [{ currency: 'USD', oneTime: '1.10', monthly: '0.333333' }],
}
const dearProduct = (oneTime: string) => ({
  name: 'Dear',
  kind: 'number',
  numberType: 'local',
  provider: 'sandbox',
  orderVerbs: ['port'],
  countries: ['US'],
  prices: [{ currency: 'USD', oneTime, monthly: '1' }],
})
const CITY = { countryCode: 'CH', name: 'Genève', areaCodes: ['22'], products: ['prd_ch-local'] }
const Listed = v.array(v.looseObject({ id: v.string() }))
const Audit = v.looseObject({
  entries: v.array(
    v.looseObject({
      seq: v.number(),
      actor: v.string(),
      entity: v.string(),
      action: v.string(),
      hash: v.string(),
    }),
  ),
  cursor: v.optional(v.string()),
  length: v.number(),
  isIntact: v.boolean(),
  checkedTo: v.number(),
  brokenAt: v.optional(v.number()),
})
const Held = v.looseObject({
  held: v.array(v.looseObject({ orderId: v.string(), reason: v.optional(v.string()), numbers: v.array(v.string()) })),
})

describe.each(STORES)('the administration of provisioning on %s', (store) => {
  let rig: ZilkrRig
  let key: string
  let appId: string
  let customerId: string
  beforeAll(async () => {
    rig = await ZilkrRig.start(store)
    ;({ key, appId } = await rig.addApp())
    customerId = await rig.make(key, '/customers', CUSTOMER)
  })
  afterAll(() => rig.stop())

  const readAudit = async (query: string) =>
    v.parse(Audit, (await rig.api.admin('GET', `/admin/provisioning/audit?${query}`)).body)
  /** As somebody with the database's password could. */
  const tamper = (change: ReturnType<typeof sql>) =>
    rig.api.database.transaction(async (tx) => {
      await sql`alter table audit disable trigger user`.execute(tx)
      await change.execute(tx)
      await sql`alter table audit enable trigger user`.execute(tx)
    })
  const admin = (method: string, path: string, body?: unknown) => rig.api.admin(method, path, body)

  test('keys are shown once, listed without themselves, and of no use once revoked', async () => {
    const path = `/admin/apps/${appId}/provisioning-keys`
    const issued = await admin('POST', path, { name: 'portal', customer_ids: [customerId] })
    expect(textField(issued, 'provisioning_key')).toMatch(/^[A-Za-z0-9]{24}$/)
    const [keyId, text] = [textField(issued, 'key_id'), textField(issued, 'provisioning_key')]
    const listed = await admin('GET', path)
    expect(listed.body).toContainEqual(expect.objectContaining({ key_id: keyId, customer_ids: [customerId] }))
    expect(JSON.stringify(listed.body)).not.toContain(text)
    expect((await rig.as(text)('GET', '/customers')).body).toHaveLength(1)
    expect((await admin('DELETE', `${path}/${keyId}`)).status).toBe(204)
    expect((await rig.as(text)('GET', '/customers')).status).toBe(401)
    expect((await admin('DELETE', `${path}/${keyId}`)).body).toMatchObject({ code: 'key_not_found' })
    const other = await rig.make((await rig.addApp()).key, '/customers', CUSTOMER)
    expect((await admin('POST', path, { customer_ids: [other] })).body).toMatchObject({ code: 'customer_not_found' })
    expect((await admin('GET', '/admin/apps/app_nobody/provisioning-keys')).status).toBe(404)
  })

  test('only the admin key is admitted', async () => {
    const before = await dumpProvisioning(rig.api.database)
    const calls = [
      ['POST', `/admin/apps/${appId}/provisioning-keys`, {}],
      ['PUT', `/admin/customers/${customerId}/status`, { status: 'closed' }],
      ['PUT', '/admin/provisioning/products/prd_x', PRODUCT],
      ['POST', '/admin/provisioning/numbers', {}],
      ['GET', '/admin/provisioning/audit?chain=installation', undefined],
      ['PUT', '/admin/provisioning/sandbox/faults', { faults: [] }],
    ] as const
    for (const [method, path, body] of calls) expect((await rig.as(key)(method, path, body)).status).toBe(401)
    expect(await dumpProvisioning(rig.api.database)).toEqual(before)
  })

  test('a customer that is suspended orders and reserves nothing until it is active again', async () => {
    const status = `/admin/customers/${customerId}/status`
    const order = () => rig.as(key)('POST', `/customers/${customerId}/orders/${LOCAL}/numbers/any`, { quantity: 1 })
    expect((await admin('PUT', status, { status: 'suspended' })).body).toMatchObject({ status: 'suspended' })
    expect((await order()).body).toMatchObject({ status: 409, code: 'customer_inactive' })
    const held = { productId: LOCAL, quantity: 1 }
    const reserve = () => rig.as(key)('POST', `/customers/${customerId}/reservations`, held)
    expect((await reserve()).body).toMatchObject({ status: 409, code: 'customer_inactive' })
    await admin('PUT', status, { status: 'active' })
    expect((await reserve()).status).toBe(201)
    expect((await order()).status).toBe(201)
  })

  test('a connection is replaced, shown while it has not ended, and nobody else’s', async () => {
    const path = `/customers/${customerId}/connections/cnx_trunk-${store}`
    const trunk = { type: 'sipTrunk', name: 'Trunk', status: 'active', capacity: { channels: 30 } }
    await admin('PUT', `/admin${path}`, trunk)
    await admin('PUT', `/admin${path}`, { ...trunk, name: 'Trunk 2', status: 'suspended' })
    const read = await rig.as(key)('GET', path)
    expect(read.body).toMatchObject({ name: 'Trunk 2', status: 'suspended', capacity: { channels: 30 } })
    const other = await rig.make(key, '/customers', CUSTOMER)
    const stolen = await admin('PUT', `/admin${path.replace(customerId, other)}`, trunk)
    expect(stolen.body).toMatchObject({ code: 'already_exists' })
    await admin('PUT', `/admin${path}`, { ...trunk, status: 'ended' })
    expect((await rig.as(key)('GET', path)).status).toBe(404)
    expect((await rig.as(key)('GET', `/customers/${customerId}/connections`)).body).toEqual([])
  })

  test('an invoice is paid once', async () => {
    const orderId = await rig.make(key, `/customers/${customerId}/orders/${LOCAL}/numbers/any`, { quantity: 1 })
    await rig.settled(key, customerId, orderId)
    const list = await rig.as(key)('GET', `/customers/${customerId}/invoices?orderId=${orderId}`)
    const path = `/admin/customers/${customerId}/invoices/${v.parse(Listed, list.body)[0]?.id}`
    expect((await admin('PUT', path, { status: 'paid' })).body).toMatchObject({ status: 'paid' })
    expect((await admin('PUT', path, { status: 'void' })).body).toMatchObject({ status: 409, code: 'in_use' })
  })

  test('a product with a city and numbers can be sold, in its currencies, until it is withdrawn', async () => {
    const numbers = {
      productId: 'prd_ch-local',
      countryCode: 'CH',
      numbers: ['+41225010100', '+41225010101'].map((number) => ({ number, areaCode: '22', cityId: 'cty_ch-geneve' })),
    }
    expect((await admin('POST', '/admin/provisioning/numbers', numbers)).body).toMatchObject({
      code: 'product_not_found',
    })
    expect((await admin('PUT', '/admin/provisioning/products/prd_ch-local', PRODUCT)).status).toBe(204)
    expect((await admin('POST', '/admin/provisioning/numbers', numbers)).body).toMatchObject({
      code: 'resource_not_found',
    })
    expect((await admin('PUT', '/admin/provisioning/cities/cty_ch-geneve', CITY)).status).toBe(204)
    expect((await admin('POST', '/admin/provisioning/numbers', numbers)).body).toEqual({ added: 2, known: [] })
    expect((await admin('POST', '/admin/provisioning/numbers', numbers)).body).toEqual({
      added: 0,
      known: ['+41225010100', '+41225010101'],
    })
    expect((await rig.as(key)('GET', '/countries/CH/cities/cty_ch-geneve')).body).toMatchObject({ name: 'Genève' })
    const orders = `/customers/${customerId}/orders/prd_ch-local/numbers`
    const orderId = await rig.make(key, `${orders}/any`, { quantity: 2 })
    expect((await rig.settled(key, customerId, orderId)).body).toMatchObject({
      state: 'completed',
      oneTime: { amount: '2.20', currency: 'USD' },
      monthly: { amount: '0.666666', currency: 'USD' },
    })
    const other = { ...PRODUCT, kind: 'messaging', numberType: undefined, orderVerbs: ['add'] }
    expect((await admin('PUT', '/admin/provisioning/products/prd_ch-local', other)).body).toMatchObject({
      code: 'in_use',
    })
    await admin('PUT', '/admin/provisioning/products/prd_ch-local', { ...PRODUCT, isActive: false })
    expect((await rig.as(key)('GET', '/products/prd_ch-local')).status).toBe(404)
    expect((await rig.as(key)('GET', '/countries/CH')).status).toBe(404)
    expect((await rig.as(key)('POST', `${orders}/any`, { quantity: 1 })).body).toMatchObject({
      code: 'product_not_found',
    })
    const end = await rig.make(key, `/customers/${customerId}/orders/prd_ch-local/delete`, { reason: 'x', confirm: 2 })
    expect((await rig.settled(key, customerId, end)).body).toMatchObject({ state: 'completed' })
  })

  test.each([
    ['PUT', '/admin/provisioning/products/prd_y', { ...PRODUCT, provider: 'nobody' }, 'provider'],
    ['PUT', '/admin/provisioning/products/prd_y', { ...PRODUCT, orderVerbs: ['add'] }, 'orderVerbs'],
    [
      'PUT',
      '/admin/provisioning/products/prd_y',
      { ...PRODUCT, kind: 'messaging', orderVerbs: ['delete'] },
      'numberType',
    ],
    ['PUT', '/admin/provisioning/products/y', PRODUCT, 'productId'],
    ['PUT', '/admin/provisioning/products/prd_y', { ...PRODUCT, countries: ['XX'] }, 'countries.0'],
    [
      'POST',
      '/admin/provisioning/numbers',
      { productId: LOCAL, countryCode: 'US', numbers: [{ number: '+442079460000' }] },
      'numbers',
    ],
    [
      'POST',
      '/admin/provisioning/numbers',
      {
        productId: LOCAL,
        countryCode: 'US',
        numbers: Array.from({ length: 1_001 }, (_, n) => ({ number: `+1555${String(n).padStart(7, '0')}` })),
      },
      'numbers',
    ],
    [
      'PUT',
      '/admin/provisioning/sandbox/faults',
      { faults: [{ fault: 'partial_batch', operation: 'poll' }] },
      'faults.0.fault',
    ],
    ['GET', '/admin/provisioning/audit', undefined, 'chain'],
    ['GET', '/admin/provisioning/audit?chain=x&cursor=y', undefined, 'cursor'],
  ])('%s %s with what it cannot be: %j names %s', async (method, path, body, field) => {
    const before = await dumpProvisioning(rig.api.database)
    expect((await admin(method, path, body)).body).toMatchObject({ status: 400, errors: [{ field }] })
    expect(await dumpProvisioning(rig.api.database)).toEqual(before)
  })

  test('whatever the schemas forbid is named, and changes nothing', async () => {
    const document = await generateOpenApi(rig.api.app)
    const bodies = [
      ['put', '/admin/provisioning/products/{productId}', PRODUCT],
      ['put', '/admin/provisioning/cities/{cityId}', CITY],
      [
        'post',
        '/admin/provisioning/numbers',
        { countryCode: 'CH', numbers: [{ number: '+41225010100', features: ['voice'] }] },
      ],
      ['post', '/admin/provisioning/line-types', { entries: [{ prefix: '+1555', lineType: 'mobile' }] }],
      ['put', '/admin/provisioning/sandbox/faults', { faults: [{ fault: 'slow', requests: 1 }] }],
      ['put', '/admin/customers/{customerId}/status', {}],
      ['put', '/admin/customers/{customerId}/connections/{connectionId}', { capacity: { channels: 1 } }],
    ] as const
    const before = await dumpProvisioning(rig.api.database)
    for (const [method, path, valid] of bodies) {
      const item = document.paths?.[path]?.[method]?.requestBody
      const schema = item !== undefined && 'content' in item ? item.content['application/json']?.schema : undefined
      const target = path
        .replace('{customerId}', customerId)
        .replaceAll(/\{(\w+)\}/g, (_, name: string) => ({ productId: 'prd_z', cityId: 'cty_z' })[name] ?? 'cnx_z')
      for (const { field, what, body } of badBodies(document, resolve(document, schema ?? {}), valid)) {
        const answer = await admin(method.toUpperCase(), target, body)
        const fields = v.parse(v.looseObject({ errors: v.array(v.looseObject({ field: v.string() })) }), answer.body)
        const isNamed = fields.errors.some((error) => error.field === field)
        expect([path, what, field, answer.status, isNamed]).toEqual([path, what, field, 400, true])
      }
    }
    expect(await dumpProvisioning(rig.api.database)).toEqual(before)
  })

  test('line types are imported; of two the later one counts', async () => {
    const entry = { prefix: '+15550100', lineType: 'mobile', carrier: 'Example' }
    const load = (asOf: string) =>
      admin('POST', '/admin/provisioning/line-types', { source: 'test', asOf, entries: [entry] })
    expect((await load('2026-01-02T00:00:00Z')).body).toEqual({ written: 1 })
    expect((await load('2026-01-01T00:00:00Z')).body).toEqual({ written: 0 })
  })

  test('an order whose outcome nobody tells is held, listed, and goes on as the operator says', async () => {
    const path = '/admin/provisioning/sandbox/faults'
    const number = '+13035550100'
    const fault = { fault: 'refuse', operation: 'execute', delayMs: 1_000 }
    expect((await admin('PUT', path, { faults: [{ ...fault, number }] })).body).toEqual({
      faults: [{ ...fault, number }],
    })
    const orders = `/customers/${customerId}/orders/${LOCAL}/numbers`
    const refused = await rig.make(key, `${orders}/range`, { start: number, size: 1 })
    expect((await rig.settled(key, customerId, refused)).body).toMatchObject({ state: 'failed' })
    expect((await admin('PUT', path, { faults: [] })).body).toEqual({ faults: [] })

    // Of tomorrow, so that nobody else is at work on it.
    const requestedDate = new Date(Date.now() + 86_400_000).toISOString()
    const orderId = await rig.make(key, `${orders}/range`, { start: '+13035550101', size: 1, requestedDate })
    await rig.api.database.query((db) =>
      sql`update fulfilments set state = 'stuck', resume_state = 'due', due_at = null, last_error = 'a test'
        where order_id = ${orderId}`.execute(db),
    )
    await rig.api.database.query((db) =>
      sql`update order_items set state = 'held' where order_id = ${orderId}`.execute(db),
    )
    const { held } = v.parse(Held, (await admin('GET', '/admin/provisioning/held-orders')).body)
    expect(held).toMatchObject([{ orderId, reason: 'a test', numbers: ['+13035550101'] }])
    const resume = (resumption: string) =>
      admin('POST', `/admin/provisioning/held-orders/${orderId}/resume`, { resumption })
    expect((await resume('continue')).status).toBe(200)
    expect((await rig.settled(key, customerId, orderId)).body).toMatchObject({ state: 'completed' })
    expect((await resume('continue')).body).toMatchObject({ status: 409, code: 'order_not_held' })
    const nobody = await admin('POST', '/admin/provisioning/held-orders/ord_x/resume', { resumption: 'done' })
    expect(nobody.body).toMatchObject({ code: 'order_not_found' })
  })

  test('the largest order of the dearest product has a price, and dearer ones are refused', async () => {
    const path = '/admin/provisioning/products/prd_us-dear'
    const refused = await admin('PUT', path, dearProduct('1000000000'))
    expect(refused.body).toMatchObject({ status: 400, code: 'invalid_request' })
    expect((await admin('PUT', path, dearProduct('999999999.999999'))).status).toBe(204)
    const numbers = Array.from({ length: 5_000 }, (_, at) => `+1646556${String(at).padStart(4, '0')}`)
    const placed = await rig.as(key)('POST', `/customers/${customerId}/orders/prd_us-dear/numbers/port`, {
      ...PORTED,
      numbers,
      requestedDate: new Date(Date.now() + 3_600_000).toISOString(),
    })
    expect(placed.body).toMatchObject({ oneTime: { amount: '4999999999999.995', currency: 'USD' } })
  })

  test('the audit trail tells who did what, in pages, and that it is intact', async () => {
    const first = await readAudit(`chain=${customerId}&limit=3`)
    expect(first).toMatchObject({ isIntact: true, cursor: '3' })
    expect(first.entries[0]).toMatchObject({ seq: 1, entity: 'customer', action: 'create' })
    expect(first.entries[0]?.actor).toMatch(/^key:pky_/)
    for (const { hash } of first.entries) expect(hash).toMatch(/^[0-9a-f]{64}$/)
    expect(new Set(first.entries.map(({ hash }) => hash)).size).toBe(3)
    const second = await readAudit(`chain=${customerId}&limit=3&cursor=3`)
    expect(second.entries[0]?.seq).toBe(4)
    const seen = await readAudit('chain=installation&limit=200')
    expect(seen.entries.map(({ entity, action }) => `${entity} ${action}`)).toContain('product put')
    expect(await readAudit('chain=nobody')).toMatchObject({ entries: [], length: 0, isIntact: true })
  })

  test('an entry that was changed behind its back, or taken from the end, is told', async () => {
    const page = (after: number) => readAudit(`chain=${customerId}&limit=1&cursor=${after}`)
    const whole = () => readAudit(`chain=${customerId}&limit=1&check=chain`)
    const { length } = await page(0)
    await tamper(sql`delete from audit where chain = ${customerId} and seq = ${length}`)
    expect(await whole()).toMatchObject({ isIntact: false, brokenAt: length })
    expect(await page(length - 1)).toMatchObject({ isIntact: false, brokenAt: length })
    await tamper(sql`update audit set actor = 'nobody' where chain = ${customerId} and seq = 2`)
    expect(await whole()).toMatchObject({ isIntact: false, brokenAt: 2, length })
    expect(await page(0)).toMatchObject({ isIntact: true, checkedTo: 1 })
    expect(await page(1)).toMatchObject({ isIntact: false, brokenAt: 2 })
  })
})
