import type { AttemptRecord, DeliveryFact, EndedStatus } from '../../src/core/delivery-record.ts'
import { toAppId, toEndpointId } from '../../src/core/ids.ts'

/** The app, endpoint and moment of facts that name no others. */
export const APP = toAppId('app-1')
export const ENDPOINT = toEndpointId('endpoint-1')
export const T0 = 1_700_000_000_000

type Taken = Extract<DeliveryFact, { kind: 'taken' }>

/** An event that one endpoint takes, but for what is given. */
export const taken = (
  deliveryId: string,
  change: Partial<Taken['event']> & { readonly at?: number; readonly endpointId?: string } = {},
): Taken => {
  const { at = T0, endpointId = ENDPOINT, ...event } = change
  return {
    kind: 'taken',
    factId: `taken-${deliveryId}`,
    at,
    event: {
      eventId: `${event.appId ?? APP}:e-${deliveryId}`,
      appId: APP,
      type: 'call.ringing',
      orderKey: 'call:c1',
      occurredAt: T0 - 5,
      payload: `{"id":"${deliveryId}"}`,
      ...event,
    },
    endpoints: [{ endpointId: toEndpointId(endpointId), deliveryId, class: 'act_now', expiresAt: at + 30_000 }],
  }
}
/** A second endpoint of a taken event. */
export const sentTo = (deliveryId: string) =>
  ({ endpointId: toEndpointId('endpoint-2'), deliveryId, class: 'act_now', expiresAt: T0 + 30_000 }) as const
/** A delivered first attempt, but for what is given. */
export const attempted = (
  deliveryId: string,
  change: Partial<AttemptRecord> & { readonly nextAttemptAt?: number; readonly factId?: string } = {},
): DeliveryFact => {
  const { nextAttemptAt, factId, ...attempt } = change
  const number = attempt.number ?? 1
  return {
    kind: 'attempted',
    factId: factId ?? `attempt-${deliveryId}-${number}`,
    deliveryId,
    attempt: {
      number,
      startedAt: T0 + 10 * number,
      target: 'primary',
      outcome: 'delivered',
      timing: { totalMs: 7.25 },
      ...attempt,
    },
    ...(nextAttemptAt !== undefined && { nextAttemptAt }),
  }
}
type Ended = Extract<DeliveryFact, { kind: 'ended' }>
export const ended = (deliveryId: string, status: EndedStatus = 'delivered', factId = `end-${deliveryId}`): Ended => ({
  kind: 'ended',
  factId,
  deliveryId,
  class: 'act_now',
  at: T0 + 100,
  status,
})
export const replayed = (deliveryId: string, factId = `replay-${deliveryId}`): DeliveryFact => ({
  kind: 'replayed',
  factId,
  deliveryId,
  at: T0 + 1_000,
  expiresAt: T0 + 99_000,
})
