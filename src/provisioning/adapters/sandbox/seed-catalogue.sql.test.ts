import { parsePhoneNumberFromString } from 'libphonenumber-js/max'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestProvisioning, type TestProvisioning } from '../../../../test/support/provisioning.ts'
import { STORES } from '../../../../test/support/records.ts'
import { SEED_BLOCKS } from './catalogue.ts'
import { numbersOf, seedCatalogue } from './seed-catalogue.ts'

describe('the numbers of the sandbox', () => {
  const numbers = SEED_BLOCKS.flatMap((block) => numbersOf(block).map((e164) => ({ e164, block })))

  test('are some thousand, each once', () => {
    expect(numbers.length).toBeGreaterThan(5_000)
    expect(new Set(numbers.map(({ e164 }) => e164)).size).toBe(numbers.length)
  })

  test('are valid where they are said to be from, and begin with their area code', () => {
    const wrong = numbers.filter(({ e164, block }) => {
      const number = parsePhoneNumberFromString(e164)
      const isOfPlace = number?.country === block.country && number.nationalNumber.startsWith(block.areaCode)
      // A toll-free number of North America is of no country in particular.
      const isTollFree = number?.getType() === 'TOLL_FREE' && number.nationalNumber.startsWith(block.areaCode)
      return number?.isValid() !== true || !(isOfPlace || isTollFree)
    })
    expect(wrong).toEqual([])
  })
})

describe.each(STORES)('the catalogue of the sandbox on %s', (store) => {
  let rig: TestProvisioning
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
  })
  afterAll(() => rig.stop())

  const count = (table: 'products' | 'product_prices' | 'cities' | 'numbers' | 'line_types') =>
    rig.database.query(async (db) => {
      const { rows } = await db
        .selectFrom(table)
        .select(({ fn }) => fn.countAll<number>().as('rows'))
        .executeTakeFirstOrThrow()
      return rows
    })

  const counts = async () => [
    await count('products'),
    await count('product_prices'),
    await count('numbers'),
    await count('line_types'),
  ]

  test('is written once, also by several instances at once, and never over one that there is', async () => {
    const seeded = await Promise.all([seedCatalogue(rig.database), seedCatalogue(rig.database)])
    expect(seeded).toContain(true)
    const numbers = SEED_BLOCKS.reduce((sum, block) => sum + numbersOf(block).length, 0)
    const before = await counts()
    expect(before).toEqual([14, 56, numbers, 72])
    await rig.database.query((db) => db.updateTable('products').set({ name: 'Ours' }).execute())
    expect(await seedCatalogue(rig.database)).toBe(false)
    expect(await counts()).toEqual(before)
    const names = await rig.database.query((db) => db.selectFrom('products').select('name').distinct().execute())
    expect(names).toEqual([{ name: 'Ours' }])
  })

  test('has a city with its area code, and numbers with what an order needs', async () => {
    const seattle = await rig.database.query((db) =>
      db.selectFrom('cities').selectAll().where('city_id', '=', 'cty_us-seattle').executeTakeFirst(),
    )
    expect(seattle).toMatchObject({ country: 'US', name: 'Seattle', region: 'WA', area_codes: ['206'] })
    const number = await rig.database.query((db) =>
      db.selectFrom('numbers').selectAll().where('e164', '=', '+12065550142').executeTakeFirst(),
    )
    expect(number).toMatchObject({
      product_id: 'prd_us-local',
      country: 'US',
      city_id: 'cty_us-seattle',
      area_code: '206',
      state: 'available',
      features: ['fax', 'sms', 'voice'],
    })
  })

  test('names the product of these numbers last, so that nobody takes it for an ordinary one', async () => {
    const last = await rig.database.query((db) =>
      db.selectFrom('products').select('product_id').orderBy('product_id', 'desc').executeTakeFirst(),
    )
    expect(last).toEqual({ product_id: 'prd_zz-faults' })
  })

  test('sells the numbers that something goes wrong with as such only', async () => {
    const odd = await rig.database.query((db) =>
      db
        .selectFrom('numbers')
        .select(['e164', 'product_id'])
        .where('e164', 'like', '+1%0190')
        .orderBy('e164')
        .execute(),
    )
    expect(odd).toEqual([
      { e164: '+18085550190', product_id: 'prd_zz-faults' },
      { e164: '+19075550190', product_id: 'prd_zz-faults' },
    ])
  })
})
