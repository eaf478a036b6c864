import { getCountries } from 'libphonenumber-js/max'
import * as v from 'valibot'
import { E164 } from '../../../core/e164.ts'
import { isRealTime } from '../../../provisioning/model/calendar.ts'

const COUNTRIES: ReadonlySet<string> = new Set(getCountries())
const CURRENCIES: ReadonlySet<string> = new Set(Intl.supportedValuesOf('currency'))

/** Text with something in it. */
export const textField = (lengthMax: number) =>
  v.pipe(v.string(), v.regex(/\S/, 'must not be empty'), v.maxLength(lengthMax))

export const countryField = v.pipe(
  v.string(),
  v.regex(/^[A-Z]{2}$/, 'must be an ISO 3166-1 alpha-2 code, such as US'),
  v.check((code) => COUNTRIES.has(code), 'must be the ISO 3166-1 alpha-2 code of a country with telephone numbers'),
)
export const currencyField = v.pipe(
  v.string(),
  v.regex(/^[A-Z]{3}$/, 'must be an ISO 4217 code, such as USD'),
  v.check((code) => CURRENCIES.has(code), 'must be the ISO 4217 code of a currency'),
)
export const timeZoneField = v.pipe(
  v.string(),
  v.maxLength(64),
  v.check(isTimeZone, 'must be an IANA time zone, such as America/New_York'),
)
export const languageField = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,4}$/, 'must be a BCP 47 language tag, such as en-US'),
)
export const numberField = v.pipe(v.string(), v.regex(E164, 'must be an E.164 number, such as +15550100001'))
export const emailField = v.pipe(v.string(), v.maxLength(254), v.email('must be an e-mail address'))
export const metadataField = v.pipe(
  v.record(
    v.pipe(v.string(), v.minLength(1), v.maxLength(40)),
    v.pipe(v.string(), v.maxLength(500, 'must have up to 500 characters')),
  ),
  v.check((map) => Object.keys(map).length <= 20, 'may have up to 20 keys'),
  v.description('Yours; up to 20 keys of up to 40 characters, values of up to 500'),
)
/** A moment, as text on the wire and in milliseconds inside. */
export const timeField = v.pipe(
  v.string(),
  v.regex(
    /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})$/,
    'must be a time with its offset, such as 2026-01-31T12:00:00Z',
  ),
  v.check(isRealTime, 'must be a time that exists'),
)
/** A time in an answer. */
export const timestamp = v.pipe(v.string(), v.isoTimestamp(), v.description('In UTC'))
export const toTimestamp = (ms: number): string => new Date(ms).toISOString()

/** An id in a body; of another kind it is simply not found. */
export const idField = v.pipe(v.string(), v.minLength(1), v.maxLength(80))

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== ''
  } catch {
    return false
  }
}
