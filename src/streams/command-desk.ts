import type { Caller } from '../core/app.ts'
import { GatewayError } from '../core/errors.ts'
import type { CommandFrame, CommandReply, CommandRunner } from './commands.ts'

/** Carries out the commands of one client, so many at a time. */
export class CommandDesk {
  readonly #commands: CommandRunner
  readonly #caller: Caller
  readonly #inFlightMax: number
  #inFlight = 0

  constructor(options: { readonly commands: CommandRunner; readonly caller: Caller; readonly inFlightMax: number }) {
    this.#commands = options.commands
    this.#caller = options.caller
    this.#inFlightMax = options.inFlightMax
  }

  get isIdle(): boolean {
    return this.#inFlight === 0
  }

  /** Never rejects: an error is an answer, too, and so is that too many are under way. */
  async carryOut(frame: CommandFrame): Promise<CommandReply> {
    if (this.#inFlight >= this.#inFlightMax) {
      const detail = `Up to ${this.#inFlightMax} commands of a stream may be under way at a time.`
      return this.#commands.refuse(new GatewayError('too_many_requests', { detail, retryAfterSeconds: 1 }), frame)
    }
    this.#inFlight += 1
    const reply = await this.#commands.run(this.#caller, frame)
    this.#inFlight -= 1
    return reply
  }
}
