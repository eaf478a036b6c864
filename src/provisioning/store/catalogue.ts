import { sql, type Selectable } from 'kysely'
import { GatewayError } from '../../core/errors.ts'
import { toMoney, type Money } from '../model/money.ts'
import type { OrderAction } from '../model/order.ts'
import type { ProvisioningDatabase } from './database.ts'
import { listRows, type ListFields, type ListRequest, type Page } from './listing.ts'
import type { ProvisioningSchema } from './schema.ts'

/** What customers can order. */
export type Product = {
  readonly productId: string
  readonly name: string
  readonly kind: 'number' | 'messaging'
  readonly numberType?: string
  readonly countries: readonly string[]
  readonly prices: readonly { readonly currency: string; readonly oneTime: Money; readonly monthly: Money }[]
  readonly actions: readonly OrderAction[]
  readonly features: readonly string[]
  /** What an order must bring besides numbers, such as an address in the country. */
  readonly requirements: readonly string[]
}
export type City = {
  readonly cityId: string
  readonly countryCode: string
  readonly name: string
  readonly region?: string
  readonly areaCodes: readonly string[]
  readonly productIds: readonly string[]
}
/** What one number of each product costs. */
export type ProductPrices = ReadonlyMap<string, { readonly oneTime: Money; readonly monthly: Money }>
export type CountryOffer = { readonly countryCode: string; readonly productIds: readonly string[] }

export const PRODUCT_FIELDS = {
  name: { column: 'name', kind: 'text', isSortable: true },
  kind: { column: 'kind', kind: 'text', isSortable: true },
  numberType: { column: 'number_type', kind: 'text' },
} as const satisfies ListFields
export const CITY_FIELDS = {
  name: { column: 'name', kind: 'text', isSortable: true },
  region: { column: 'region', kind: 'text' },
} as const satisfies ListFields

type ProductRow = Selectable<ProvisioningSchema['products']> & {
  readonly countries: readonly string[]
  readonly prices: readonly { readonly currency: string; readonly one_time: string; readonly monthly: string }[]
}
type CityRow = Selectable<ProvisioningSchema['cities']> & { readonly product_ids: readonly string[] }

/** What is offered, and where. Only what is offered somewhere exists here. */
export class Catalogue {
  readonly #database: ProvisioningDatabase

  constructor(database: ProvisioningDatabase) {
    this.#database = database
  }

  async products(request: ListRequest & { readonly countryCode?: string | undefined }): Promise<Page<Product>> {
    const { countryCode } = request
    const offered =
      countryCode === undefined
        ? sql`is_active`
        : sql`is_active and exists (select from product_countries where product_countries.product_id = offered_products.product_id and country = ${countryCode})`
    const source = { table: 'offered_products', idColumn: 'product_id', fields: PRODUCT_FIELDS, where: offered }
    const page = await this.#database.query((db) => listRows<ProductRow>(db, source, request))
    return { ...page, items: page.items.map(toProduct) }
  }

  /** Rejects with `product_not_found`. */
  async product(productId: string): Promise<Product> {
    const { rows } = await this.#database.query((db) =>
      sql<ProductRow>`select * from offered_products where product_id = ${productId} and is_active`.execute(db),
    )
    const [row] = rows
    if (row === undefined) throw new GatewayError('product_not_found')
    return toProduct(row)
  }

  /** The prices of these products in a currency; none without one, nor of products that it has no price for. */
  async pricesOf(productIds: ReadonlySet<string>, currency: string | undefined): Promise<ProductPrices> {
    if (currency === undefined || productIds.size === 0) return new Map()
    const rows = await this.#database.query((db) =>
      db
        .selectFrom('product_prices')
        .select(['product_id', 'one_time', 'monthly'])
        .where('product_id', 'in', [...productIds])
        .where('currency', '=', currency)
        .execute(),
    )
    return new Map(
      rows.map(({ product_id, one_time, monthly }) => [
        product_id,
        { oneTime: toMoney(one_time, currency), monthly: toMoney(monthly, currency) },
      ]),
    )
  }

  /** The countries in which products are offered, by code. */
  async countries(): Promise<readonly CountryOffer[]> {
    const rows = await this.#database.query((db) =>
      db
        .selectFrom('product_countries')
        .innerJoin('products', 'products.product_id', 'product_countries.product_id')
        .select(['country', 'products.product_id'])
        .where('is_active', '=', true)
        .orderBy('country')
        .orderBy('products.product_id')
        .execute(),
    )
    const byCountry = Map.groupBy(rows, (row) => row.country)
    return [...byCountry].map(([countryCode, offers]) => ({
      countryCode,
      productIds: offers.map((offer) => offer.product_id),
    }))
  }

  /** Rejects with `resource_not_found` for a country in which nothing is offered. */
  async country(countryCode: string): Promise<CountryOffer> {
    const found = (await this.countries()).find((country) => country.countryCode === countryCode)
    if (found === undefined) throw new GatewayError('resource_not_found', { detail: 'Nothing is offered there.' })
    return found
  }

  async cities(countryCode: string, request: ListRequest): Promise<Page<City>> {
    await this.country(countryCode)
    const where = sql`country = ${countryCode}`
    const source = { table: 'offered_cities', idColumn: 'city_id', fields: CITY_FIELDS, where }
    const page = await this.#database.query((db) => listRows<CityRow>(db, source, request))
    return { ...page, items: page.items.map(toCity) }
  }

  /** Rejects with `resource_not_found`. */
  async city(countryCode: string, cityId: string): Promise<City> {
    const { rows } = await this.#database.query((db) =>
      sql<CityRow>`
        select * from offered_cities where country = ${countryCode} and city_id = ${cityId}`.execute(db),
    )
    const [row] = rows
    if (row === undefined) throw new GatewayError('resource_not_found')
    return toCity(row)
  }
}

const toProduct = (row: ProductRow): Product => ({
  productId: row.product_id,
  name: row.name,
  kind: row.kind,
  ...(row.number_type !== null && { numberType: row.number_type }),
  countries: row.countries,
  prices: row.prices.map(({ currency, one_time, monthly }) => ({
    currency,
    oneTime: toMoney(one_time, currency),
    monthly: toMoney(monthly, currency),
  })),
  actions: row.actions,
  features: row.features,
  requirements: row.requirements,
})

const toCity = (row: CityRow): City => ({
  cityId: row.city_id,
  countryCode: row.country,
  name: row.name,
  ...(row.region !== null && { region: row.region }),
  areaCodes: row.area_codes,
  productIds: row.product_ids,
})
