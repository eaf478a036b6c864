import { sql, type RawBuilder, type SqlBool } from 'kysely'
import type { NumberType } from '../model/number-filter.ts'
import { countryOf, stepNumber } from '../model/number-plan.ts'
import type { Queries } from './database.ts'
import { IS_AVAILABLE, IS_HELD, IS_LAPSED, matchNumbers, type NumberCriteria } from './number-conditions.ts'
import { findRuns } from './numbers-runs.ts'

/** More sets of features than a catalogue has; each is one look into the index. */
const FEATURE_SETS_MAX = 1_000

export type NumberSearch = NumberCriteria & {
  /** At most this many; with `consecutive` fewer, where the last run would be cut. */
  readonly limit: number
  /** The last number of the page before. */
  readonly after?: string
  /** An E.164 number: the closest ones come first, below and above it. Not together with `consecutive`. */
  readonly nearNumber?: string
  /** Whether to leave out what somebody holds now; true unless given. */
  readonly excludeReserved?: boolean
}

/** A number that can be had, or is held by a reservation. */
export type AvailableNumber = {
  readonly e164: string
  readonly productId: string
  /** ISO 3166-1 alpha-2. */
  readonly country: string
  readonly type: NumberType
  readonly features: readonly string[]
  readonly region?: string
  readonly cityId?: string
  readonly areaCode?: string
  /** False while somebody holds it. */
  readonly isReservable: boolean
}

/**
 * Free numbers in the order of their digits, or by their distance from `nearNumber`. A hold that has lapsed counts
 * as none. Every part is read from an index and no further than needed.
 */
export async function searchAvailable(queries: Queries, search: NumberSearch): Promise<AvailableNumber[]> {
  if ((search.consecutive ?? 1) > 1) return searchRuns(queries, search)
  if (search.nearNumber !== undefined) return searchNear(queries, search, search.nearNumber)
  const { limit, after = '' } = search
  const wanted = sql<SqlBool>`${matchNumbers(search)} and numbers.e164 > ${after}`
  const order = sql`numbers.e164`
  const others = statesOf(search).slice(1)
  const parts = [
    selectFree(search, wanted),
    ...others.map((state) => selectPart({ wanted: sql`${state} and ${wanted}`, order, limit })),
  ]
  return readParts(queries, { parts, order, limit })
}

async function searchRuns(queries: Queries, search: NumberSearch): Promise<AvailableNumber[]> {
  const { consecutive: length = 1, after } = search
  const limit = Math.floor(search.limit / length)
  const starts = await findRuns(queries, { criteria: search, length, limit, after })
  const numbers = starts.flatMap((start) => Array.from({ length }, (_, step) => stepNumber(start, step) ?? start))
  const wanted = sql<SqlBool>`numbers.e164 = any(${numbers}::text[]) and (${IS_AVAILABLE} or ${IS_LAPSED})`
  const order = sql`numbers.e164`
  return readParts(queries, { parts: [selectPart({ wanted, order, limit: search.limit })], order, limit: search.limit })
}

/** One part below, one above, each in the order of the index; numbers as long as the one given. */
async function searchNear(queries: Queries, search: NumberSearch, near: string): Promise<AvailableNumber[]> {
  const { limit, after, countryCode = countryOf(near) } = search
  const value = sql`${near.slice(1)}::bigint`
  const distance = sql`abs(substr(numbers.e164, 2)::bigint - ${value})`
  const reached = after === undefined ? 0 : Math.abs(Number(BigInt(after.slice(1)) - BigInt(near.slice(1))))
  const beyond = after === undefined ? sql`true` : sql`(${distance}, numbers.e164) > (${reached}::bigint, ${after})`
  const criteria = { ...search, ...(countryCode !== undefined && { countryCode }) }
  const wanted = sql`${matchNumbers(criteria)} and length(numbers.e164) = ${near.length}::integer and ${beyond}`
  const [above, below] = [stepNumber(near, reached), stepNumber(near, -Math.max(reached, 1))]
  const up = above === undefined ? sql`false` : sql`numbers.e164 >= ${above}`
  const down = below === undefined ? sql`false` : sql`numbers.e164 <= ${below}`
  const parts = statesOf(search).flatMap((state) => [
    selectPart({ wanted: sql`${state} and ${wanted} and ${up}`, order: sql`numbers.e164`, limit }),
    selectPart({ wanted: sql`${state} and ${wanted} and ${down}`, order: sql`numbers.e164 desc`, limit }),
  ])
  return readParts(queries, { parts, order: sql`${distance}, numbers.e164`, limit })
}

const statesOf = ({ excludeReserved = true }: NumberSearch): readonly RawBuilder<SqlBool>[] => [
  IS_AVAILABLE,
  IS_LAPSED,
  ...(excludeReserved ? [] : [IS_HELD]),
]

type Part = { readonly wanted: RawBuilder<unknown>; readonly order: RawBuilder<unknown>; readonly limit: number }

const selectPart = ({ wanted, order, limit }: Part): RawBuilder<unknown> =>
  sql`(select numbers.* from numbers where ${wanted} order by ${order} limit ${limit}::integer)`

/**
 * Free numbers. What is wanted of a type or with features stands together in the index by product and features, so
 * that each set of these is read for itself; in the order of the digits alone they may come after everything else.
 */
function selectFree(search: NumberSearch, wanted: RawBuilder<SqlBool>): RawBuilder<unknown> {
  const { productId, type, features = [], limit } = search
  const isNarrow = [search.cityId, search.areaCode, search.contains, search.endsWith].some((part) => part !== undefined)
  const order = sql`numbers.e164`
  if (isNarrow || (features.length === 0 && (type === undefined || productId !== undefined))) {
    return selectPart({ wanted: sql`${IS_AVAILABLE} and ${wanted}`, order, limit })
  }
  const ofSet = sql`numbers.product_id = sets.product_id and numbers.features = sets.features`
  return sql`(select found.* from (${featureSets(search)}) as sets cross join lateral
    ${selectPart({ wanted: sql`${IS_AVAILABLE} and ${wanted} and ${ofSet}`, order, limit })} as found)`
}

/** The products and sets of features that there are free numbers of: each found by a look behind the one before. */
function featureSets({ productId, type, features = [] }: NumberSearch): RawBuilder<unknown> {
  const first = productId === undefined ? sql`true` : sql`numbers.product_id = ${productId}`
  const isSame = productId === undefined ? sql`true` : sql`product_id = ${productId}`
  return sql`
    with recursive walk as (
      ${nextSet(first)}
      union all
      select following.* from walk cross join lateral
        ${nextSet(sql`${first} and (numbers.product_id, numbers.features) > (walk.product_id, walk.features)`)} as following)
    select walk.* from walk join products using (product_id)
    where walk.features @> ${JSON.stringify(features)}::jsonb and ${isSame}
      and ${type === undefined ? sql`true` : sql`products.number_type = ${type}`}
    limit ${FEATURE_SETS_MAX}::integer`
}

const nextSet = (behind: RawBuilder<unknown>): RawBuilder<unknown> => sql`
  (select numbers.product_id, numbers.features from numbers where ${IS_AVAILABLE} and ${behind}
    order by numbers.product_id, numbers.features limit 1)`

type Row = {
  readonly e164: string
  readonly product_id: string
  readonly country: string
  readonly number_type: NumberType
  readonly features: readonly string[]
  readonly region: string | null
  readonly city_id: string | null
  readonly area_code: string | null
  readonly is_reservable: boolean
}

async function readParts(
  queries: Queries,
  read: { readonly parts: readonly RawBuilder<unknown>[]; readonly order: RawBuilder<unknown>; readonly limit: number },
): Promise<AvailableNumber[]> {
  const { rows } = await sql<Row>`
    select numbers.e164, numbers.product_id, numbers.country, products.number_type, numbers.features, numbers.region,
      numbers.city_id, numbers.area_code, coalesce(numbers.reserved_until <= now(), true) as is_reservable
    from (${sql.join(read.parts, sql` union all `)}) as numbers join products using (product_id)
    order by ${read.order} limit ${read.limit}::integer`.execute(queries)
  return rows.map((row) => ({
    e164: row.e164,
    productId: row.product_id,
    country: row.country,
    type: row.number_type,
    features: row.features,
    ...(row.region !== null && { region: row.region }),
    ...(row.city_id !== null && { cityId: row.city_id }),
    ...(row.area_code !== null && { areaCode: row.area_code }),
    isReservable: row.is_reservable,
  }))
}
