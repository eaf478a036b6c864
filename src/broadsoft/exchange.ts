import { errors, type Dispatcher } from 'undici'
import { GatewayError } from '../core/errors.ts'
import type { Deadline } from './deadline.ts'

/** A whole answer, of whatever status. */
export type Answer = {
  readonly statusCode: number
  readonly headers: Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseStart']>>[2]
  readonly body: Uint8Array
}

export type ExchangeLimits = {
  readonly deadline: Deadline
  /** The largest body taken. */
  readonly bodyBytesMax: number
}

/**
 * Sends a request and collects its answer. Rejects with `protocol_error` when the answer is over the bound,
 * with the deadline's reason when that ends first, and otherwise with the error of undici or of the system.
 */
export function exchange(
  dispatcher: Dispatcher,
  request: Dispatcher.DispatchOptions,
  limits: ExchangeLimits,
): Promise<Answer> {
  return new Promise((resolve, reject) => new Exchange(limits, { resolve, reject }).begin(dispatcher, request))
}

/**
 * One exchange, as undici's dispatcher sees it. This is the layer below `request`: it costs half as much,
 * because the answer is no stream and no signal is made for it, and it ends at once when its time does, also
 * while undici still waits for a connection.
 */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #limits: ExchangeLimits
  readonly #settled: { readonly resolve: (answer: Answer) => void; readonly reject: (error: unknown) => void }
  readonly #parts: Uint8Array[] = []
  #unfollow: (() => void) | undefined
  #controller: Dispatcher.DispatchController | undefined
  #head: Pick<Answer, 'statusCode' | 'headers'> | undefined
  #bytes = 0
  #isOver = false

  constructor(
    limits: ExchangeLimits,
    settled: { readonly resolve: (answer: Answer) => void; readonly reject: (error: unknown) => void },
  ) {
    this.#limits = limits
    this.#settled = settled
  }

  begin(dispatcher: Dispatcher, request: Dispatcher.DispatchOptions): void {
    const { deadline } = this.#limits
    if (deadline.isOver) return this.#fail(deadline.reason)
    this.#unfollow = deadline.onEnd(() => this.#giveUp(deadline.reason))
    try {
      dispatcher.dispatch(request, this)
    } catch (error) {
      this.#fail(error)
    }
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // Given up while it waited for a connection. To throw takes the request out of undici's queue and leaves
    // the connection, which the next one can use; to abort would close it.
    if (this.#isOver) throw new errors.RequestAbortedError()
    this.#controller = controller
  }

  onResponseStart(_controller: Dispatcher.DispatchController, statusCode: number, headers: Answer['headers']): void {
    if (statusCode >= 200) this.#head = { statusCode, headers }
  }

  onResponseData(_controller: Dispatcher.DispatchController, part: Uint8Array): void {
    if (this.#isOver) return
    this.#bytes += part.byteLength
    if (this.#bytes <= this.#limits.bodyBytesMax) this.#parts.push(part)
    else this.#giveUp(new GatewayError('protocol_error', { detail: 'The network answered with too much' }))
  }

  onResponseEnd(): void {
    if (this.#isOver || this.#head === undefined) return
    this.#end()
    const [first] = this.#parts
    const body = this.#parts.length === 1 && first !== undefined ? first : Buffer.concat(this.#parts)
    this.#settled.resolve({ ...this.#head, body })
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#fail(error)
  }

  /** Ends the exchange from our side; the connection goes with it, because the answer may still come. */
  #giveUp(reason: unknown): void {
    this.#fail(reason)
    this.#controller?.abort(new errors.RequestAbortedError())
  }

  #fail(error: unknown): void {
    if (this.#isOver) return
    this.#end()
    this.#settled.reject(error)
  }

  #end(): void {
    this.#isOver = true
    this.#unfollow?.()
  }
}
