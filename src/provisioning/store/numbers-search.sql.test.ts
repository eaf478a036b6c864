import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { stockNumbers, stockProduct } from '../../../test/support/number-stock.ts'
import { startTestProvisioning, type TestProvisioning } from '../../../test/support/provisioning.ts'
import { STORES } from '../../../test/support/records.ts'
import { searchAvailable, type NumberSearch } from './numbers-search.ts'

describe.each(STORES)('the search for numbers on %s', (store) => {
  let rig: TestProvisioning
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
    const { database } = rig
    await stockProduct(database, { productId: 'prd_local', type: 'local', countries: ['US', 'DE'] })
    await stockProduct(database, { productId: 'prd_free', type: 'tollFree' })
    await database.query((db) =>
      db
        .insertInto('cities')
        .values({ city_id: 'cty_ny', country: 'US', name: 'New York', area_codes: '[]' })
        .execute(),
    )
    const local = { productId: 'prd_local', areaCode: '212', cityId: 'cty_ny', features: ['voice'] }
    await stockNumbers(database, { ...local, start: '+12125550100', count: 30 })
    await stockNumbers(database, { ...local, start: '+12125550140', count: 5, features: ['voice', 'sms'] })
    await stockNumbers(database, { start: '+493023125000', count: 20, productId: 'prd_local', country: 'DE' })
    await stockNumbers(database, {
      start: '+18005550100',
      count: 10,
      productId: 'prd_free',
      features: ['voice', 'fax'],
    })
    await database.query((db) =>
      sql`update numbers set state = 'reserved', order_id = 'ord_1' where e164 = '+12125550103'`.execute(db),
    )
    await hold(['+12125550105'], '10 minutes')
    await hold(['+12125550106', '+18005550101'], '-1 second')
  })
  afterAll(() => rig.stop())

  const hold = (numbers: readonly string[], until: string) =>
    rig.database.query((db) =>
      sql`update numbers set state = 'reserved', reservation_id = 'rsv_1', reserved_until = now() + ${until}::interval
        where e164 = any(${[...numbers]}::text[])`.execute(db),
    )
  const find = async (search: NumberSearch): Promise<readonly string[]> =>
    (await rig.database.query((db) => searchAvailable(db, search))).map(({ e164 }) => e164)

  test('free numbers come in the order of their digits, with those whose hold has lapsed', async () => {
    expect(await find({ countryCode: 'US', limit: 8 })).toEqual([
      '+12125550100',
      '+12125550101',
      '+12125550102',
      '+12125550104',
      '+12125550106',
      '+12125550107',
      '+12125550108',
      '+12125550109',
    ])
  })

  test('a number is told with what it is', async () => {
    const found = await rig.database.query((db) => searchAvailable(db, { areaCode: '212', endsWith: '0144', limit: 2 }))
    expect(found).toEqual([
      {
        e164: '+12125550144',
        productId: 'prd_local',
        country: 'US',
        type: 'local',
        features: ['voice', 'sms'],
        cityId: 'cty_ny',
        areaCode: '212',
        isReservable: true,
      },
    ])
  })

  test('what is held is shown on request, and said to be held', async () => {
    const search = { countryCode: 'US', startsWith: '212555010', limit: 10, excludeReserved: false }
    const found = await rig.database.query((db) => searchAvailable(db, search))
    expect(found.filter(({ isReservable }) => !isReservable).map(({ e164 }) => e164)).toEqual(['+12125550105'])
    expect(found).toHaveLength(9)
  })

  test('pages follow one another without a gap', async () => {
    const all = await find({ countryCode: 'US', limit: 100 })
    const paged: string[] = []
    for (;;) {
      const after = paged.at(-1)
      const page = await find({ countryCode: 'US', limit: 7, ...(after !== undefined && { after }) })
      if (page.length === 0) break
      paged.push(...page)
    }
    expect(all).toHaveLength(43)
    expect(paged).toEqual(all)
  })

  const SEARCHES: readonly (readonly [string, Omit<NumberSearch, 'limit'>, readonly string[]])[] = [
    ['country', { countryCode: 'DE', endsWith: '7' }, ['+493023125007', '+493023125017']],
    ['city', { cityId: 'cty_ny', endsWith: '00' }, ['+12125550100']],
    ['area code without a country', { areaCode: '212', contains: '5014' }, numbersFrom('+12125550140', 5)],
    ['product', { productId: 'prd_free', endsWith: '8' }, ['+18005550108']],
    ['type', { type: 'tollFree', startsWith: '800', endsWith: '1' }, ['+18005550101']],
    ['type alone', { type: 'tollFree' }, numbersFrom('+18005550100', 10)],
    ['a feature', { features: ['sms'] }, numbersFrom('+12125550140', 5)],
    ['features and type', { features: ['fax', 'voice'], type: 'tollFree' }, numbersFrom('+18005550100', 10)],
    ['features nobody has together', { features: ['fax', 'sms'] }, []],
    ['features and product', { features: ['fax'], productId: 'prd_local' }, []],
    ['three digits anywhere', { contains: '125019' }, ['+493023125019']],
    ['two digits anywhere', { contains: '01', endsWith: '11', countryCode: 'DE' }, ['+493023125011']],
    ['the beginning, without a country', { startsWith: '302312501' }, numbersFrom('+493023125010', 10)],
    ['the beginning is not that of the country code', { startsWith: '49' }, []],
    ['the end', { endsWith: '5019' }, ['+493023125019']],
    ['%', { contains: '%' }, []],
    ['_', { contains: '5550_4' }, []],
    ['backslash', { startsWith: '\\' }, []],
    ['quote', { endsWith: "'" }, []],
  ]
  test.each(SEARCHES)('by %s', async (_, search, expected) => {
    expect(await find({ ...search, limit: 20 })).toEqual(expected)
  })

  test('runs are whole, do not overlap, and go over what is held to the next', async () => {
    expect(await find({ areaCode: '212', consecutive: 3, limit: 7 })).toEqual([
      ...numbersFrom('+12125550100', 3),
      ...numbersFrom('+12125550106', 3),
    ])
    expect(await find({ areaCode: '212', consecutive: 25, limit: 50 })).toEqual([])
  })

  test('the closest to a number come first, page after page', async () => {
    const near = { nearNumber: '+12125550105', limit: 4 }
    const first = await find(near)
    expect(first).toEqual(['+12125550104', '+12125550106', '+12125550107', '+12125550102'])
    expect(await find({ ...near, after: '+12125550102' })).toEqual([
      '+12125550108',
      '+12125550101',
      '+12125550109',
      '+12125550100',
    ])
    expect(await find({ nearNumber: '+493023125019', limit: 2 })).toEqual(['+493023125019', '+493023125018'])
  })

  test.each([
    ['+15550100001', '5550100001'],
    ['+442079460001', '2079460001'],
    ['+33199001234', '199001234'],
    ['+351210000001', '210000001'],
    ['+420220000001', '220000001'],
    ['+79991234567', '9991234567'],
    ['+85221234567', '21234567'],
    ['+8190123456', '90123456'],
    ['+97141234567', '41234567'],
  ])('the national number of %s is %s', async (e164, national) => {
    const row = await rig.database.transaction(async (tx) => {
      await tx.insertInto('numbers').values({ e164, product_id: 'prd_free', country: 'ZZ', state: 'removed' }).execute()
      return tx.deleteFrom('numbers').where('e164', '=', e164).returning('national').executeTakeFirst()
    })
    expect(row?.national).toBe(national)
  })
})

function numbersFrom(start: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, step) => `+${BigInt(start.slice(1)) + BigInt(step)}`)
}
