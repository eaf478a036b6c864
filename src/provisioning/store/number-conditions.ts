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
    matchRange(criteria),
    ...matchDigits(criteria),
  ].filter((condition) => condition !== undefined)
  return conditions.length === 0 ? sql`true` : sql`(${sql.join(conditions, sql` and `)})`
}

/** A country's numbers, and those of them that begin alike, stand together. */
function matchRange({ countryCode, startsWith = '' }: NumberFilter): RawBuilder<SqlBool> | undefined {
  const prefix = countryCode === undefined ? undefined : callingPrefixOf(countryCode)
  if (prefix === undefined) return undefined
  const from = prefix + startsWith
  return sql`(numbers.e164 >= ${from} and numbers.e164 < ${from + AFTER_DIGITS})`
}

/** Compared as text, so that no character means anything but itself. */
function matchDigits({ contains, startsWith, endsWith }: NumberFilter): readonly RawBuilder<SqlBool>[] {
  const grams: string[] = []
  const conditions: RawBuilder<SqlBool>[] = []
  if (contains !== undefined) {
    grams.push(...gramsOf(contains))
    conditions.push(sql`position(${contains}::text in numbers.national) > 0`)
  }
  if (startsWith !== undefined) {
    if (startsWith.length >= GRAM) grams.push(`^${startsWith.slice(0, GRAM)}`, ...gramsOf(startsWith))
    conditions.push(sql`starts_with(numbers.national, ${startsWith}::text)`)
  }
  if (endsWith !== undefined) {
    if (endsWith.length >= GRAM) grams.push(...gramsOf(endsWith), `${endsWith.slice(-GRAM)}$`)
    conditions.push(sql`right(numbers.national, ${endsWith.length}::integer) = ${endsWith}`)
  }
  if (grams.length > 0) conditions.push(sql`digit_grams(numbers.national) @> ${[...new Set(grams)]}::text[]`)
  return conditions
}

const gramsOf = (digits: string): readonly string[] =>
  Array.from({ length: Math.max(0, digits.length - GRAM + 1) }, (_, at) => digits.slice(at, at + GRAM))
