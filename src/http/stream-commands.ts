import * as v from 'valibot'
import type { CallControl } from '../control/call-control.ts'
import { PlaceCallSchema } from '../control/place-request.ts'
import type { Caller } from '../core/app.ts'
import type { Clock } from '../core/clock.ts'
import type { GatewayError } from '../core/errors.ts'
import { CallIdSchema } from '../core/ids.ts'
import type { Logger } from '../core/logger.ts'
import { parseInput } from '../core/parse-input.ts'
import type { CommandFrame, CommandReply, CommandRunner } from '../streams/commands.ts'
import { RequestIdSchema } from '../streams/protocol.ts'
import { IdempotencyKeySchema, placeCall, sendCommand } from './call-operations.ts'
import { retryAfterSecondsOf, toProblem, toShownError } from './problem.ts'

/** A client's message with a command on a call that exists; answered by `reply`. */
export const CallCommandFrameSchema = v.pipe(
  v.strictObject({
    op: v.picklist(['answer', 'hold', 'resume', 'end']),
    request_id: RequestIdSchema,
    call_id: v.pipe(CallIdSchema, v.description('The call')),
  }),
  v.metadata({ ref: 'StreamCallCommand', title: 'A command on a call' }),
)

/** A client's message with a call to place; answered by `reply`. */
export const DialFrameSchema = v.pipe(
  v.strictObject({
    op: v.literal('dial'),
    request_id: RequestIdSchema,
    idempotency_key: v.pipe(
      v.optional(IdempotencyKeySchema),
      v.description('Like the header Idempotency-Key: a retry with the same key never dials twice'),
    ),
    ...PlaceCallSchema.entries,
  }),
  v.metadata({ ref: 'StreamDial', title: 'A call to place' }),
)

export type StreamCommandsOptions = { readonly calls: CallControl; readonly clock: Clock; readonly log: Logger }

/**
 * Carries out commands that come over streams, by the same operations, checks and problem documents as
 * the routes of calls. `request_id` of a problem is the one that the client gave.
 */
export class StreamCommands implements CommandRunner {
  readonly #options: StreamCommandsOptions

  constructor(options: StreamCommandsOptions) {
    this.#options = options
  }

  async run(caller: Caller, command: CommandFrame): Promise<CommandReply> {
    const { clock, log } = this.#options
    const startedAt = clock.monotonic()
    const reply = await this.#carryOut(caller, command).catch((error: unknown) => {
      const shown = toShownError(error)
      if (shown.status >= 500) log.warn({ err: error, requestId: command.request_id }, 'stream command failed')
      return this.refuse(shown, command)
    })
    const ms = Math.round((clock.monotonic() - startedAt) * 10) / 10
    const { op, request_id: requestId } = command
    log.info({ op, status: reply.status, ms, requestId, appId: caller.appId }, 'stream command')
    return reply
  }

  refuse(error: GatewayError, { request_id: requestId }: CommandFrame): CommandReply {
    const retryAfterSeconds = retryAfterSecondsOf(error)
    return {
      status: error.status,
      problem: toProblem(error, requestId),
      ...(retryAfterSeconds !== undefined && { retryAfterMs: retryAfterSeconds * 1000 }),
    }
  }

  async #carryOut({ appId }: Caller, frame: CommandFrame): Promise<CommandReply> {
    const { calls } = this.#options
    if (frame.op === 'dial') {
      const { op: _op, request_id: _requestId, idempotency_key, ...body } = parseInput(DialFrameSchema, frame)
      const { status, json, isReplay } = await placeCall(calls, { appId, body, idempotencyKey: idempotency_key })
      return { status, body: json, isReplay }
    }
    const { op, call_id } = parseInput(CallCommandFrameSchema, frame)
    return sendCommand(calls, { appId, callId: call_id, command: op })
  }
}
