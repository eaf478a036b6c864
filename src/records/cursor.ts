import { invalidRequest } from '../core/parse-input.ts'

/** Where a page of a list ended: the time (milliseconds since the epoch) and id of its last entry. */
export type Cursor = { readonly at: number; readonly id: string }

const SHAPE = /^(\d{1,15})\.([A-Za-z0-9_:-]{1,128})$/

/** The opaque text of a cursor, safe in a query parameter. */
export const formatCursor = ({ at, id }: Cursor): string => Buffer.from(`${at}.${id}`, 'latin1').toString('base64url')

/** Reads what {@link formatCursor} wrote; throws `invalid_request` naming `cursor` for anything else. */
export function parseCursor(text: string): Cursor {
  const decoded = text.length > 256 ? '' : Buffer.from(text, 'base64url').toString('latin1')
  const [, at, id] = SHAPE.exec(decoded) ?? []
  if (at === undefined || id === undefined) throw notACursor()
  const cursor = { at: Number(at), id }
  // Decoding forgives much; only the very text that was given out is taken back.
  if (formatCursor(cursor) !== text) throw notACursor()
  return cursor
}

export const notACursor = () => invalidRequest([{ field: 'cursor', message: 'is not one that was returned' }])

/**
 * The page that `rows` are, which were read one more than `limit` to see whether there are more, and the
 * cursor to go on with.
 */
export function toPage<Row>(
  rows: readonly Row[],
  limit: number,
  cursorOf: (row: Row) => Cursor,
): { readonly rows: readonly Row[]; readonly cursor?: string } {
  const last = rows[limit - 1]
  if (rows.length <= limit || last === undefined) return { rows }
  return { rows: rows.slice(0, limit), cursor: formatCursor(cursorOf(last)) }
}
