const YEAR_MIN = 1
/** The last one that is written with four digits, as both JavaScript and PostgreSQL read them. */
const YEAR_MAX = 9_999

/** PostgreSQL's offsets from UTC are less than 16 hours, JavaScript's less than 24. */
const OFFSET_TOO_FAR = /[+-](?:1[6-9]|2\d)(?::?\d{2})?$/

/**
 * Whether there is such a moment, in a year and at an offset that every store knows: 1 to 9999 in UTC, less than 16
 * hours. `text` begins with `yyyy-mm-dd`, a time of day and an offset follow. `Date.parse` alone takes the 30th of February for the 2nd of March,
 * and 24:00 for the next day, which ISO 8601:2004 did too; RFC 3339 (5.6) ends the day at 23:59.
 */
export function isRealTime(text: string): boolean {
  const at = new Date(toIso(text))
  if (Number.isNaN(at.getTime())) return false
  if (/^.{10}[T ]24/.test(text) || OFFSET_TOO_FAR.test(text)) return false
  const day = text.slice(0, 10)
  const midnight = new Date(`${day}T00:00:00Z`)
  if (Number.isNaN(midnight.getTime()) || !midnight.toISOString().startsWith(day)) return false
  const year = at.getUTCFullYear()
  return year >= YEAR_MIN && year <= YEAR_MAX
}

/** What is not quite ISO 8601 JavaScript reads by other rules, by which the year 0000 is 2000. */
const toIso = (text: string): string =>
  text
    .replace(' ', 'T')
    .replace(/([+-]\d{2}):?(\d{2})?$/, (_, hours: string, minutes: string | undefined) => `${hours}:${minutes ?? '00'}`)
