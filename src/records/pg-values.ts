/** PostgreSQL's type number of `int8`, also that of `count(*)`. */
export const INT8_OID = 20

/** An int8 as a number while that is exact, as a bigint beyond 2^53. Both stores use it. */
export function parseInt8(text: string): number | bigint {
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : BigInt(text)
}

const LATEST = Date.UTC(9999, 11, 31)

/** A time as a Date that both stores read: later years need a notation that they do not share. */
export const toDate = (ms: number): Date => new Date(Number.isFinite(ms) ? Math.min(Math.max(ms, 0), LATEST) : 0)

/** Text as PostgreSQL can hold it, which knows neither NUL nor half a surrogate pair. */
export const toText = (text: string): string => text.toWellFormed().replaceAll('\0', '\uFFFD')
