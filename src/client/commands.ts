import { CommandLostError, CommandRefusedError } from './errors.ts'
import type { ClientFrame, Dial, ReplyFrame } from './frames.ts'
import { checkSize } from './frames.ts'
import { Pace } from './pace.ts'

/** The gateway answers 429 to a command while 16 others of the stream are under way. */
const IN_FLIGHT_MAX = 16
/** Commands that wait for the connection, or for others. */
const WAITING_MAX = 1_000
/** Below the rate at which the gateway closes with 4005 (20 per second, 40 at once). */
const PACE = { burst: 30, perSecond: 15 }
/** Between two questions what became of a call that is being placed. */
const IN_PROGRESS_RETRY_MS = 500

/** A command without what is added to it when it is sent. */
export type Command =
  | { readonly op: 'answer' | 'hold' | 'resume' | 'end'; readonly call_id: string }
  | ({ readonly op: 'dial'; readonly idempotency_key: string } & Dial)

export type CommandOptions = {
  /** Until the answer, the wait for a connection included. */
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

type Pending = {
  readonly command: Command
  readonly resolve: (reply: ReplyFrame) => void
  readonly reject: (error: Error) => void
  readonly cancel: () => void
  /** Whether it went out at least once. */
  wasSent: boolean
}

/**
 * Commands on their way: each waits for a connection, is sent, and waits for the reply of its `request_id`.
 *
 * When the connection ends before the reply, nobody can say whether a command was carried out. A `dial` is
 * sent again over the next one with the same idempotency key, which never dials twice. The others are
 * given up: repeated, they would be refused because they have been carried out (a call that is active
 * cannot be answered), and the calls tell what happened.
 */
export class Commands {
  readonly #now: () => number
  readonly #pace = new Pace(PACE)
  readonly #queue = new Set<Pending>()
  /** By request id. */
  readonly #sent = new Map<string, Pending>()
  readonly #retries = new Map<Pending, ReturnType<typeof setTimeout>>()
  #send: ((frame: ClientFrame) => void) | undefined
  #pumpTimer: ReturnType<typeof setTimeout> | undefined
  #requests = 0
  #isClosed = false

  /** `now` is monotonic, in milliseconds. */
  constructor(now: () => number) {
    this.#now = now
  }

  /** Resolves with the reply of a command that was carried out; rejects with one of the errors of errors.ts. */
  async run(command: Command, { timeoutMs, signal }: CommandOptions): Promise<ReplyFrame> {
    checkSize(command)
    const key = 'idempotency_key' in command ? command.idempotency_key : undefined
    if (this.#isClosed) throw new CommandLostError('closed', false, key)
    if (signal?.aborted === true) throw new CommandLostError('aborted', false, key)
    if (this.#queue.size >= WAITING_MAX) throw new RangeError(`${WAITING_MAX} commands wait already`)
    return new Promise((resolve, reject) => {
      const giveUp = (reason: CommandLostError['reason']) => {
        this.#forget(pending)
        reject(new CommandLostError(reason, pending.wasSent, key))
      }
      const timer = setTimeout(() => giveUp('timeout'), timeoutMs)
      const onAbort = () => giveUp('aborted')
      signal?.addEventListener('abort', onAbort, { once: true })
      const cancel = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', onAbort)
      }
      const pending: Pending = { command, resolve, reject, cancel, wasSent: false }
      this.#queue.add(pending)
      this.#pump()
    })
  }

  /** Whether no reply is waited for. */
  get isIdle(): boolean {
    return this.#sent.size === 0
  }

  /** There is a connection that takes commands. */
  attach(send: (frame: ClientFrame) => void): void {
    this.#send = send
    this.#pump()
  }

  /** The connection is gone, and with it the replies. */
  detach(): void {
    this.#send = undefined
    const lost = [...this.#sent.values()]
    this.#sent.clear()
    for (const pending of lost) {
      if (pending.command.op === 'dial') this.#queue.add(pending)
      else this.#fail(pending, new CommandLostError('disconnected', true))
    }
  }

  /** Takes the answer to a command; ignores that to anything else. */
  settle(reply: ReplyFrame): void {
    const pending = this.#sent.get(reply.request_id)
    if (pending === undefined) return
    this.#sent.delete(reply.request_id)
    if (reply.problem?.code === 'idempotency_in_progress') this.#retryLater(pending)
    else if (reply.status >= 400) this.#fail(pending, new CommandRefusedError(reply))
    else {
      this.#forget(pending)
      pending.resolve(reply)
    }
    this.#pump()
  }

  /** Gives up all that wait, and takes no more. */
  close(): void {
    this.#isClosed = true
    this.#send = undefined
    clearTimeout(this.#pumpTimer)
    for (const pending of [...this.#queue, ...this.#sent.values(), ...this.#retries.keys()]) {
      const key = 'idempotency_key' in pending.command ? pending.command.idempotency_key : undefined
      this.#fail(pending, new CommandLostError('closed', pending.wasSent, key))
    }
  }

  #pump(): void {
    clearTimeout(this.#pumpTimer)
    for (const pending of this.#queue) {
      if (this.#send === undefined || this.#sent.size >= IN_FLIGHT_MAX) return
      const waitMs = this.#pace.take(this.#now())
      if (waitMs > 0) {
        this.#pumpTimer = setTimeout(() => this.#pump(), waitMs)
        return
      }
      this.#queue.delete(pending)
      this.#requests += 1
      const requestId = `c${this.#requests}`
      this.#sent.set(requestId, pending)
      pending.wasSent = true
      this.#send({ ...pending.command, request_id: requestId })
    }
  }

  /** The first request with the key is still being carried out. */
  #retryLater(pending: Pending): void {
    const timer = setTimeout(() => {
      this.#retries.delete(pending)
      this.#queue.add(pending)
      this.#pump()
    }, IN_PROGRESS_RETRY_MS)
    this.#retries.set(pending, timer)
  }

  #fail(pending: Pending, error: Error): void {
    this.#forget(pending)
    pending.reject(error)
  }

  #forget(pending: Pending): void {
    pending.cancel()
    this.#queue.delete(pending)
    clearTimeout(this.#retries.get(pending))
    this.#retries.delete(pending)
    for (const [requestId, sent] of this.#sent) if (sent === pending) this.#sent.delete(requestId)
  }
}
