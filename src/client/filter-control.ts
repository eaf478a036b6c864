import { CommandLostError, CommandRefusedError } from './errors.ts'
import { toWireFilter } from './filter.ts'
import type { ClientFrame, Filter, ReplyFrame } from './frames.ts'

type Waiter = {
  readonly version: number
  readonly resolve: () => void
  readonly reject: (error: Error) => void
  readonly timer: ReturnType<typeof setTimeout>
}
/** A question to the gateway that has not been answered; there is at most one. */
type Asked = { readonly requestId: string; readonly version: number; readonly filter: Filter | null }

/**
 * The filter that the stream has and the one that it is to have. A position says what was sent under the
 * filter of its time, so a stream is always resumed with that one, and changed afterwards.
 *
 * Asking for the filter again that there is already gets a new snapshot, without an event being missed.
 */
export class FilterControl {
  #applied: Filter | null
  #appliedVersion = 0
  #wanted: Filter | null
  #wantedVersion = 0
  #isRefreshWanted = false
  #asked: Asked | undefined
  #requests = 0
  #send: ((frame: ClientFrame) => void) | undefined
  readonly #waiters = new Set<Waiter>()

  constructor(filter: Filter | null) {
    this.#applied = filter
    this.#wanted = filter
  }

  /** The one that what was received so far went through. */
  get applied(): Filter | null {
    return this.#applied
  }

  /** The filter to subscribe with, when nothing is to be resumed. */
  startAnew(): Filter | null {
    this.#applied = this.#wanted
    this.#appliedVersion = this.#wantedVersion
    return this.#applied
  }

  /** Resolves when the stream has the filter, or a later one; rejects when the gateway refuses it. */
  set(filter: Filter | null, timeoutMs: number): Promise<void> {
    this.#wanted = filter
    this.#wantedVersion += 1
    const version = this.#wantedVersion
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#settle(waiter, new CommandLostError('timeout', true)), timeoutMs)
      const waiter: Waiter = { version, resolve, reject, timer }
      this.#waiters.add(waiter)
      this.#ask()
    })
  }

  /** Asks for a snapshot. */
  refresh(): void {
    this.#isRefreshWanted = true
    this.#ask()
  }

  /** The stream is subscribed; `isFresh` when that brought a snapshot. */
  attach(send: (frame: ClientFrame) => void, { isFresh }: { readonly isFresh: boolean }): void {
    this.#send = send
    if (isFresh) this.#isRefreshWanted = false
    this.#settleUpTo(this.#appliedVersion)
    this.#ask()
  }

  detach(): void {
    this.#send = undefined
    // A snapshot that was asked for and did not come is still missing.
    if (this.#asked !== undefined) this.#isRefreshWanted = true
    this.#asked = undefined
  }

  /** A `filtered` frame has come: what follows it went through the filter that was asked for. */
  confirm(requestId: string | undefined): void {
    if (this.#asked === undefined || this.#asked.requestId !== requestId) return
    const { filter, version } = this.#asked
    this.#asked = undefined
    this.#applied = filter
    this.#appliedVersion = version
    this.#settleUpTo(version)
    this.#ask()
  }

  /** Takes the refusal of a filter, which then stays what it was. */
  settle(reply: ReplyFrame): void {
    if (this.#asked === undefined || this.#asked.requestId !== reply.request_id) return
    const { version } = this.#asked
    this.#asked = undefined
    if (version === this.#wantedVersion) this.#wanted = this.#applied
    this.#appliedVersion = version
    this.#settleUpTo(version, new CommandRefusedError(reply))
    this.#ask()
  }

  close(): void {
    this.#send = undefined
    for (const waiter of this.#waiters) this.#settle(waiter, new CommandLostError('closed', false))
  }

  #ask(): void {
    const isNeeded = this.#isRefreshWanted || this.#appliedVersion < this.#wantedVersion
    if (this.#send === undefined || this.#asked !== undefined || !isNeeded) return
    this.#isRefreshWanted = false
    this.#requests += 1
    const requestId = `f${this.#requests}`
    this.#asked = { requestId, version: this.#wantedVersion, filter: this.#wanted }
    this.#send({ op: 'filter', filter: toWireFilter(this.#wanted), request_id: requestId })
  }

  #settleUpTo(version: number, error?: Error): void {
    for (const waiter of this.#waiters) if (waiter.version <= version) this.#settle(waiter, error)
  }

  #settle(waiter: Waiter, error?: Error): void {
    clearTimeout(waiter.timer)
    this.#waiters.delete(waiter)
    if (error === undefined) waiter.resolve()
    else waiter.reject(error)
  }
}
