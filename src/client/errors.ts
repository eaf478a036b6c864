import type { Ending } from './endings.ts'
import type { Problem, ReplyFrame } from './frames.ts'

/** The gateway answered a command, or another filter, with an error. */
export class CommandRefusedError extends Error {
  override readonly name = 'CommandRefusedError'
  readonly status: number
  /** Stable: `call_not_found`, `call_state_conflict` … */
  readonly code: string
  readonly problem: Problem | undefined
  /** When it makes sense to ask again. */
  readonly retryAfterMs: number | undefined

  constructor({ status, problem, retry_after_ms: retryAfterMs }: ReplyFrame) {
    super(problem?.detail ?? problem?.title ?? `refused with ${status}`)
    this.status = status
    this.code = problem?.code ?? 'unknown'
    this.problem = problem
    this.retryAfterMs = retryAfterMs
  }
}

/** No answer came: whether the command was carried out is told by the calls. */
export class CommandLostError extends Error {
  override readonly name = 'CommandLostError'
  readonly reason: 'timeout' | 'disconnected' | 'aborted' | 'closed'
  /** False when the command has certainly had no effect, because it was never sent. */
  readonly mayHaveHappened: boolean
  /** Of a `dial`: to give to the next one that is to be the same call. */
  readonly idempotencyKey: string | undefined

  constructor(reason: CommandLostError['reason'], mayHaveHappened: boolean, idempotencyKey?: string) {
    super(`no answer (${reason}); ${mayHaveHappened ? 'it may have been carried out' : 'it was not sent'}`)
    this.reason = reason
    this.mayHaveHappened = mayHaveHappened
    this.idempotencyKey = idempotencyKey
  }
}

/**
 * There is no stream for these credentials: no repetition changes that. Thrown by the request for a token, and
 * to be thrown by a `getToken` whose user has no access any more.
 */
export class RefusedError extends Error {
  override readonly name = 'RefusedError'
  readonly status: number | undefined

  constructor(message: string, status?: number) {
    super(message)
    this.status = status
  }
}

/** The client has stopped for good, and not because it was asked to. */
export class StreamEndedError extends Error {
  override readonly name = 'StreamEndedError'
  readonly ending: Ending

  constructor(ending: Ending) {
    super(`the stream has ended: ${ending.name}${ending.detail === undefined ? '' : ` (${ending.detail})`}`)
    this.ending = ending
  }
}

/** An iterator's consumer was slower than the stream for longer than the iterator's buffer lasts. */
export class BacklogError extends Error {
  override readonly name = 'BacklogError'

  constructor(limit: number) {
    super(`more than ${limit} updates waited to be taken`)
  }
}
