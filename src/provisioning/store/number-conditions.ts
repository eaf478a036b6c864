import { sql, type RawBuilder, type SqlBool } from 'kysely'
import type { NumberFilter, NumberType } from '../model/number-filter.ts'
import { callingPrefixOf } from '../model/number-plan.ts'

/** Free. Written as in the indexes of migration 0004, which are of such rows only. */
export const IS_AVAILABLE = sql<SqlBool>`numbers.state = 'available'`
/** Held, but no longer: as good as free, whether or not the sweeper has been there. */
export const IS_LAPSED = sql<SqlBool>`(numbers.state = 'reserved' and numbers.reserved_until <= now())`
/** Held by a customer's reservation. */
export const IS_HELD = sql<SqlBool>`(numbers.state = 'reserved' and numbers.reserved_until > now())`

/** Sorts after every digit, for the end of a range of texts that begin alike. */
const AFTER_DIGITS = ':'
/** As long as what the index `numbers_available_with_digits` has. */
const GRAM = 3

/** A filter, also by what is sold. */
export type NumberCriteria = NumberFilter & { readonly productId?: string; readonly type?: NumberType }

/** What a row of `numbers` must be like, besides free; `consecutive` is not a matter of one row. */
export function matchNumbers(criteria: NumberCriteria): RawBuilder<SqlBool> {
  const { productId, type, countryCode, cityId, areaCode, features = [] } = criteria
  const conditions = [
    productId === undefined ? undefined : sql`numbers.product_id = ${productId}`,
    type === undefined
      ? undefined
      : sql`numbers.product_id in (select of_type.product_id from products as of_type where number_type = ${type})`,
    countryCode === undefined ? undefined : sql`numbers.country = ${countryCode}`,
    cityId === undefined ? undefined : sql`numbers.city_id = ${cityId}`,
    areaCode === undefined ? undefined : sql`numbers.area_code = ${areaCode}`,
    features.length === 0 ? undefined : sql`numbers.features @> ${JSON.stringify(features)}::jsonb`,
    ...matchDigits(criteria),
  ].filter((condition) => condition !== undefined)
  return conditions.length === 0 ? sql`true` : sql`(${sql.join(conditions, sql` and `)})`
}

/** A country's numbers, and those of them that begin alike, stand together; both ends are left out. */
function rangeOf({ countryCode, startsWith = '' }: NumberFilter): { readonly from: string; readonly to: string } {
  const prefix = countryCode === undefined ? undefined : callingPrefixOf(countryCode)
  const from = prefix === undefined ? '+' : prefix + startsWith
  return { from, to: from + AFTER_DIGITS }
}

/** What rows to read, and the order in which an index has them. */
export type NumberWalk = {
  readonly wanted: RawBuilder<SqlBool>
  readonly order: RawBuilder<unknown>
  readonly orderBack: RawBuilder<unknown>
}

/** Criteria by which an index has the free numbers together, the narrowest first. */
const INDEXED = [
  ['areaCode', 'area_code'],
  ['cityId', 'city_id'],
  ['productId', 'product_id'],
  ['countryCode', 'country'],
] as const

/**
 * Free numbers in order, by way of the index that has those of the narrowest criterion together. The range is one
 * of rows, `(product_id, e164)`, and so is the order: with an equation in its place PostgreSQL would rather read all
 * numbers in order and expect to meet the wanted ones soon, which may be at the very end. Only where digits are
 * searched for is it left to decide, as it knows how rare these are.
 */
export function walkFree(
  criteria: NumberCriteria,
  { above = '', below }: { readonly above?: string | undefined; readonly below?: string | undefined } = {},
): NumberWalk {
  const range = rangeOf(criteria)
  const from = above > range.from ? above : range.from
  const to = below !== undefined && below < range.to ? below : range.to
  const indexed = INDEXED.find(([name]) => criteria[name] !== undefined)
  const isByDigits = gramsIn(criteria).length > 0 && criteria.areaCode === undefined && criteria.cityId === undefined
  if (indexed === undefined || isByDigits) {
    return {
      wanted: sql`${IS_AVAILABLE} and numbers.e164 > ${from} and numbers.e164 < ${to} and ${matchNumbers(criteria)}`,
      order: sql`numbers.e164`,
      orderBack: sql`numbers.e164 desc`,
    }
  }
  const [name, column] = indexed
  const { [name]: value, ...others } = criteria
  const key = sql.ref(`numbers.${column}`)
  return {
    wanted: sql`${IS_AVAILABLE} and (${key}, numbers.e164) > (${value}, ${from})
      and (${key}, numbers.e164) < (${value}, ${to}) and ${matchNumbers(others)}`,
    order: sql`${key}, numbers.e164`,
    orderBack: sql`${key} desc, numbers.e164 desc`,
  }
}

/** As {@link walkFree}, of one product's numbers with the very same features, as `sets` has them. */
export function walkFeatureSet(criteria: NumberCriteria, above = ''): NumberWalk {
  const { productId: _product, type: _type, features: _features, ...others } = criteria
  const range = rangeOf(criteria)
  const from = above > range.from ? above : range.from
  const row = sql`(numbers.product_id, numbers.features, numbers.e164)`
  return {
    wanted: sql`${IS_AVAILABLE} and ${row} > (sets.product_id, sets.features, ${from})
      and ${row} < (sets.product_id, sets.features, ${range.to}) and ${matchNumbers(others)}`,
    order: sql`numbers.product_id, numbers.features, numbers.e164`,
    orderBack: sql`numbers.product_id desc, numbers.features desc, numbers.e164 desc`,
  }
}

/** Compared as text, so that no character means anything but itself. */
function matchDigits(filter: NumberFilter): readonly RawBuilder<SqlBool>[] {
  const { contains, startsWith, endsWith } = filter
  const grams = gramsIn(filter)
  return [
    contains === undefined ? undefined : sql<SqlBool>`position(${contains}::text in numbers.national) > 0`,
    startsWith === undefined ? undefined : sql<SqlBool>`starts_with(numbers.national, ${startsWith}::text)`,
    endsWith === undefined
      ? undefined
      : sql<SqlBool>`right(numbers.national, ${endsWith.length}::integer) = ${endsWith}::text`,
    grams.length === 0 ? undefined : sql<SqlBool>`digit_grams(numbers.national) @> ${grams}::text[]`,
  ].filter((condition) => condition !== undefined)
}

/** What `digit_grams` of migration 0004 has of every number that is wanted. */
function gramsIn({ contains = '', startsWith = '', endsWith = '' }: NumberFilter): readonly string[] {
  const grams = [contains, startsWith, endsWith].flatMap((digits) =>
    Array.from({ length: Math.max(0, digits.length - GRAM + 1) }, (_, at) => digits.slice(at, at + GRAM)),
  )
  if (startsWith.length >= GRAM) grams.push(`^${startsWith.slice(0, GRAM)}`)
  if (endsWith.length >= GRAM) grams.push(`${endsWith.slice(-GRAM)}$`)
  return [...new Set(grams)]
}
