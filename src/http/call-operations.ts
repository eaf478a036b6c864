import * as v from 'valibot'
import type { CallControl } from '../control/call-control.ts'
import type { PlaceCall, PlacedCall } from '../control/place-request.ts'
import type { CallCommand } from '../core/call-commands.ts'
import type { AppId, CallId } from '../core/ids.ts'

/** The key of a request that must not be carried out twice. */
export const IdempotencyKeySchema = v.pipe(
  v.string(),
  v.regex(/^[\x20-\x7e]{1,255}$/, 'must have 1 to 255 printable ASCII characters'),
)

/** What is done with calls, and how it is answered, whether it is asked by a request or over a stream. */
export async function placeCall(
  calls: CallControl,
  {
    appId,
    body,
    idempotencyKey,
  }: { readonly appId: AppId; readonly body: PlaceCall; readonly idempotencyKey: string | undefined },
): Promise<{ readonly status: 201; readonly json: PlacedCall; readonly isReplay: boolean }> {
  const { call, isReplay } = await calls.place(appId, body, idempotencyKey)
  return { status: 201, json: call, isReplay }
}

/** Like {@link placeCall}, for a command on an existing call. */
export async function sendCommand(
  calls: CallControl,
  { appId, callId, command }: { readonly appId: AppId; readonly callId: CallId; readonly command: CallCommand },
): Promise<{ readonly status: 204 }> {
  await calls.command(appId, callId, command)
  return { status: 204 }
}
