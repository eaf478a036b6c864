import { createHmac, timingSafeEqual } from 'node:crypto'
import { invalidOption } from './query.ts'
import { markOf, type SortKey } from './sort-keys.ts'

const orderOf = (keys: readonly SortKey[]): string =>
  keys.map(({ field, isDescending }) => `${field} ${isDescending ? 'desc' : 'asc'}`).join(',')

const SIGNATURE_BYTES = 16

const sign = (text: string, secret: Buffer): Buffer =>
  createHmac('sha256', secret).update(text).digest().subarray(0, SIGNATURE_BYTES)

/** What goes on after this row, which has the marks of its sort keys; signed. */
export function writeToken(row: object, keys: readonly SortKey[], secret: Buffer): string {
  const values: readonly unknown[] = keys.map((_, index) => Reflect.get(row, markOf(index)))
  const text = JSON.stringify([orderOf(keys), ...values])
  return Buffer.concat([sign(text, secret), Buffer.from(text)]).toString('base64url')
}

/** The values of the row before. Throws `invalid_request` for a token that is not ours, or of another order. */
export function readToken(token: string, keys: readonly SortKey[], secret: Buffer): readonly (string | null)[] {
  const bytes = Buffer.from(token, 'base64url')
  const text = bytes.subarray(SIGNATURE_BYTES).toString('utf8')
  const isOurs =
    bytes.length > SIGNATURE_BYTES && timingSafeEqual(bytes.subarray(0, SIGNATURE_BYTES), sign(text, secret))
  const parsed: unknown = isOurs ? JSON.parse(text) : undefined
  const [order, ...values] = Array.isArray(parsed) ? parsed : []
  if (order !== orderOf(keys) || values.length !== keys.length || !values.every(isMark)) {
    throw invalidOption('$skiptoken', 'must be that of the next link of the same search in the same order')
  }
  return values
}

const isMark = (value: unknown): value is string | null => value === null || typeof value === 'string'
