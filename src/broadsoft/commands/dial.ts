import * as v from 'valibot'
import type { CallId } from '../../core/ids.ts'
import { CallIdSchema } from '../../core/ids.ts'
import type { XsiResponse } from '../client.ts'
import { userPath } from '../paths.ts'
import type { Exchange } from './exchange.ts'
import { unexpectedAnswer } from './exchange.ts'

/**
 * Click-to-dial (XSI Interface Specification 2020.07, p. 208): rings the subscriber's own phone, then
 * the remote party. Answered 201 with CallStartInfo. The call's first event may come before the answer.
 */
export const dial: Exchange<'dial'> = {
  scope: 'user',
  toRequest: ({ subscriberId, remoteNumber }) => ({
    method: 'POST',
    path: `${userPath(subscriberId)}/calls/new?address=${encodeURIComponent(remoteNumber)}`,
    isIdempotent: false,
  }),
  readResponse: (response) => {
    const { document } = response
    if (document?.type === 'call-start-info') return { callId: document.callId, trackingId: document.trackingId }
    const callId = callIdOfLocation(response)
    if (callId === undefined) throw unexpectedAnswer(response)
    return { callId, trackingId: '' }
  },
}

/** The call was placed even if its CallStartInfo is missing: `Location` ends in the call id. */
function callIdOfLocation({ headers }: XsiResponse): CallId | undefined {
  const { location } = headers
  const segment = typeof location === 'string' ? /\/calls\/([^/?#]+)\/?$/i.exec(location)?.[1] : undefined
  if (segment === undefined || /%(?![\da-f]{2})/i.test(segment)) return undefined
  const parsed = v.safeParse(CallIdSchema, segment.replaceAll(/%3a/gi, ':'))
  return parsed.success ? parsed.output : undefined
}
