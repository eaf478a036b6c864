import * as v from 'valibot'
import { E164 } from '../../core/e164.ts'
import { invalidRequest } from '../../core/parse-input.ts'
import { isText } from '../../http/request-body.ts'
import { isRealTime } from '../../provisioning/model/calendar.ts'

const HORIZON_MS = 365 * 24 * 60 * 60 * 1_000

/** What every store can keep. */
const text = v.pipe(v.string('is required'), v.check(isText, 'must be text'))

/**
 * A number as these requests carry it: the document's own samples have a space before it, and a plus sign that
 * nobody escaped arrives as a space. Without either, only eleven digits of North America are beyond doubt.
 */
const givenNumber = v.pipe(
  text,
  v.transform((given) =>
    given
      .replace(/^ +(?=\d)/, '+')
      .trim()
      .replace(/^(?=1\d{10}$)/, '+'),
  ),
)
const NUMBER_FORM = 'In full E.164 format, such as +18005555555'
const phoneNumber = v.pipe(
  givenNumber,
  v.regex(E164, 'must be a number in full E.164 format, such as +18005555555'),
  v.description(NUMBER_FORM),
)

/** ISO 8601; the sign of an offset may have become a space. */
const date = v.pipe(
  text,
  v.maxLength(40),
  v.transform((given) => given.trim().replace(/ (?=\d{2}:?\d{2}$)/, '+')),
  v.regex(
    /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:?\d{2})$/,
    'must be a time in ISO 8601, such as 2014-05-08T17:35:16+00:00',
  ),
  v.check(isRealTime, 'must be a time that there is'),
)
const effectiveDate = v.pipe(
  v.optional(date),
  v.description('When it is to happen, in ISO 8601, up to a year ahead; at once if absent or past'),
)

const apiKey = v.pipe(
  v.optional(v.pipe(text, v.maxLength(512))),
  v.description('Required: the key of the organization. A bearer token in the header Authorization does as well.'),
)
const vendorCustomerId = v.pipe(
  v.optional(v.pipe(text, v.maxLength(100))),
  v.description("The caller's own id of the line"),
)

/** Parameters that are not known are ignored: clients of this API send more than it documents. */
export const NumberParameters = v.object({ api_key: apiKey, phone_number: phoneNumber })
/** Takes any text for a number: that it is none is a result, not an error (section 4, "Invalid"). */
export const EligibleParameters = v.object({
  api_key: apiKey,
  phone_number: v.pipe(givenNumber, v.maxLength(64), v.description(NUMBER_FORM)),
})
export const LineParameters = v.object({
  ...NumberParameters.entries,
  effective_date: effectiveDate,
  vendor_customer_id: vendorCustomerId,
})
export const DeleteParameters = v.object({
  ...NumberParameters.entries,
  effective_date: effectiveDate,
  reason: v.pipe(
    v.optional(v.pipe(text, v.maxLength(255))),
    v.description('Why the service is ended; kept with the order'),
  ),
})
export const ReportParameters = v.object({
  api_key: apiKey,
  phone_number: v.pipe(v.optional(phoneNumber), v.description('Only of this line')),
  from: v.pipe(v.optional(date), v.description('Not before this time, in ISO 8601')),
  to: v.pipe(v.optional(date), v.description('Not after this time, in ISO 8601')),
})

/** When a request is to be carried out: `undefined` for at once. Throws `invalid_request` beyond a year from now. */
export function requestedDateOf(given: string | undefined, now: number): number | undefined {
  const at = given === undefined ? now : Date.parse(given)
  if (at > now + HORIZON_MS) {
    throw invalidRequest([{ field: 'effective_date', message: 'must be within a year from now' }])
  }
  return at <= now ? undefined : at
}

/** As the document's samples print times: `2014-05-08T17:35:16+00:00`. */
export const formatDate = (ms: number): string => new Date(ms).toISOString().replace(/\.\d{3}Z$/, '+00:00')
