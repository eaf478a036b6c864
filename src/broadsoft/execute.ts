import type { Command, CommandOf, CommandResults, CommandType } from '../core/command.ts'
import type { XsiClient } from './client.ts'
import { COMMANDS } from './commands/index.ts'
import { Serial } from './serial.ts'

/** Commands for one call that may wait or run at a time. */
const PENDING_PER_CALL_MAX = 8

/**
 * Carries out a command. Rejects with `provider_*`, `call_not_found`, `subscriber_not_found`,
 * `call_state_conflict` or `invalid_request`. A success says that the network took the request; only
 * an event says that it happened.
 */
export function executeCommand<Type extends CommandType>(
  client: XsiClient,
  command: CommandOf<Type>,
  signal: AbortSignal,
): Promise<CommandResults[Type]> {
  return COMMANDS[command.type](client, command, signal)
}

/**
 * Carries out the commands of one network, one at a time per call, because two quick commands on the
 * same call race at the network. Rejects with `too_many_requests` when too many wait for a call.
 */
export class CommandExecutor {
  readonly #client: XsiClient
  readonly #lanes = new Map<string, Serial>()

  constructor(client: XsiClient) {
    this.#client = client
  }

  async execute<Type extends CommandType>(
    command: CommandOf<Type>,
    signal: AbortSignal,
  ): Promise<CommandResults[Type]> {
    const key = callKeyOf(command)
    if (key === undefined) return executeCommand(this.#client, command, signal)
    const lane = this.#lanes.get(key) ?? new Serial(PENDING_PER_CALL_MAX)
    this.#lanes.set(key, lane)
    try {
      return await lane.run(() => executeCommand(this.#client, command, signal), signal)
    } finally {
      if (lane.pending === 0) this.#lanes.delete(key)
    }
  }
}

const callKeyOf = (command: Command): string | undefined =>
  'callId' in command ? JSON.stringify([command.subscriberId, command.callId]) : undefined
