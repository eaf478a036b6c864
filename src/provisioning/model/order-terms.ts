import type { NumberFilter } from './number-filter.ts'

/** Where the services of an order begin, when the customer says so; both must be the customer's own. */
type Place = { readonly locationId?: string; readonly connectionId?: string }

/** From whom numbers are ported, by whose authority. */
type PortTerms = {
  readonly losingCarrier: {
    readonly name: string
    readonly accountNumber?: string
    /** Of the account at the losing carrier; forgotten as soon as the order is final. */
    readonly pin?: string
    readonly billingNumber?: string
  }
  readonly authorizedBy: { readonly name: string; readonly signedAt?: number }
  readonly address: {
    readonly line1: string
    readonly line2?: string
    readonly city: string
    readonly region?: string
    readonly postalCode: string
    readonly country: string
  }
  /** In milliseconds since 1970: when the customer would like the numbers to come over. */
  readonly requestedFocDate?: number
  readonly loaDocumentId?: string
}

/** What is to become of services that a `change` is about; what is absent stays as it is. */
export type ServiceChanges = {
  readonly features?: readonly string[]
  readonly callerName?: string
  readonly directoryListing?: string
  readonly connectionId?: string
  readonly externalId?: string
}

/** What an order asks for; the numbers are E.164. See `ORDER_ACTIONS`. */
export type OrderTerms =
  | ({ readonly action: 'any'; readonly quantity: number; readonly filter: NumberFilter } & Place)
  | ({ readonly action: 'port'; readonly numbers: readonly string[] } & PortTerms & Place)
  | ({
      readonly action: 'reserve'
      readonly reservationIds: readonly string[]
      /** Only these of the reserved ones. */
      readonly numbers?: readonly string[]
    } & Place)
  | ({ readonly action: 'range'; readonly start: string; readonly size: number } & Place)
  | {
      readonly action: 'add'
      readonly numbers: readonly string[]
      /** The caller's own id of the service. */
      readonly externalId?: string
    }
  | {
      readonly action: 'move'
      readonly numbers: readonly string[]
      readonly toLocationId: string
      readonly toConnectionId?: string
    }
  | { readonly action: 'change'; readonly numbers: readonly string[]; readonly changes: ServiceChanges }
  | { readonly action: 'delete'; readonly numbers: readonly string[]; readonly reason: string }
  | {
      readonly action: 'deleteAll'
      readonly reason: string
      /** How many numbers the caller expects to lose; another count is refused. */
      readonly confirm: number
    }

type WithoutNumbers<Terms> = Terms extends OrderTerms ? Omit<Terms, 'numbers'> : never
/** As they are kept: the numbers are those of the order's items. */
export type OrderParameters = WithoutNumbers<OrderTerms>

/** An order as it is asked for. */
export type PlaceOrder = {
  readonly customerId: string
  /** Under which name it is audited, see `actorOf`. */
  readonly actor: string
  /** Through which API it came. */
  readonly face: 'zilkr' | 'zipwhip' | 'idi'
  readonly productId: string
  readonly externalId?: string
  /** When it is to be carried out, in milliseconds since 1970; at once unless given. */
  readonly requestedDate?: number
  /** Whether some of the numbers are of use without the others. */
  readonly partialAllowed: boolean
  readonly metadata: Readonly<Record<string, string>>
  readonly correlationId?: string
  readonly terms: OrderTerms
}

/** Most numbers of one order. */
export const ORDER_NUMBERS_MAX = 5_000
