/**
 * A Retry-After header, in seconds or as an HTTP date (RFC 9110, 10.2.3), as milliseconds since the epoch
 * and never before `now`; undefined for anything else.
 */
export function parseRetryAfter(text: string | undefined, now: number): number | undefined {
  if (text === undefined) return undefined
  if (/^\s*\d{1,9}\s*$/.test(text)) return now + Number(text) * 1_000
  // Without a letter it is no HTTP date, whatever else Date.parse makes of it.
  const date = /[a-z]/i.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(date) ? undefined : Math.max(date, now)
}
