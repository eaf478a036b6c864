import { sql } from 'kysely'
import { stockProduct } from '../../test/support/number-stock.ts'
import type { ProvisioningDatabase } from '../../src/provisioning/store/database.ts'

/** Area codes of ours, with numbers that are kept free for fiction: 555-0000 to 555-9999. */
const AREAS_PER_MILLION = 88
const FIRST_AREA = 201
const TOLL_FREE = ['800', '833', '844', '855', '866', '877', '888']
/** Beginnings of national numbers that regulators keep free for fiction, and how many digits follow. */
const ABROAD = [
  {
    country: 'GB',
    productId: 'prd_gb',
    calling: '44',
    digits: 3,
    begins: ['2079460', '1134960', '1144960', '1154960'],
  },
  {
    country: 'DE',
    productId: 'prd_de',
    calling: '49',
    digits: 3,
    begins: ['3023125', '6990009', '4066969', '2214710'],
  },
  {
    country: 'FR',
    productId: 'prd_fr',
    calling: '33',
    digits: 4,
    begins: ['19900', '26191', '35301', '46571', '53649'],
  },
]

export type Inventory = { readonly areas: readonly string[]; readonly total: number }

/**
 * An inventory as an operator has it: most numbers are American and stand in blocks of 10,000, a fifth is in service,
 * features differ, toll-free numbers come last and alone have fax. Each block is one statement's work.
 */
export async function makeInventory(database: ProvisioningDatabase, wanted: number): Promise<Inventory> {
  const areas = Array.from({ length: Math.max(1, Math.round((AREAS_PER_MILLION * wanted) / 1_000_000)) }, (_, at) =>
    String(FIRST_AREA + at * 7),
  )
  const tollFree = TOLL_FREE.slice(0, Math.max(1, Math.round((TOLL_FREE.length * wanted) / 1_000_000)))
  await stockProduct(database, { productId: 'prd_us', type: 'local' })
  await stockProduct(database, { productId: 'prd_free', type: 'tollFree' })
  for (const { productId, country } of ABROAD) {
    await stockProduct(database, { productId, type: 'local', countries: [country] })
  }
  await database.query(async (db) => {
    await db
      .insertInto('customers')
      .values({
        customer_id: 'cus_served',
        name: 'Acme',
        status: 'active',
        country: 'US',
        currency: 'USD',
        metadata: '{}',
      })
      .execute()
    await db
      .insertInto('cities')
      .values(
        areas.map((area) => ({
          city_id: `cty_${area}`,
          country: 'US',
          name: area,
          area_codes: JSON.stringify([area]),
        })),
      )
      .execute()
  })
  const blocks = [
    ...areas.map((area) => ({
      begin: `1${area}555`,
      digits: 4,
      area,
      city: `cty_${area}`,
      productId: 'prd_us',
      country: 'US',
    })),
    ...tollFree.map((area) => ({
      begin: `1${area}555`,
      digits: 4,
      area,
      city: null,
      productId: 'prd_free',
      country: 'US',
    })),
    ...ABROAD.flatMap(({ country, productId, calling, digits, begins }) =>
      begins.map((begin) => ({
        begin: calling + begin,
        digits,
        area: begin.slice(0, 3),
        city: null,
        productId,
        country,
      })),
    ),
  ]
  for (const block of blocks) await makeBlock(database, block)
  await database.query((db) => sql`vacuum (analyze) numbers`.execute(db))
  await database.query((db) => sql`analyze`.execute(db))
  const { rows } = await database.query((db) =>
    sql<{ total: number }>`select count(*) as total from numbers`.execute(db),
  )
  return { areas, total: rows[0]?.total ?? 0 }
}

type Block = {
  readonly begin: string
  readonly digits: number
  readonly area: string
  readonly city: string | null
  readonly productId: string
  readonly country: string
}

async function makeBlock(database: ProvisioningDatabase, block: Block): Promise<void> {
  const { begin, digits, area, city, productId, country } = block
  const last = Array.from({ length: digits }, () => '9').join('')
  await database.query((db) =>
    sql`
      insert into numbers (e164, product_id, country, area_code, city_id, features, state, customer_id)
      select '+' || ${begin}::text || lpad(step::text, ${digits}::integer, '0'), ${productId}, ${country}, ${area}, ${city},
        case when ${productId}::text = 'prd_free' then '["voice","fax"]' when chance < 40 then '["voice"]'
          when chance < 70 then '["voice","sms"]' else '["voice","sms","mms"]' end::jsonb,
        case when served then 'in_service' else 'available' end, case when served then 'cus_served' end
      from (
        select step, (step * 2654435761 % 100003) % 100 as chance, (step * 40503 % 65537) % 5 = 0 as served
        from generate_series(0, ${last}::bigint) as step
      ) as drawn`.execute(db),
  )
}
