import type { Clock } from '../core/clock.ts'
import type { Endpoint, EndpointRepository } from '../core/endpoint.ts'
import type { EndpointRef } from './delivery.ts'
import type { DeliveryStore } from './delivery-store.ts'

export type EndpointRemovalOptions = {
  readonly store: Pick<DeliveryStore, 'cursors' | 'remove' | 'open'>
  readonly endpoints: Pick<EndpointRepository, 'find'>
  readonly clock: Pick<Clock, 'now'>
}

/**
 * Forgets an endpoint that was removed or may be sent nothing, and drops what is pending for it; resolves
 * with how many events that were. Undefined when it does take events: by the records, which decide, because
 * the directory may be some seconds behind. Rejects when a store fails.
 */
export async function forgetEndpoint(
  { store, endpoints, clock }: EndpointRemovalOptions,
  { appId, endpointId }: EndpointRef,
): Promise<number | undefined> {
  const takesEvents = async () => isSending(await endpoints.find(appId, endpointId))
  const position = (await store.cursors(appId)).get(endpointId)
  if (await takesEvents()) return undefined
  const dropped = await store.remove({ appId, endpointId }, clock.now())
  if (!(await takesEvents())) return dropped
  // Enabled after it was read: the place that this fixed is gone, too. Its place before is no later.
  if (position !== undefined) await store.open({ appId, endpointId }, position)
  return undefined
}

const isSending = (endpoint: Endpoint | undefined): boolean => endpoint?.enabled === true && endpoint.verified
