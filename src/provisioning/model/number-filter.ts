/** What `number_type` of a product may be. */
export const NUMBER_TYPES = ['local', 'tollFree', 'mobile', 'national', 'sharedCost'] as const
export type NumberType = (typeof NUMBER_TYPES)[number]

/** Which numbers will do; everything that is given must hold. */
export type NumberFilter = {
  /** ISO 3166-1 alpha-2. */
  readonly countryCode?: string
  readonly cityId?: string
  readonly areaCode?: string
  /** Digits that the national number contains, starts or ends with. */
  readonly contains?: string
  readonly startsWith?: string
  readonly endsWith?: string
  readonly features?: readonly string[]
  /** How many numbers must follow one another without a gap. */
  readonly consecutive?: number
}
