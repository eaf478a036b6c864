import type { NumberType, PhoneNumber } from 'libphonenumber-js/max'
import type { LineType } from '../model/eligibility.ts'

const LINE_TYPES: Readonly<Record<Exclude<NumberType, undefined>, LineType>> = {
  FIXED_LINE: 'landline',
  MOBILE: 'mobile',
  FIXED_LINE_OR_MOBILE: 'unknown',
  TOLL_FREE: 'tollFree',
  VOIP: 'voip',
  PREMIUM_RATE: 'premium',
  SHARED_COST: 'sharedCost',
  PERSONAL_NUMBER: 'other',
  PAGER: 'other',
  UAN: 'other',
  VOICEMAIL: 'other',
}

/**
 * What the numbering plan says of a number. Of geographic numbers of the North American plan it cannot tell whether
 * they are mobile: these are `unknown`.
 */
export function lineTypeOf(number: PhoneNumber): LineType {
  const type = number.getType()
  return type === undefined ? 'unknown' : LINE_TYPES[type]
}

const SUPPORTED: Readonly<Record<string, readonly LineType[]>> = {
  messaging: ['landline', 'tollFree'],
  local: ['landline', 'voip', 'unknown'],
  national: ['landline', 'voip', 'other', 'unknown'],
  mobile: ['mobile', 'unknown'],
  tollFree: ['tollFree'],
  sharedCost: ['sharedCost', 'premium'],
}

/**
 * The line types that a product can be on. Messaging needs to know that it is not a mobile line, which has messages
 * already; a port of a number that might be either is for the losing carrier to judge.
 */
export const supportedLineTypes = (product: {
  readonly kind: string
  readonly number_type: string | null
}): readonly LineType[] => SUPPORTED[product.number_type ?? product.kind] ?? []
