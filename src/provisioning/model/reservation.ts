export const RESERVATION_STATES = ['active', 'consumed', 'released', 'expired'] as const
export type ReservationState = (typeof RESERVATION_STATES)[number]

/** Times are in milliseconds since 1970. */
export type Reservation = {
  readonly reservationId: string
  readonly customerId: string
  /** `consumed`: nothing is held any longer, and orders have taken what was. */
  readonly state: ReservationState
  /** For how long it is extended, unless something else is asked for. */
  readonly ttlSeconds: number
  readonly expiresAt: number
  /** No extension goes beyond this. */
  readonly maxExpiresAt: number
  readonly extendedCount: number
  readonly createdAt: number
  readonly updatedAt: number
  /** In the order of the numbers. */
  readonly items: readonly ReservationItem[]
}

export type ReservationItem = {
  readonly number: string
  readonly state: 'held' | 'consumed' | 'expired' | 'released'
  readonly expiresAt: number
}
