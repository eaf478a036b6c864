import type { Clock } from '../core/clock.ts'
import type { EndpointRepository, EndpointSecretSet } from '../core/endpoint.ts'
import { GatewayError } from '../core/errors.ts'
import type { AppId, EndpointId } from '../core/ids.ts'
import { CREDENTIALS_AGE_MAX_MS } from '../webhooks/credential-cache.ts'

/** For what was signed at the last moment to be on its way. */
const MARGIN_MS = 500

export type RotationDeps = {
  readonly endpoints: Pick<EndpointRepository, 'rotateSecrets'>
  readonly clock: Pick<Clock, 'now' | 'wait'>
}

/**
 * Replaces the secrets of an endpoint; resolves with when those before end, in milliseconds since the
 * epoch. By then every process signs with the new ones, and, without an overlap, none with those before:
 * whoever is told has not to wait. Ends the waiting early, but not the rotation, with `signal`. Rejects
 * with `webhook_not_found`.
 */
export async function rotateSecrets(
  { endpoints, clock }: RotationDeps,
  { appId, endpointId }: { readonly appId: AppId; readonly endpointId: EndpointId },
  { signal, ...rotation }: EndpointSecretSet & { readonly graceMs: number; readonly signal: AbortSignal },
): Promise<number> {
  const rotated = await endpoints.rotateSecrets(appId, endpointId, rotation)
  if (rotated === undefined) throw new GatewayError('webhook_not_found')
  const expireAt = clock.now() + rotation.graceMs
  // Nobody hears the answer then.
  await clock.wait(CREDENTIALS_AGE_MAX_MS + MARGIN_MS, signal).catch(() => undefined)
  return expireAt
}
