import type { Caller } from '../core/app.ts'
import type { GatewayError } from '../core/errors.ts'

/** The operations on calls that a client may ask for over its stream. */
export const COMMAND_OPS = ['answer', 'hold', 'resume', 'end', 'dial'] as const
type CommandOp = (typeof COMMAND_OPS)[number]

/** A client's command: what is in it beyond these two fields is checked by the {@link CommandRunner}. */
export type CommandFrame = { readonly op: CommandOp; readonly request_id: string; readonly [field: string]: unknown }

/** The same answer as over HTTP: its status, and its body or its problem document. */
export type CommandReply = {
  readonly status: number
  readonly body?: unknown
  readonly problem?: unknown
  /** The first request with the same idempotency key had this answer. */
  readonly isReplay?: boolean
  /** When it makes sense to ask again. */
  readonly retryAfterMs?: number
}

/** Carries out commands in the name of the app and key that a stream was opened with. */
export interface CommandRunner {
  /** Never rejects: an error becomes a problem. */
  run(caller: Caller, command: CommandFrame): Promise<CommandReply>
  /** The answer to a command that is not even tried. */
  refuse(error: GatewayError, command: CommandFrame): CommandReply
}
