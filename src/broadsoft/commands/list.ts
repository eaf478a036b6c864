import type { Call } from '../../core/call.ts'
import { isGatewayError } from '../../core/errors.ts'
import type { CallId, SubscriberId } from '../../core/ids.ts'
import type { XsiClient } from '../client.ts'
import { normalizeCall } from '../normalize.ts'
import { callPath, userPath } from '../paths.ts'
import type { CommandRunner } from './exchange.ts'
import { sendAction, unexpectedAnswer } from './exchange.ts'

/** Details read at the same time, for one user. */
const CONCURRENCY = 4

/** Reads the subscriber's calls from the network itself (XSI Interface Specification 2020.07, p. 208, 211). */
export const list: CommandRunner<'list'> = (client, command, signal) => readCalls(client, command.subscriberId, signal)

/**
 * Everything that a user has now: the list, then each call's details. A call that ends between the two
 * is left out. Rejects rather than leave out a call that may still exist.
 */
export async function readCalls(
  client: XsiClient,
  userId: SubscriberId,
  signal: AbortSignal,
): Promise<readonly Call[]> {
  const callIds = await listCallIds(client, userId, signal)
  const calls: Call[] = []
  const refused: { readonly callId: CallId; readonly error: unknown }[] = []
  const waiting = callIds.values()
  const readNext = async (): Promise<void> => {
    for (const callId of waiting) {
      try {
        calls.push(await readCall(client, { userId, callId }, signal))
      } catch (error) {
        if (isGatewayError(error, 'call_not_found')) continue
        if (!isGatewayError(error, 'provider_refused')) throw error
        refused.push({ callId, error })
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(CONCURRENCY, callIds.length) }, readNext))
  // A call that is gone may be answered with 403 as well: only the list can tell.
  const remaining = refused.length === 0 ? [] : await listCallIds(client, userId, signal)
  const kept = refused.find(({ callId }) => remaining.includes(callId))
  if (kept !== undefined) throw kept.error
  return calls.toSorted((a, b) => callIds.indexOf(a.callId) - callIds.indexOf(b.callId))
}

async function listCallIds(client: XsiClient, userId: SubscriberId, signal: AbortSignal): Promise<readonly CallId[]> {
  const request = { method: 'GET', path: `${userPath(userId)}/calls`, isIdempotent: true } as const
  const response = await sendAction(client, request, 'user', signal)
  if (response.document?.type !== 'calls') throw unexpectedAnswer(response)
  return response.document.callIds
}

async function readCall(
  client: XsiClient,
  { userId, callId }: { readonly userId: SubscriberId; readonly callId: CallId },
  signal: AbortSignal,
): Promise<Call> {
  const path = `${callPath(userId, callId)}?allowDetached=true`
  const response = await sendAction(client, { method: 'GET', path, isIdempotent: true }, 'call', signal)
  if (response.document?.type !== 'call') throw unexpectedAnswer(response)
  return normalizeCall(response.document.call, client.now())
}
