import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { stockCustomers } from '../../../test/support/number-stock.ts'
import { startTestProvisioning, type TestProvisioning } from '../../../test/support/provisioning.ts'
import { STORES } from '../../../test/support/records.ts'
import { Customers } from './customers.ts'
import { createPaymentMethods, type PaymentMethodInput, type PaymentMethods } from './payment-methods.ts'

const CARD: PaymentMethodInput = { type: 'card', token: 'sealed', isDefault: false }
const ADMIN = { kind: 'admin' } as const

describe.each(STORES)('payment methods on %s', (store) => {
  let rig: TestProvisioning
  let methods: PaymentMethods
  let customers: Customers
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
    methods = createPaymentMethods(rig.database)
    customers = new Customers(rig.database)
    await stockCustomers(rig.database, ['cus_a', 'cus_b', 'cus_c', 'cus_d'])
  })
  afterAll(() => rig.stop())

  const add = (customerId: string, input: Partial<PaymentMethodInput> = {}) =>
    methods.create({ customerId, actor: 'admin', input: { ...CARD, ...input }, now: Date.now() }, () =>
      Promise.resolve(),
    )
  const defaultsOf = async (customerId: string) => {
    const { items } = await methods.list(customerId, { limit: 100, equals: { isDefault: 'true' } })
    return items.map((method) => method.paymentMethodId)
  }

  test('the customer and the method say the same of what is the default, whichever of them was told', async () => {
    const first = await add('cus_a', { isDefault: true })
    expect((await customers.find(ADMIN, 'cus_a')).defaultPaymentMethodId).toBe(first.paymentMethodId)
    const second = await add('cus_a', { isDefault: true })
    expect(await defaultsOf('cus_a')).toEqual([second.paymentMethodId])
    const customer = await customers.find(ADMIN, 'cus_a')
    expect(customer.defaultPaymentMethodId).toBe(second.paymentMethodId)

    const input = { ...customer, defaultPaymentMethodId: first.paymentMethodId }
    await customers.replace({ scope: ADMIN, customerId: 'cus_a', input })
    expect(await defaultsOf('cus_a')).toEqual([first.paymentMethodId])
    await customers.replace({
      scope: ADMIN,
      customerId: 'cus_a',
      input: { ...input, defaultPaymentMethodId: undefined },
    })
    expect(await defaultsOf('cus_a')).toEqual([])

    const third = await add('cus_a', { isDefault: true })
    await methods.remove({ customerId: 'cus_a', actor: 'admin', id: third.paymentMethodId })
    expect((await customers.find(ADMIN, 'cus_a')).defaultPaymentMethodId).toBeUndefined()
  })

  test('many that want to be the default at once: all are there, one is', async () => {
    await Promise.all(Array.from({ length: 8 }, () => add('cus_b', { isDefault: true })))
    expect((await methods.list('cus_b', { limit: 100 })).items).toHaveLength(8)
    const defaults = await defaultsOf('cus_b')
    expect(defaults).toHaveLength(1)
    expect((await customers.find(ADMIN, 'cus_b')).defaultPaymentMethodId).toBe(defaults[0])
  })

  test('the default of another customer cannot become this one’s', async () => {
    const theirs = await add('cus_c', { isDefault: true })
    const customer = await customers.find(ADMIN, 'cus_d')
    const input = { ...customer, defaultPaymentMethodId: theirs.paymentMethodId }
    await expect(customers.replace({ scope: ADMIN, customerId: 'cus_d', input })).rejects.toMatchObject({
      code: 'resource_not_found',
    })
    expect(await defaultsOf('cus_c')).toEqual([theirs.paymentMethodId])
  })

  test('what was an invoice does not become a card without a token', async () => {
    const { token: _, ...invoice } = { ...CARD, type: 'invoice' as const }
    const made = await methods.create({ customerId: 'cus_d', actor: 'admin', input: invoice, now: 1 }, () =>
      Promise.resolve(),
    )
    const change = { customerId: 'cus_d', actor: 'admin', id: made.paymentMethodId }
    const input: PaymentMethodInput = { type: 'card', isDefault: false }
    await expect(methods.replace({ ...change, input })).rejects.toMatchObject({
      code: 'invalid_request',
      fields: { errors: [{ field: 'token' }] },
    })
    await methods.replace({ ...change, input: CARD })
    expect(await methods.replace({ ...change, input })).toMatchObject({ type: 'card', version: 3 })
  })
})
