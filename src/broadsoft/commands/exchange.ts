import type { CommandOf, CommandResults, CommandType } from '../../core/command.ts'
import { GatewayError } from '../../core/errors.ts'
import type { XsiClient, XsiResponse } from '../client.ts'
import type { ErrorScope } from '../errors.ts'
import { refusalError } from '../errors.ts'

/** One request of a command, its path below the context of XSI-Actions. */
export type CommandRequest = {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  readonly path: string
  /** May be repeated when the connection breaks. */
  readonly isIdempotent: boolean
  /** A repeat that is answered 404 says that the first sending was carried out. */
  readonly isDoneWhenGone?: true
}

/** A command that is one request: how to ask, and what a success (any 2xx) says. */
export type Exchange<Type extends CommandType> = {
  readonly scope: ErrorScope
  toRequest(command: CommandOf<Type>): CommandRequest
  /** Throws `protocol_error` when the answer lacks what the command must give. */
  readResponse(response: XsiResponse): CommandResults[Type]
}

export type CommandRunner<Type extends CommandType> = (
  client: XsiClient,
  command: CommandOf<Type>,
  signal: AbortSignal,
) => Promise<CommandResults[Type]>

/** Makes a runner of an exchange. */
export const runnerOf =
  <Type extends CommandType>(exchange: Exchange<Type>): CommandRunner<Type> =>
  async (client, command, signal) =>
    exchange.readResponse(await sendAction(client, exchange.toRequest(command), exchange.scope, signal))

/** Sends one request to XSI-Actions. Rejects with the error for any answer but a success. */
export async function sendAction(
  client: XsiClient,
  { path, isDoneWhenGone, ...request }: CommandRequest,
  scope: ErrorScope,
  signal: AbortSignal,
): Promise<XsiResponse> {
  const response = await client.request({ ...request, path: client.actionsPath + path, signal })
  if (isDoneWhenGone === true && response.isRepeat === true && response.status === 404) return response
  if (response.status < 200 || response.status > 299) throw refusalError(response, scope)
  return response
}

/** For an answer that is a success and yet not what the command gives. */
export const unexpectedAnswer = (response: XsiResponse): GatewayError =>
  new GatewayError('protocol_error', {
    detail: 'The network answered with something else than the command gives',
    fields: { provider_status: response.status },
  })
