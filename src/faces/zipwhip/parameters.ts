import * as v from 'valibot'

const HORIZON_MS = 366 * 24 * 60 * 60 * 1_000

/**
 * An E.164 number as these requests carry it: the document's own samples have a space before it, and a plus sign
 * that nobody escaped arrives as a space.
 */
const phoneNumber = v.pipe(
  v.string('is required'),
  v.transform((text) => text.trim().replace(/^(?=[1-9])/, '+')),
  v.regex(/^\+[1-9]\d{6,14}$/, 'must be a number in full E.164 format, such as +18005555555'),
  v.description('In full E.164 format, such as +18005555555'),
)

/** ISO 8601; the sign of an offset may have become a space. */
const effectiveDate = v.pipe(
  v.string(),
  v.maxLength(40),
  v.transform((text) => text.trim().replace(/ (?=\d{2}:\d{2}$)/, '+')),
  v.regex(
    /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:?\d{2})$/,
    'must be a time in ISO 8601, such as 2014-05-08T17:35:16+00:00',
  ),
  v.check((text) => !Number.isNaN(Date.parse(text)), 'must be a time that exists'),
  v.description('When it is to happen, in ISO 8601; at once if absent or past'),
)

const apiKey = v.pipe(
  v.optional(v.pipe(v.string(), v.maxLength(512))),
  v.description('The key of the organization; may be sent as a bearer token instead'),
)
const vendorCustomerId = v.pipe(
  v.optional(v.pipe(v.string(), v.maxLength(100))),
  v.description("The caller's own id of the line"),
)

/** Parameters that are not known are ignored: clients of this API send more than it documents. */
export const NumberParameters = v.object({ api_key: apiKey, phone_number: phoneNumber })
export const LineParameters = v.object({
  ...NumberParameters.entries,
  effective_date: v.optional(effectiveDate),
  vendor_customer_id: vendorCustomerId,
})
export const DeleteParameters = v.object({
  ...NumberParameters.entries,
  effective_date: v.optional(effectiveDate),
  reason: v.optional(v.pipe(v.string(), v.maxLength(255))),
})
export const ReportParameters = v.object({
  api_key: apiKey,
  phone_number: v.optional(phoneNumber),
  from: v.optional(effectiveDate),
  to: v.optional(effectiveDate),
})

/** When a request is to be carried out: `undefined` for at once. Throws a RangeError beyond a year from now. */
export function requestedDateOf(text: string | undefined, now: number): number | undefined {
  const at = text === undefined ? now : Date.parse(text)
  if (at > now + HORIZON_MS) throw new RangeError('too far away')
  return at <= now ? undefined : at
}

/** As the document's samples print times: `2014-05-08T17:35:16+00:00`. */
export const formatDate = (ms: number): string => new Date(ms).toISOString().replace(/\.\d{3}Z$/, '+00:00')
