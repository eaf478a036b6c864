import { randomBytes } from 'node:crypto'
import * as v from 'valibot'

/** What the id of each thing begins with, so that an id of another kind is never a wrong hit. */
const ID_PREFIXES = {
  customer: 'cus',
  contact: 'con',
  paymentMethod: 'pay',
  location: 'loc',
  connection: 'cnx',
  product: 'prd',
  service: 'inv',
  city: 'cty',
  reservation: 'rsv',
  order: 'ord',
  item: 'itm',
  fulfilment: 'ful',
  invoice: 'bil',
  key: 'pky',
} as const
export type IdKind = keyof typeof ID_PREFIXES

/** `ord_` and 28 hexadecimal digits: 12 of the time in milliseconds, 16 random; later ids sort after earlier ones. */
export function newId(kind: IdKind, now: number): string {
  const time = now.toString(16).padStart(12, '0')
  return `${ID_PREFIXES[kind]}_${time}${randomBytes(8).toString('hex')}`
}

/** An id of this kind, as we make them or as an operator chose them for the catalogue. */
export const idSchema = (kind: IdKind) =>
  v.pipe(
    v.string(),
    v.regex(
      new RegExp(`^${ID_PREFIXES[kind]}_[A-Za-z0-9_-]{1,64}$`),
      `must be an id that begins with ${ID_PREFIXES[kind]}_`,
    ),
  )
