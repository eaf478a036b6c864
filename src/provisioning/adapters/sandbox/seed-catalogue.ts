import { sql } from 'kysely'
import type { ProvisioningDatabase, Queries } from '../../store/database.ts'
import { SEED_BLOCKS, SEED_PRODUCTS, type SeedBlock, type SeedProduct } from './catalogue.ts'
import { isMagic } from './magic-numbers.ts'

const PROVIDER = 'sandbox'
const LINE_TYPES: Readonly<Record<NonNullable<SeedProduct['numberType']>, string>> = {
  local: 'landline',
  national: 'landline',
  tollFree: 'tollFree',
  mobile: 'mobile',
}

/**
 * Fills an empty catalogue with what the sandbox carrier offers: products, prices, cities and some thousand invented
 * numbers, valid in their countries' numbering plans and set aside there for fiction. False: there is a catalogue,
 * which is left as it is. Instances that do it at once do it once.
 */
export function seedCatalogue(database: ProvisioningDatabase): Promise<boolean> {
  return database.transaction(async (tx) => {
    if ((await tx.selectFrom('products').select('product_id').limit(1).execute()).length > 0) return false
    await insertProducts(tx)
    await insertCities(tx)
    await insertNumbers(tx)
    await insertLineTypes(tx)
    return true
  })
}

async function insertProducts(tx: Queries): Promise<void> {
  await tx
    .insertInto('products')
    .values(
      SEED_PRODUCTS.map((product) => ({
        product_id: product.productId,
        name: product.name,
        kind: product.numberType === undefined ? ('messaging' as const) : ('number' as const),
        number_type: product.numberType ?? null,
        provider: PROVIDER,
        actions: JSON.stringify(product.actions),
        features: JSON.stringify(product.features),
        requirements: '[]',
      })),
    )
    .onConflict((conflict) => conflict.doNothing())
    .execute()
  const prices = SEED_PRODUCTS.flatMap(({ productId, prices: byCurrency }) =>
    Object.entries(byCurrency).map(([currency, [oneTime, monthly]]) => ({
      product_id: productId,
      currency,
      one_time: oneTime,
      monthly,
    })),
  )
  await tx
    .insertInto('product_prices')
    .values(prices)
    .onConflict((conflict) => conflict.doNothing())
    .execute()
  const countries = SEED_PRODUCTS.flatMap(({ productId, countries: codes }) =>
    codes.map((country) => ({ product_id: productId, country })),
  )
  await tx
    .insertInto('product_countries')
    .values(countries)
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}

/** `cty_us-new-york` */
function cityIdOf({ country, city }: SeedBlock): string | undefined {
  if (city === undefined) return undefined
  const name = city.name
    .normalize('NFD')
    .replaceAll(/\p{M}/gu, '')
    .toLowerCase()
    .replaceAll(/[^a-z]+/g, '-')
  return `cty_${country.toLowerCase()}-${name}`
}

async function insertCities(tx: Queries): Promise<void> {
  const cities = SEED_BLOCKS.flatMap((block) => {
    const cityId = cityIdOf(block)
    if (cityId === undefined || block.city === undefined) return []
    const { country, city, areaCode, productId } = block
    return [{ cityId, country, city, areaCode, productId }]
  })
  await tx
    .insertInto('cities')
    .values(
      cities.map(({ cityId, country, city, areaCode }) => ({
        city_id: cityId,
        country,
        name: city.name,
        region: city.region,
        area_codes: JSON.stringify([areaCode]),
      })),
    )
    .onConflict((conflict) => conflict.doNothing())
    .execute()
  await tx
    .insertInto('product_cities')
    .values(cities.map(({ cityId, productId }) => ({ product_id: productId, city_id: cityId })))
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}

/** The numbers of a block; those that the sandbox does something odd with are sold as such, and nowhere else. */
export function numbersOf(block: SeedBlock): readonly string[] {
  const start = BigInt(block.first.slice(1))
  const all = Array.from({ length: block.count }, (_, step) => `+${start + BigInt(step)}`)
  return all.filter((e164) => isMagic(e164) === (block.isMagic ?? false))
}

async function insertNumbers(tx: Queries): Promise<void> {
  const products = new Map(SEED_PRODUCTS.map((product) => [product.productId, product]))
  for (const block of SEED_BLOCKS) {
    const product = products.get(block.productId)
    const lineType = product?.numberType === undefined ? null : LINE_TYPES[product.numberType]
    await sql`
      insert into numbers (e164, product_id, country, region, city_id, area_code, line_type, features, state)
      select e164, ${block.productId}, ${block.country}, ${block.city?.region ?? null}, ${cityIdOf(block) ?? null},
        ${block.areaCode}, ${lineType}, ${JSON.stringify(product?.features ?? [])}::jsonb, 'available'
      from unnest(${numbersOf(block)}::text[]) as number (e164)
      on conflict (e164) do nothing`.execute(tx)
  }
}

/** What nobody can tell from the digits of a North American number, of the sandbox's own ones. */
async function insertLineTypes(tx: Queries): Promise<void> {
  const areas = SEED_BLOCKS.filter(({ productId, first }) => first.startsWith('+1') && productId.endsWith('-local'))
  const rows = areas.flatMap(({ areaCode }) => [
    { prefix: `+1${areaCode}55501`, lineType: 'landline' },
    { prefix: `+1${areaCode}5550187`, lineType: 'voip' },
    { prefix: `+1${areaCode}5550188`, lineType: 'mobile' },
  ])
  await sql`
    insert into line_types (prefix, line_type, carrier, source, as_of)
    select prefix, line_type, 'Sandbox', 'sandbox catalogue', now()
    from unnest(${rows.map((row) => row.prefix)}::text[], ${rows.map((row) => row.lineType)}::text[])
      as line (prefix, line_type)
    on conflict (prefix) do nothing`.execute(tx)
}
