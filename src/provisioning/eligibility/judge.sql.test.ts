import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { stockCustomers, stockNumbers, stockProduct } from '../../../test/support/number-stock.ts'
import { startTestProvisioning, type TestProvisioning } from '../../../test/support/provisioning.ts'
import { STORES } from '../../../test/support/records.ts'
import { GatewayError } from '../../core/errors.ts'
import type { Eligibility } from '../model/eligibility.ts'
import type { NumberProvider } from '../model/provider.ts'
import { LineTypes } from '../store/line-types.ts'
import { EligibilityJudge } from './judge.ts'

const MESSAGING = { customerId: 'cus_a', productId: 'prd_text' }
const ASKED = Date.UTC(2026, 4, 1)

describe.each(STORES)('eligibility on %s', (store) => {
  let rig: TestProvisioning
  let lineTypes: LineTypes
  const judge = (text: string, question = MESSAGING, providers = new Map<string, NumberProvider>()) =>
    new EligibilityJudge({ database: rig.database, lineTypes, providers, record: () => async () => undefined }).judge(
      text,
      question,
    )
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
    const { database } = rig
    lineTypes = new LineTypes(database)
    await stockCustomers(database, ['cus_a', 'cus_b'])
    await stockProduct(database, { productId: 'prd_text', countries: ['US', 'GB'] })
    await stockProduct(database, { productId: 'prd_other_text', countries: ['US'] })
    await stockProduct(database, { productId: 'prd_local', type: 'local', countries: ['US', 'GB', 'DE'] })
    await stockProduct(database, { productId: 'prd_free', type: 'tollFree', countries: ['US'] })
    const known = { source: 'a carrier', asOf: ASKED }
    await lineTypes.import([
      { ...known, prefix: '+1212', lineType: 'landline' },
      { ...known, prefix: '+12125550', lineType: 'mobile' },
      { ...known, prefix: '+121255501', lineType: 'landline', carrier: 'Acme' },
      { ...known, prefix: '+12125550199', lineType: 'voip' },
      { ...known, prefix: '+1555', lineType: 'landline' },
    ])
    await stockNumbers(database, { start: '+12125550150', count: 6, productId: 'prd_local' })
  })
  afterAll(() => rig.stop())

  test('an eligible number: every rule, with what it went by and of what time that is', async () => {
    expect(await judge('+12125550101')).toEqual({
      isEligible: true,
      reason: 'eligible',
      lineType: 'landline',
      rules: [
        { rule: 'valid_number', passed: true, input: '+12125550101', source: 'numbering plan' },
        { rule: 'country', passed: true, input: 'US', source: 'catalogue' },
        { rule: 'line_type', passed: true, input: 'landline', source: 'line type table', asOf: ASKED },
        { rule: 'not_provisioned_by_you', passed: true, input: 'not yours', source: 'inventory' },
        { rule: 'not_provisioned_by_another', passed: true, input: 'nobody', source: 'inventory' },
      ],
    } satisfies Eligibility)
  })

  test.each([
    ['the longest prefix decides', '+12125550001', 'mobile_number', 'mobile'],
    ['a number of its own in the table', '+12125550199', 'type_not_supported', 'voip'],
    [
      'a geographic number of the North American plan that no table knows',
      '+13105550101',
      'line_type_unknown',
      'unknown',
    ],
    ['toll-free, by the numbering plan', '+18005550101', 'eligible', 'tollFree'],
    ['premium', '+19005550101', 'type_not_supported', 'premium'],
    ['a landline, by the numbering plan', '+442079460001', 'eligible', 'landline'],
    ['a country where it is not offered', '+493023125001', 'country_not_supported', 'landline'],
    ['no country at all', '+80012345678', 'country_not_supported', 'tollFree'],
    ['a range that only the table knows', '+15551234567', 'eligible', 'landline'],
    ['a range that nobody knows', '+12425550101', 'invalid_number', 'unknown'],
    ['too few digits', '+1212555', 'invalid_number', 'unknown'],
    ['no plus', '12125550101', 'invalid_number', 'unknown'],
    ['letters', '+1800FLOWERS', 'invalid_number', 'unknown'],
    ['nothing', '', 'invalid_number', 'unknown'],
  ])('%s', async (_, text, reason, lineType) => {
    expect(await judge(text)).toMatchObject({ reason, lineType, isEligible: reason === 'eligible' })
  })

  test('rules after the one that decides are not looked at', async () => {
    const { rules } = await judge('+12125550001')
    expect(rules.map(({ rule, passed }) => `${rule} ${passed}`)).toEqual([
      'valid_number true',
      'country true',
      'line_type false',
    ])
  })

  const set = (e164: string, text: string) =>
    rig.database.query((db) => sql`update numbers set ${sql.raw(text)} where e164 = ${e164}`.execute(db))
  const service = (e164: string, customerId: string, { productId = 'prd_text', state = 'active' } = {}) =>
    rig.database.query(async (db) => {
      const id = `${customerId}${e164.slice(1)}${state}`
      await order(`ord_${id}`, customerId, productId).execute(db)
      await sql`insert into services (service_id, customer_id, product_id, e164, state, features, currency,
        monthly_price, order_id) values (${`inv_${id}`}, ${customerId}, ${productId}, ${e164}, ${state}, '[]', 'USD', 0,
        ${`ord_${id}`})`.execute(db)
    })
  const item = (e164: string, customerId: string, state: string) =>
    rig.database.query(async (db) => {
      const id = `${customerId}${e164.slice(1)}${state}`
      await order(`ord_${id}`, customerId, 'prd_text').execute(db)
      await sql`insert into order_items (item_id, order_id, product_id, customer_id, e164, action, state,
        one_time_price, monthly_price) values (${`itm_${id}`}, ${`ord_${id}`}, 'prd_text', ${customerId}, ${e164}, 'add',
        ${state}, 0, 0)`.execute(db)
    })

  test('who has it already: you, or another; ended services and closed orders do not count', async () => {
    await service('+12125550110', 'cus_a')
    await service('+12125550111', 'cus_b')
    await service('+12125550112', 'cus_b', { state: 'ended' })
    await service('+12125550113', 'cus_b', { productId: 'prd_other_text' })
    await item('+12125550114', 'cus_a', 'pending')
    await item('+12125550115', 'cus_b', 'held')
    await item('+12125550116', 'cus_b', 'cancelled')
    const reasons: string[] = []
    for (let end = 110; end <= 116; end += 1) reasons.push((await judge(`+12125550${end}`)).reason)
    expect(reasons).toEqual([
      'provisioned_by_you',
      'provisioned_by_another',
      'eligible',
      'provisioned_by_another',
      'provisioned_by_you',
      'provisioned_by_another',
      'eligible',
    ])
  })

  test("messaging on a number of one's own is fine, on another customer's it is not", async () => {
    for (const e164 of ['+12125550150', '+12125550151']) await set(e164, `state = 'reserved', order_id = 'ord_x'`)
    await set('+12125550150', `state = 'in_service', customer_id = 'cus_a'`)
    await set('+12125550151', `state = 'in_service', customer_id = 'cus_b'`)
    await set('+12125550152', `state = 'reserved', customer_id = 'cus_b', order_id = 'ord_x'`)
    await set(
      '+12125550153',
      `state = 'reserved', customer_id = 'cus_b', reservation_id = 'rsv_x', reserved_until = now() + interval '1 hour'`,
    )
    await set('+12125550154', `state = 'removed'`)
    const reasonsOf = async (question: typeof MESSAGING) => {
      const reasons: string[] = []
      for (let end = 150; end <= 155; end += 1) reasons.push((await judge(`+12125550${end}`, question)).reason)
      return reasons
    }
    expect(await reasonsOf(MESSAGING)).toEqual([
      'eligible',
      'provisioned_by_another',
      'provisioned_by_another',
      'eligible',
      'eligible',
      'eligible',
    ])
    // To port a number in, it must be nobody's here, not even ours to sell.
    expect(await reasonsOf({ customerId: 'cus_a', productId: 'prd_local' })).toEqual([
      'provisioned_by_you',
      'provisioned_by_another',
      'provisioned_by_another',
      'provisioned_by_another',
      'eligible',
      'provisioned_by_another',
    ])
  })

  test('a product of numbers takes the numbers of its type; where nobody can tell, the losing carrier will', async () => {
    const local = { customerId: 'cus_a', productId: 'prd_local' }
    const free = { customerId: 'cus_a', productId: 'prd_free' }
    expect((await judge('+13105550101', local)).reason).toBe('eligible')
    expect((await judge('+447911123456', local)).reason).toBe('country_not_supported')
    expect((await judge('+4915112345678', local)).reason).toBe('mobile_number')
    expect((await judge('+18005550101', free)).reason).toBe('eligible')
    expect((await judge('+13105550101', free)).reason).toBe('line_type_unknown')
  })

  test('the provider has the last word, and is asked only if nothing else stands against it', async () => {
    const asked: string[] = []
    const verdict: Eligibility = {
      isEligible: false,
      reason: 'provisioned_elsewhere',
      lineType: 'landline',
      rules: [{ rule: 'carrier', passed: false, input: 'Acme', source: 'sandbox', asOf: 5 }],
    }
    const provider = providerThat((e164) => {
      asked.push(e164)
      return Promise.resolve(verdict)
    })
    const judged = await judge('+12125550101', MESSAGING, new Map([['sandbox', provider]]))
    expect(judged).toMatchObject({ isEligible: false, reason: 'provisioned_elsewhere' })
    expect(judged.rules.slice(-2)).toEqual([
      { rule: 'provider', passed: false, input: 'provisioned_elsewhere', source: 'sandbox' },
      { rule: 'provider_carrier', passed: false, input: 'Acme', source: 'sandbox', asOf: 5 },
    ])
    await judge('+12125550001', MESSAGING, new Map([['sandbox', provider]]))
    expect(asked).toEqual(['+12125550101'])
  })

  test("what the provider has for the gateway itself is another one's to a customer that has nothing on it", async () => {
    const provider = providerThat(() =>
      Promise.resolve({ isEligible: false, reason: 'provisioned_by_you', lineType: 'landline', rules: [] }),
    )
    const judged = await judge('+12125550101', MESSAGING, new Map([['sandbox', provider]]))
    expect(judged).toMatchObject({ isEligible: false, reason: 'provisioned_by_another' })
    expect(judged.rules.at(-1)).toMatchObject({ rule: 'provider', passed: false })
  })

  test('a provider that does not answer is unavailable, and an unknown product is not found', async () => {
    const broken = providerThat(() => Promise.reject(new Error('no route')))
    await expect(judge('+12125550101', MESSAGING, new Map([['sandbox', broken]]))).rejects.toMatchObject({
      code: 'provider_unavailable',
    })
    const failing = judge('+12125550101', { customerId: 'cus_a', productId: 'prd_none' })
    await expect(failing).rejects.toMatchObject({ code: 'product_not_found' })
  })

  test('an import keeps the later of two entries, in any order and in many batches', async () => {
    const old = { source: 'old', asOf: ASKED - 1, lineType: 'mobile' } as const
    const recent = { source: 'new', asOf: ASKED, lineType: 'landline' } as const
    expect(
      await lineTypes.import([
        { ...recent, prefix: '+4420' },
        { ...old, prefix: '+4420' },
      ]),
    ).toBe(1)
    expect(await lineTypes.import([{ ...old, prefix: '+4420' }])).toBe(0)
    expect(await lineTypes.find('+442079460001')).toEqual({ ...recent, prefix: '+4420' })
    const many = Array.from({ length: 2_500 }, (_, at) => ({ ...old, prefix: `+33${1_000 + at}` }))
    expect(await lineTypes.import(many)).toBe(2_500)
    expect(await lineTypes.find('+33349912345')).toEqual({ ...old, prefix: '+333499' })
    expect(await lineTypes.find('+49')).toBeUndefined()
  })
})

/** One that can do nothing but judge. */
function providerThat(judgeEligibility: NumberProvider['judgeEligibility']): NumberProvider {
  return {
    id: 'sandbox',
    about: { name: 'Sandbox', description: 'Judges', version: '1.0.0' },
    capabilities: {
      actions: new Set(),
      isIdempotent: true,
      canFind: true,
      canCancel: false,
      judgesEligibility: true,
      batchMax: 1,
    },
    execute: cannot,
    poll: cannot,
    find: cannot,
    cancel: cannot,
    judgeEligibility,
  }
}

const cannot = () => Promise.reject(new GatewayError('internal'))

const order = (id: string, customerId: string, productId: string) => sql`
    insert into orders (order_id, customer_id, product_id, face, action, state, partial_allowed, parameters, metadata,
      quantity_requested, currency, one_time_price, monthly_price)
    values (${id}, ${customerId}, ${productId}, 'zipwhip', 'add', 'inProgress', false, '{}', '{}', 1, 'USD', 0, 0)`
