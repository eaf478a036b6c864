import { sql } from 'kysely'
import type { ProvisioningDatabase } from '../../src/provisioning/store/database.ts'

/** Makes customers that may reserve and order. */
export async function stockCustomers(database: ProvisioningDatabase, customerIds: readonly string[]): Promise<void> {
  await database.query((db) =>
    db
      .insertInto('customers')
      .values(
        customerIds.map((customer_id) => ({
          customer_id,
          name: 'Acme',
          status: 'active',
          country: 'US',
          currency: 'USD',
          metadata: '{}',
        })),
      )
      .execute(),
  )
}

/** Makes a product that numbers can be of, or one of messaging when it has no `type`. */
export async function stockProduct(
  database: ProvisioningDatabase,
  product: {
    readonly productId: string
    readonly type?: string
    readonly provider?: string
    readonly countries?: readonly string[]
  },
): Promise<void> {
  const { productId, type, provider = 'sandbox', countries = ['US'] } = product
  await database.transaction(async (tx) => {
    await tx
      .insertInto('products')
      .values({
        product_id: productId,
        name: productId,
        kind: type === undefined ? 'messaging' : 'number',
        number_type: type ?? null,
        provider,
        actions: '[]',
        features: '[]',
        requirements: '{}',
      })
      .execute()
    await tx
      .insertInto('product_countries')
      .values(countries.map((country) => ({ product_id: productId, country })))
      .execute()
  })
}

/** Numbers that follow one another from `start` on, all alike. */
export type NumberStock = {
  readonly start: string
  readonly count: number
  readonly productId: string
  readonly country?: string
  readonly areaCode?: string
  readonly cityId?: string
  readonly features?: readonly string[]
}

/** Puts free numbers into the inventory, in one statement however many there are. */
export async function stockNumbers(database: ProvisioningDatabase, stock: NumberStock): Promise<void> {
  const { start, count, productId, country = 'US', areaCode, cityId, features = [] } = stock
  await database.query((db) =>
    sql`
      insert into numbers (e164, product_id, country, area_code, city_id, features, state)
      select '+' || (${start.slice(1)}::bigint + step)::text, ${productId}, ${country}, ${areaCode ?? null},
        ${cityId ?? null}, ${JSON.stringify(features)}::jsonb, 'available'
      from generate_series(0, ${count}::integer - 1) as step`.execute(db),
  )
}
