/** Why a number can, or cannot, be given a service. */
const ELIGIBILITY_REASONS = [
  'eligible',
  'invalid_number',
  'mobile_number',
  'provisioned_by_you',
  'provisioned_by_another',
  'provisioned_elsewhere',
  'type_not_supported',
  'country_not_supported',
  'line_type_unknown',
] as const
export type EligibilityReason = (typeof ELIGIBILITY_REASONS)[number]

/**
 * What a provider says of its customer, which is the gateway, as it is to a customer of the gateway that by our books
 * has nothing on the number: whoever has the line there, it is somebody else.
 */
export const reasonToCustomer = <Reason extends string>(reason: Reason): Reason | 'provisioned_by_another' =>
  reason === 'provisioned_by_you' ? 'provisioned_by_another' : reason

export const LINE_TYPES = [
  'landline',
  'mobile',
  'tollFree',
  'voip',
  'premium',
  'sharedCost',
  'other',
  'unknown',
] as const
export type LineType = (typeof LINE_TYPES)[number]

/** One rule that was looked at, in order; the first that does not pass decides. */
export type EligibilityRule = {
  readonly rule: string
  readonly passed: boolean
  /** What it was judged by, without anything of another customer. */
  readonly input: string
  /** Where that is from: `numbering plan`, `line type table`, `inventory`, a provider's id. */
  readonly source: string
  /** Of what time the source is, in milliseconds since 1970; absent when it is of now. */
  readonly asOf?: number
}

/** A judgement that explains itself. */
export type Eligibility = {
  readonly isEligible: boolean
  readonly reason: EligibilityReason
  readonly lineType: LineType
  readonly rules: readonly EligibilityRule[]
}
