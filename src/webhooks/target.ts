import type { EndpointSummary } from '../core/directory.ts'
import type { Endpoint } from '../core/endpoint.ts'
import type { AttemptTarget, Keyring } from './attempt.ts'
import { positionOf } from './delivery.ts'
import type { PendingEvent, StoredEvent } from './delivery.ts'

/** More would make a header that receivers refuse; the most recent ones tell most. */
const SKIPPED_MAX = 32

/** Where and as whom to send what is for an endpoint; `credentials` are asked for what it is signed with by now. */
export function toTarget(
  endpoint: Pick<EndpointSummary | Endpoint, 'endpointId' | 'url' | 'failoverUrl' | 'signatures' | 'caCertificates'>,
  credentials: AttemptTarget['credentials'],
): AttemptTarget {
  const { endpointId, url, failoverUrl, caCertificates } = endpoint
  return {
    endpointId,
    url,
    credentials: async () => {
      const own = await credentials()
      return own && { ...own, keys: keysFor(endpoint.signatures, own.keys) }
    },
    ...(failoverUrl !== undefined && { failoverUrl }),
    ...(caCertificates !== undefined && { caCertificates }),
  }
}

/**
 * The keys of the schemes that the endpoint asks for; all there are when it has none of those (the records
 * are a step ahead of the directory), because nothing is ever sent unsigned.
 */
function keysFor(schemes: Endpoint['signatures'], keys: Keyring): Keyring {
  const wanted = {
    symmetric: schemes.includes('v1') ? keys.symmetric : [],
    asymmetric: schemes.includes('v1a') ? keys.asymmetric : [],
  }
  return wanted.symmetric.length + wanted.asymmetric.length === 0 ? keys : wanted
}

/**
 * The `callhalf-*` headers of an event but `callhalf-attempt` and `callhalf-target`, which belong to one
 * POST. `now` is milliseconds since the epoch; `skipped` are items of a structured list (RFC 8941): the
 * earlier events of the lane that will not arrive before this one.
 */
export function composeHeaders({
  pending,
  event,
  skipped,
  now,
}: {
  readonly pending: Pick<PendingEvent, 'expiresAt' | 'isParked' | 'isReplay'>
  readonly event: Pick<StoredEvent, 'eventId' | 'type' | 'about'>
  readonly skipped: readonly string[]
  readonly now: number
}): Readonly<Record<string, string>> {
  const { sequence, callId, occurredAt } = event.about
  const headers: Record<string, string> = {
    'callhalf-event': toHeaderValue(event.type),
    'callhalf-position': toHeaderValue(positionOf(event.eventId)),
    'callhalf-age-ms': String(Math.max(0, Math.round(now - occurredAt))),
    'callhalf-expires': String(pending.expiresAt),
  }
  if (sequence !== undefined) headers['callhalf-sequence'] = toHeaderValue(sequence)
  if (callId !== undefined) headers['callhalf-call-id'] = toHeaderValue(callId)
  const items = skipped.filter(isListItem).slice(-SKIPPED_MAX)
  if (items.length > 0) headers['callhalf-skipped'] = items.join(', ')
  if (pending.isParked) headers['callhalf-parked'] = '1'
  if (pending.isReplay) headers['callhalf-replay'] = '1'
  return headers
}

/**
 * A text as a header value: itself when it is visible ASCII, otherwise percent-encoded; also when it has a
 * percent sign, so that decoding always gives it back.
 */
const toHeaderValue = (text: string): string =>
  /^[\u0021-\u0024\u0026-\u007e]+$/.test(text) ? text : encodeURIComponent(text.toWellFormed())

const isListItem = (item: string): boolean => /^[\u0021-\u007e]{1,128}$/.test(item)
