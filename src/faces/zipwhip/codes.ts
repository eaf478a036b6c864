import * as v from 'valibot'
import { isGatewayError, type ErrorCode } from '../../core/errors.ts'
import type { EligibilityReason } from '../../provisioning/model/eligibility.ts'

/**
 * Every status code of the Zipwhip API. 100 and 111 to 113 are the document's ("Provision Phone Numbers",
 * version 1.0, section 4.1); it states no other, so the rest is ours. `http` is the status of the answer: the
 * document states none, so results of the domain come with 200.
 */
export const STATUS_CODES = {
  success: { code: '100', text: 'Successful Request', http: 200, isDocumented: true },
  pending: { code: '101', text: 'Pending Activation', http: 200, isDocumented: false },
  invalidNumber: { code: '110', text: 'Ineligible - Invalid Number', http: 200, isDocumented: false },
  mobile: { code: '111', text: 'Ineligible - Mobile Number', http: 200, isDocumented: true },
  anotherOrg: {
    code: '112',
    text: 'Ineligible - Number already provisioned by another Org',
    http: 200,
    isDocumented: true,
  },
  yourOrg: { code: '113', text: 'Ineligible - Number already provisioned by your Org', http: 200, isDocumented: true },
  typeNotSupported: { code: '114', text: 'Ineligible - Number type not supported', http: 200, isDocumented: false },
  unknownLineType: { code: '115', text: 'Ineligible - Unknown line type', http: 200, isDocumented: false },
  countryNotSupported: { code: '116', text: 'Ineligible - Country not supported', http: 200, isDocumented: false },
  badParameter: { code: '400', text: 'Missing or malformed parameter', http: 400, isDocumented: false },
  badKey: { code: '401', text: 'Invalid api_key', http: 401, isDocumented: false },
  keyNotAllowed: { code: '403', text: 'Key not allowed for this call', http: 403, isDocumented: false },
  notAssigned: { code: '404', text: 'Number not assigned to your organization', http: 404, isDocumented: false },
  badMethod: { code: '405', text: 'Method not allowed', http: 405, isDocumented: false },
  noSuchCall: { code: '406', text: 'No such call', http: 404, isDocumented: false },
  inProcess: { code: '409', text: 'Request in process for this number', http: 409, isDocumented: false },
  badDate: { code: '422', text: 'Bad effective_date', http: 422, isDocumented: false },
  tooMany: { code: '429', text: 'Too many requests', http: 429, isDocumented: false },
  unknown: { code: '500', text: 'Unknown error', http: 500, isDocumented: false },
  unavailable: { code: '503', text: 'Temporarily unavailable', http: 503, isDocumented: false },
} as const
export type StatusName = keyof typeof STATUS_CODES

/** What each judgement of a number is here. */
export const STATUS_OF_REASON: Readonly<Record<EligibilityReason, StatusName>> = {
  eligible: 'success',
  invalid_number: 'invalidNumber',
  mobile_number: 'mobile',
  provisioned_by_you: 'yourOrg',
  provisioned_by_another: 'anotherOrg',
  provisioned_elsewhere: 'anotherOrg',
  type_not_supported: 'typeNotSupported',
  country_not_supported: 'countryNotSupported',
  line_type_unknown: 'unknownLineType',
}

const STATUS_OF_ERROR: Partial<Readonly<Record<ErrorCode, StatusName>>> = {
  invalid_request: 'badParameter',
  malformed_json: 'badParameter',
  unsupported_media_type: 'badParameter',
  body_too_large: 'badParameter',
  request_timeout: 'badParameter',
  order_refused: 'badParameter',
  unauthorized: 'badKey',
  scope_exceeded: 'keyNotAllowed',
  customer_not_found: 'keyNotAllowed',
  customer_inactive: 'keyNotAllowed',
  resource_not_found: 'notAssigned',
  route_not_found: 'noSuchCall',
  method_not_allowed: 'badMethod',
  number_busy: 'inProcess',
  numbers_unavailable: 'inProcess',
  order_not_cancellable: 'inProcess',
  too_many_requests: 'tooMany',
  product_not_found: 'unavailable',
  provider_unavailable: 'unavailable',
  provider_refused: 'unavailable',
  store_unavailable: 'unavailable',
  draining: 'unavailable',
}

/** Statuses whose answer says what exactly is wrong. */
export const EXPLAINED_STATUSES: ReadonlySet<StatusName> = new Set(['badParameter', 'badDate', 'keyNotAllowed'])

/** What an error is here; anything that is not foreseen is `unknown`. */
export function statusOfError(error: unknown): StatusName {
  if (!isGatewayError(error)) return 'unknown'
  if (error.code === 'invalid_request' && isAboutDate(error.fields['errors'])) return 'badDate'
  if (error.code === 'order_refused' && error.fields['field'] === 'requested_date') return 'badDate'
  return STATUS_OF_ERROR[error.code] ?? 'unknown'
}

const DateErrors = v.pipe(v.array(v.object({ field: v.literal('effective_date') })), v.minLength(1))
const isAboutDate = (errors: unknown): boolean => v.is(DateErrors, errors)
