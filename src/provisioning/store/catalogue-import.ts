import { sql } from 'kysely'
import { GatewayError } from '../../core/errors.ts'
import type { LineType } from '../model/eligibility.ts'
import type { NumberType } from '../model/number-filter.ts'
import type { OrderAction } from '../model/order.ts'
import { appendAudit } from './audit.ts'
import type { ProvisioningDatabase, Queries } from './database.ts'

/** A product as the operator offers it. Amounts are decimals in text. */
export type ProductOffer = {
  readonly productId: string
  readonly name: string
  readonly kind: 'number' | 'messaging'
  readonly numberType?: NumberType | undefined
  /** Who delivers it, by the id of an adapter. */
  readonly provider: string
  readonly actions: readonly OrderAction[]
  readonly features: readonly string[]
  readonly requirements: readonly string[]
  readonly countries: readonly string[]
  readonly prices: readonly { readonly currency: string; readonly oneTime: string; readonly monthly: string }[]
  /** Whether it can be ordered; what is in service goes on either way. */
  readonly isActive: boolean
}
export type CityOffer = {
  readonly cityId: string
  readonly countryCode: string
  readonly name: string
  readonly region?: string | undefined
  readonly areaCodes: readonly string[]
  readonly productIds: readonly string[]
}
/** A number that somebody may have from now on. */
type OfferedNumber = {
  readonly number: string
  readonly cityId?: string | undefined
  readonly areaCode?: string | undefined
  readonly region?: string | undefined
  readonly lineType?: LineType | undefined
  readonly features?: readonly string[] | undefined
}
export type NumberOffer = {
  readonly productId: string
  readonly countryCode: string
  readonly numbers: readonly OfferedNumber[]
}

/** What the operator puts into the catalogue and the inventory. */
export class CatalogueImport {
  readonly #database: ProvisioningDatabase

  constructor(database: ProvisioningDatabase) {
    this.#database = database
  }

  /**
   * Adds a product, or replaces all that is said of it. Rejects with `in_use` when it would become another kind of
   * product while it has been ordered or has numbers.
   */
  putProduct(offer: ProductOffer): Promise<void> {
    const { productId } = offer
    return this.#database.transaction(async (tx) => {
      await refuseOtherKind(tx, offer)
      const values = {
        name: offer.name,
        kind: offer.kind,
        number_type: offer.numberType ?? null,
        provider: offer.provider,
        actions: JSON.stringify(offer.actions),
        features: JSON.stringify(offer.features),
        requirements: JSON.stringify(offer.requirements),
        is_active: offer.isActive,
      }
      await tx
        .insertInto('products')
        .values({ product_id: productId, ...values })
        .onConflict((conflict) => conflict.column('product_id').doUpdateSet({ ...values, updated_at: sql`now()` }))
        .execute()
      await tx.deleteFrom('product_prices').where('product_id', '=', productId).execute()
      await tx.deleteFrom('product_countries').where('product_id', '=', productId).execute()
      const prices = offer.prices.map(({ currency, oneTime, monthly }) => ({
        product_id: productId,
        currency,
        one_time: oneTime,
        monthly,
      }))
      if (prices.length > 0) await tx.insertInto('product_prices').values(prices).execute()
      const countries = offer.countries.map((country) => ({ product_id: productId, country }))
      if (countries.length > 0) await tx.insertInto('product_countries').values(countries).execute()
      await audit(tx, { entity: 'product', entityId: productId, action: 'put', after: offer })
    })
  }

  /** Adds a city, or replaces all that is said of it. Rejects with `product_not_found`. */
  putCity(offer: CityOffer): Promise<void> {
    const { cityId, productIds } = offer
    return this.#database.transaction(async (tx) => {
      const known = await tx
        .selectFrom('products')
        .select('product_id')
        .where('product_id', 'in', [...productIds, ''])
        .execute()
      if (known.length < new Set(productIds).size) throw new GatewayError('product_not_found')
      const values = {
        country: offer.countryCode,
        name: offer.name,
        region: offer.region ?? null,
        area_codes: JSON.stringify(offer.areaCodes),
      }
      await tx
        .insertInto('cities')
        .values({ city_id: cityId, ...values })
        .onConflict((conflict) => conflict.column('city_id').doUpdateSet(values))
        .execute()
      await tx.deleteFrom('product_cities').where('city_id', '=', cityId).execute()
      const offers = [...new Set(productIds)].map((product_id) => ({ product_id, city_id: cityId }))
      if (offers.length > 0) await tx.insertInto('product_cities').values(offers).execute()
      await audit(tx, { entity: 'city', entityId: cityId, action: 'put', after: offer })
    })
  }

  /**
   * Makes numbers available. Those that are known already are left as they are, unless they had been removed; they
   * are what it resolves with. Rejects with `product_not_found` for what is no product of numbers in the country, and
   * `resource_not_found` for a city.
   */
  addNumbers({ productId, countryCode, numbers }: NumberOffer): Promise<readonly string[]> {
    return this.#database.transaction(async (tx) => {
      await requireOffer(tx, productId, countryCode)
      await requireCities(tx, countryCode, numbers)
      const rows = numbers
        .toSorted((one, other) => (one.number < other.number ? -1 : 1))
        .map(({ number, cityId, areaCode, region, lineType, features = [] }) => ({
          e164: number,
          product_id: productId,
          country: countryCode,
          region: region ?? null,
          city_id: cityId ?? null,
          area_code: areaCode ?? null,
          line_type: lineType ?? null,
          features: JSON.stringify(features),
          state: 'available' as const,
        }))
      const added = await tx
        .insertInto('numbers')
        .values(rows)
        .onConflict((conflict) =>
          conflict
            .column('e164')
            .doUpdateSet((row) => ({
              product_id: row.ref('excluded.product_id'),
              country: row.ref('excluded.country'),
              region: row.ref('excluded.region'),
              city_id: row.ref('excluded.city_id'),
              area_code: row.ref('excluded.area_code'),
              line_type: row.ref('excluded.line_type'),
              features: sql`excluded.features`,
              state: 'available',
              updated_at: sql`now()`,
              version: sql`numbers.version + 1`,
            }))
            .where('numbers.state', '=', 'removed'),
        )
        .returning('e164')
        .execute()
      const taken = new Set(added.map((row) => row.e164))
      const after = { countryCode, count: taken.size, numbers: [...taken].slice(0, 1_000) }
      await audit(tx, { entity: 'numbers', entityId: productId, action: 'add', after })
      return rows.map((row) => row.e164).filter((e164) => !taken.has(e164))
    })
  }
}

async function refuseOtherKind(tx: Queries, { productId, kind }: ProductOffer): Promise<void> {
  const { rows } = await sql`
    select from products where product_id = ${productId} and kind <> ${kind} and (
      exists (select from numbers where numbers.product_id = products.product_id)
      or exists (select from orders where orders.product_id = products.product_id))
    for update`.execute(tx)
  if (rows.length > 0)
    throw new GatewayError('in_use', { detail: 'A product in use cannot become another kind of it.' })
}

async function requireOffer(tx: Queries, productId: string, countryCode: string): Promise<void> {
  const row = await tx
    .selectFrom('products')
    .innerJoin('product_countries', 'product_countries.product_id', 'products.product_id')
    .select('kind')
    .where('products.product_id', '=', productId)
    .where('country', '=', countryCode)
    .where('kind', '=', 'number')
    .executeTakeFirst()
  if (row === undefined) {
    throw new GatewayError('product_not_found', { detail: 'There is no such product of numbers in the country.' })
  }
}

async function requireCities(tx: Queries, countryCode: string, numbers: readonly OfferedNumber[]): Promise<void> {
  const cityIds = new Set(numbers.flatMap(({ cityId }) => cityId ?? []))
  const known = await tx
    .selectFrom('cities')
    .select('city_id')
    .where('city_id', 'in', [...cityIds, ''])
    .where('country', '=', countryCode)
    .execute()
  if (known.length < cityIds.size) {
    throw new GatewayError('resource_not_found', { detail: 'There is no such city in the country.' })
  }
}

const audit = (
  tx: Queries,
  entry: { readonly entity: string; readonly entityId: string; readonly action: string; readonly after: unknown },
): Promise<void> => appendAudit(tx, [{ chain: 'installation', actor: 'admin', ...entry }])
