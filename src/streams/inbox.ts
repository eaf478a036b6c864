import type { Caller } from '../core/app.ts'
import type { Position } from '../core/position.ts'
import { CommandDesk } from './command-desk.ts'
import type { CommandFrame, CommandRunner } from './commands.ts'
import type { Closing } from './close-codes.ts'
import type { StreamFilter } from './filter.ts'
import type { Frame } from './frame.ts'
import type { SessionLimits } from './limits.ts'
import { MessageBudget } from './message-budget.ts'
import { parseClientFrame, toReplyFrame } from './protocol.ts'

/** What a client's messages act on. */
export interface InboxSession {
  readonly mode: 'opened' | 'catching_up' | 'live' | 'ended'
  subscribe(after: Position | null, filter?: StreamFilter | null): void
  changeFilter(filter: StreamFilter | null, requestId: string | undefined): void
  /** Puts a frame on its way to the client, unless the session has ended. */
  tell(frame: Frame): void
  close(closing: Closing): void
}

export type InboxOptions = {
  readonly session: InboxSession
  readonly caller: Caller
  /** Absent where streams take no commands. */
  readonly commands: CommandRunner | undefined
  readonly limits: Pick<SessionLimits, 'messageRate' | 'commandsInFlightMax'>
  /** Monotonic, milliseconds. */
  readonly now: () => number
}

/** One client's messages: counted, checked and handed on. Whatever is not the protocol ends the session. */
export class Inbox {
  readonly #session: InboxSession
  readonly #options: InboxOptions
  readonly #budget: MessageBudget
  #desk: CommandDesk | undefined

  constructor(options: InboxOptions) {
    this.#options = options
    this.#session = options.session
    this.#budget = new MessageBudget(options.limits.messageRate, options.now())
  }

  /** Whether it is as good as a new one. */
  isIdle(now: number): boolean {
    return this.#budget.isFull(now) && (this.#desk?.isIdle ?? true)
  }

  /** Takes a text message. */
  receive(text: string): void {
    if (!this.count()) return
    const parsed = parseClientFrame(text)
    if ('problem' in parsed) return this.refuse(parsed.problem)
    const { frame } = parsed
    const isOpened = this.#session.mode === 'opened'
    if (frame.op === 'subscribe') {
      if (!isOpened) return this.refuse('this stream is subscribed already')
      return this.#session.subscribe(frame.after, frame.filter)
    }
    if (isOpened) return this.refuse('the first message must be a subscribe')
    if (frame.op === 'filter') return this.#session.changeFilter(frame.filter, frame.request_id)
    this.#command(frame)
  }

  /** Counts anything that the client sends, so that none can keep us busy; false when that was one too many. */
  count(): boolean {
    if (this.#session.mode === 'ended') return false
    if (this.#budget.take(this.#options.now())) return true
    this.#session.close({ name: 'too_many_messages' })
    return false
  }

  /** Ends the session because of what the client sent. `problem` is one sentence for its developer. */
  refuse(problem: string): void {
    this.#session.close({ name: 'invalid_frame', detail: problem })
  }

  #command(frame: CommandFrame): void {
    const { commands, caller, limits } = this.#options
    if (commands === undefined) return this.refuse('this gateway takes no commands on streams')
    this.#desk ??= new CommandDesk({ commands, caller, inFlightMax: limits.commandsInFlightMax })
    // Not awaited: never rejects, and the answer is told when it comes.
    void this.#answer(this.#desk, frame)
  }

  async #answer(desk: CommandDesk, frame: CommandFrame): Promise<void> {
    this.#session.tell(toReplyFrame(frame.request_id, await desk.carryOut(frame)))
  }
}
