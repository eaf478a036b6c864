import * as v from 'valibot'

/**
 * A place in an app's event log. `offset` grows by one per entry within an `epoch`; the epoch changes
 * whenever the log may have lost entries, so that a rebuilt log can never look like a continuation.
 */
export const PositionSchema = v.object({
  epoch: v.pipe(v.string(), v.regex(/^[0-9a-z]{1,32}$/, 'must have up to 32 characters of 0-9 and a-z')),
  offset: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
})
export type Position = v.InferOutput<typeof PositionSchema>

/** `epoch:offset`, the form of SSE ids and query parameters. */
export const formatPosition = ({ epoch, offset }: Position): string => `${epoch}:${offset}`

/** Reads what {@link formatPosition} wrote; undefined for anything else. */
export function parsePosition(text: string): Position | undefined {
  const colon = text.lastIndexOf(':')
  if (colon === -1 || !/^\d{1,15}$/.test(text.slice(colon + 1))) return undefined
  const parsed = v.safeParse(PositionSchema, { epoch: text.slice(0, colon), offset: Number(text.slice(colon + 1)) })
  return parsed.success ? parsed.output : undefined
}
