/** PostgreSQL's type number of `int8`, also that of `count(*)`. */
export const INT8_OID = 20

/** An int8 as a number while that is exact, as a bigint beyond 2^53. Both stores use it. */
export function parseInt8(text: string): number | bigint {
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : BigInt(text)
}
