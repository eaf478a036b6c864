import type { CommandOf, CommandResults, CommandType } from '../core/command.ts'
import { GatewayError, isGatewayError } from '../core/errors.ts'
import type { NetworkId } from '../core/ids.ts'
import type { NetworkControl } from '../core/network-control.ts'

/**
 * Runs a command under a deadline. Rejects with the adapter's own error, or with
 * `provider_unavailable` when the network did not answer in time.
 */
export async function runCommand<Type extends CommandType>(options: {
  readonly networks: NetworkControl
  readonly networkId: NetworkId
  readonly command: CommandOf<Type>
  readonly timeoutMs: number
}): Promise<CommandResults[Type]> {
  const signal = AbortSignal.timeout(options.timeoutMs)
  try {
    return await options.networks.execute(options.networkId, options.command, signal)
  } catch (cause) {
    if (isGatewayError(cause) || !signal.aborted) throw cause
    throw new GatewayError('provider_unavailable', { detail: 'The network did not answer in time.', cause })
  }
}
