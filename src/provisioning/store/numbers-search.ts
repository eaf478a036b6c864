import { sql, type RawBuilder, type SqlBool } from 'kysely'
import type { NumberType } from '../model/number-filter.ts'
import { countryOf, stepNumber } from '../model/number-plan.ts'
import type { Queries } from './database.ts'
import {
  IS_AVAILABLE,
  IS_HELD,
  IS_LAPSED,
  matchNumbers,
  walkFeatureSet,
  walkFree,
  type NumberCriteria,
} from './number-conditions.ts'
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
  const order = sql`numbers.e164`
  const wanted = sql`${matchNumbers(search)} and numbers.e164 > ${after}`
  const held = heldStates(search).map((state) => selectPart({ wanted: sql`${state} and ${wanted}`, order, limit }))
  return readParts(queries, { parts: [selectFree(search), ...held], order, limit })
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
  const alike = sql`length(numbers.e164) = ${near.length}::integer and ${beyond}`
  const [above, below] = [stepNumber(near, reached - 1), stepNumber(near, -Math.max(reached - 1, 0))]
  const [up, down] = [walkFree(criteria, { above }), walkFree(criteria, { below })]
  const parts = [
    above === undefined ? [] : selectPart({ wanted: sql`${up.wanted} and ${alike}`, order: up.order, limit }),
    below === undefined ? [] : selectPart({ wanted: sql`${down.wanted} and ${alike}`, order: down.orderBack, limit }),
    heldStates(search).map((state) =>
      selectPart({ wanted: sql`${state} and ${matchNumbers(criteria)} and ${alike}`, order: distance, limit }),
    ),
  ].flat()
  return readParts(queries, { parts, order: sql`${distance}, numbers.e164`, limit })
}

/** What is free although it was held, and what is held, if that is asked for; neither is ever much. */
const heldStates = ({ excludeReserved = true }: NumberSearch): readonly RawBuilder<SqlBool>[] =>
  excludeReserved ? [IS_LAPSED] : [IS_LAPSED, IS_HELD]

type Part = { readonly wanted: RawBuilder<unknown>; readonly order: RawBuilder<unknown>; readonly limit: number }

const selectPart = ({ wanted, order, limit }: Part): RawBuilder<unknown> =>
  sql`(select numbers.* from numbers where ${wanted} order by ${order} limit ${limit}::integer)`

/**
 * Free numbers. What is wanted of a type or with features stands together in the index by product and features, so
 * that each set of these is read for itself; among all numbers they may come after everything else.
 */
function selectFree(search: NumberSearch): RawBuilder<unknown> {
  const { type, features = [], limit, after } = search
  const isNarrow = [search.cityId, search.areaCode, search.contains, search.endsWith].some((part) => part !== undefined)
  if (isNarrow || (features.length === 0 && (type === undefined || search.productId !== undefined))) {
    return selectPart({ ...walkFree(search, { above: after }), limit })
  }
  return sql`(select found.* from (${featureSets(search)}) as sets cross join lateral
    ${selectPart({ ...walkFeatureSet(search, after), limit })} as found)`
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
