import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestProvisioning, type TestProvisioning } from '../../../test/support/provisioning.ts'
import { STORES } from '../../../test/support/records.ts'
import { createContacts, type ContactInput } from './contacts.ts'
import type { ListRequest } from './listing.ts'
import { stockCustomers } from '../../../test/support/number-stock.ts'

const PERSON: ContactInput = {
  firstName: 'Ada',
  lastName: 'Jones',
  email: 'ada@example.net',
  role: 'technical',
}

const forged = (...values: readonly unknown[]) => Buffer.from(JSON.stringify(values)).toString('base64url')

describe.each(STORES)('lists on %s', (store) => {
  let rig: TestProvisioning
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
    await stockCustomers(rig.database, ['cus_a', 'cus_b'])
    const contacts = createContacts(rig.database)
    for (const [index, lastName] of ['Jones', 'Smith', 'Jones', 'Brown', 'Smith'].entries()) {
      const input = { ...PERSON, lastName, firstName: `No ${index}` }
      await contacts.create({ customerId: 'cus_a', actor: 'admin', input, now: 1_000 + index }, () => Promise.resolve())
    }
    const other = { customerId: 'cus_b', actor: 'admin', input: PERSON, now: 2_000 }
    await contacts.create(other, () => Promise.resolve())
  })
  afterAll(() => rig.stop())

  const namesOf = async (request: Partial<ListRequest>) => {
    const page = await createContacts(rig.database).list('cus_a', { limit: 100, ...request })
    return page.items.map((contact) => `${contact.lastName} ${contact.firstName.slice(3)}`)
  }

  test('are in the order of creation, and in any other that is asked for', async () => {
    expect(await namesOf({})).toEqual(['Jones 0', 'Smith 1', 'Jones 2', 'Brown 3', 'Smith 4'])
    expect(await namesOf({ sort: 'lastName' })).toEqual(['Brown 3', 'Jones 0', 'Jones 2', 'Smith 1', 'Smith 4'])
    expect(await namesOf({ sort: '-lastName,-firstName' })).toEqual([
      'Smith 4',
      'Smith 1',
      'Jones 2',
      'Jones 0',
      'Brown 3',
    ])
  })

  test.each(['', 'lastName', '-lastName', '-createdAt', 'role,-lastName'])(
    'have pages that together are the list, sorted by "%s"',
    async (sort) => {
      const contacts = createContacts(rig.database)
      const order = sort === '' ? {} : { sort }
      const ids: string[] = []
      let cursor: string | undefined
      do {
        const page = await contacts.list('cus_a', { limit: 2, cursor, ...order })
        ids.push(...page.items.map((contact) => contact.contactId))
        cursor = page.cursor
      } while (cursor !== undefined)
      const whole = await contacts.list('cus_a', { limit: 100, ...order })
      expect(ids).toEqual(whole.items.map((contact) => contact.contactId))
      expect(ids).toHaveLength(5)
    },
  )

  test('can be of those that have the same in a field, also the time that they tell', async () => {
    const contacts = createContacts(rig.database)
    expect(await namesOf({ equals: { lastName: 'Smith' } })).toEqual(['Smith 1', 'Smith 4'])
    expect(await namesOf({ equals: { lastName: 'Nobody' } })).toEqual([])
    const [first] = (await contacts.list('cus_a', { limit: 1 })).items
    const createdAt = new Date(first?.createdAt ?? 0).toISOString()
    expect(await namesOf({ equals: { createdAt } })).toContain('Jones 0')
  })

  test.each([
    ['sort', { sort: 'phone' }],
    ['sort', { sort: 'lastName,lastName' }],
    ['sort', { sort: 'lastName,,email' }],
    ['sort', { sort: '__proto__' }],
    ['cursor', { cursor: 'x' }],
    ['cursor', { cursor: forged('id') }],
    ['cursor', { cursor: forged('lastName,id', 'Jones', 'con_1') }],
    ['cursor', { cursor: forged('id', 'con_\u0000') }],
    ['cursor', { sort: 'createdAt', cursor: forged('createdAt,id', 'yesterday', 'con_1') }],
    ['cursor', { sort: 'createdAt', cursor: forged('createdAt,id', '2026-02-30 00:00:00+00', 'con_1') }],
    ['createdAt', { equals: { createdAt: 'yesterday' } }],
    ['createdAt', { equals: { createdAt: '2026-02-30T00:00:00Z' } }],
    ['createdAt', { equals: { createdAt: '2026-01-01T25:00:00Z' } }],
    ['phone', { equals: { phone: '+15550100001' } }],
  ])('refuse a %s that is none: %j', async (field, request) => {
    const list = createContacts(rig.database).list('cus_a', { limit: 10, ...request })
    await expect(list).rejects.toMatchObject({ code: 'invalid_request', fields: { errors: [{ field }] } })
  })
})
