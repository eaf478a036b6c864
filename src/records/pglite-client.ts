import { once } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { Worker } from 'node:worker_threads'
import { GatewayError } from '../core/errors.ts'
import type { PgliteFailure, PgliteRequest, PgliteResponse, PgliteWorkerData } from './pglite-protocol.ts'

/** A first start makes the database: about 3 s, several times that on a busy machine. */
const START_TIMEOUT_MS = 120_000

/** The rows fit whatever type Kysely derives from the query. */
export type PgliteRows = { readonly rows: never[]; readonly affectedRows: number | undefined }

type Waiting = {
  readonly resolve: (result: PgliteRows) => void
  readonly reject: (error: Error) => void
  readonly timer: NodeJS.Timeout
}

export type PgliteClientOptions = {
  /** After which a query, and the worker with it, is ended. */
  readonly queryTimeoutMs: number
  /** Ends the start; has no meaning afterwards. */
  readonly signal: AbortSignal
}

/**
 * The main thread's end of the PGlite worker. A query that outlasts its deadline cannot be cancelled,
 * so the worker is ended with it: everything after rejects with `store_unavailable`, and the write-ahead
 * log repairs the files at the next start.
 */
export class PgliteClient {
  /** Resolves, with the reason, when the thread is gone and another may open the files. */
  readonly ended: Promise<unknown>
  readonly #worker: Worker
  readonly #queryTimeoutMs: number
  readonly #waiting = new Map<number, Waiting>()
  #nextId = 1
  #failure: GatewayError | undefined

  private constructor(worker: Worker, queryTimeoutMs: number) {
    this.#worker = worker
    this.#queryTimeoutMs = queryTimeoutMs
    worker.on('message', (response: PgliteResponse) => this.#settle(response))
    worker.on('error', (cause) => this.#fail(cause))
    this.ended = new Promise((resolve) => {
      worker.on('exit', (code) => {
        this.#fail(new Error(`the PGlite worker exited with ${code}`))
        resolve(this.#failure?.cause)
      })
    })
  }

  /** Starts the worker on `dataDir`, made if missing; rejects with `store_unavailable` when that fails. */
  static async start(data: PgliteWorkerData, options: PgliteClientOptions): Promise<PgliteClient> {
    keepWasmCode()
    const file = new URL('./pglite-worker.ts', import.meta.url)
    const worker = new Worker(file, { workerData: data, name: 'pglite', execArgv: [] })
    try {
      const exited = new AbortController()
      worker.once('exit', (code) => exited.abort(new Error(`the PGlite worker exited with ${code}`)))
      const signal = AbortSignal.any([exited.signal, options.signal, AbortSignal.timeout(START_TIMEOUT_MS)])
      // The first message is `ready`; `once` rejects on an error event.
      await once(worker, 'message', { signal })
    } catch (cause) {
      await worker.terminate()
      throw new GatewayError('store_unavailable', {
        detail: `The embedded database in ${data.dataDir} did not start: ${describeCause(cause)}`,
        cause,
      })
    }
    return new PgliteClient(worker, options.queryTimeoutMs)
  }

  query(sql: string, parameters: readonly unknown[]): Promise<PgliteRows> {
    return this.#request((id) => ({ type: 'query', id, sql, parameters }))
  }

  /** Closes the database cleanly; ends the thread in any case, by force when `deadline` aborts. */
  async close(deadline: AbortSignal): Promise<void> {
    if (this.#failure === undefined && !deadline.aborted) {
      const force = () => void this.#worker.terminate()
      deadline.addEventListener('abort', force, { once: true })
      await this.#request((id) => ({ type: 'close', id })).catch(() => undefined)
      deadline.removeEventListener('abort', force)
    }
    await this.#worker.terminate()
  }

  #request(build: (id: number) => PgliteRequest): Promise<PgliteRows> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#fail(new Error(`a query took longer than ${this.#queryTimeoutMs} ms`))
        void this.#worker.terminate()
      }, this.#queryTimeoutMs)
      this.#waiting.set(id, { resolve, reject, timer })
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker has no origin
      this.#worker.postMessage(build(id))
    })
  }

  #settle(response: PgliteResponse): void {
    if (response.type === 'ready') return
    const waiting = this.#waiting.get(response.id)
    if (waiting === undefined) return
    this.#waiting.delete(response.id)
    clearTimeout(waiting.timer)
    if (response.type === 'failure') return waiting.reject(new PgliteError(response.error))
    waiting.resolve(response.type === 'result' ? response : { rows: [], affectedRows: undefined })
  }

  #fail(cause: unknown): void {
    this.#failure ??= new GatewayError('store_unavailable', { retryAfterSeconds: 1, cause })
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer)
      reject(this.#failure)
    }
    this.#waiting.clear()
  }
}

/** An error of the database, with the fields that `pg` gives its own; never leaves this folder. */
class PgliteError extends Error {
  override readonly name = 'PgliteError'
  readonly code: string | undefined
  readonly constraint: string | undefined

  constructor(failure: PgliteFailure) {
    super(failure.message)
    this.code = failure.code
    this.constraint = failure.constraint
  }
}

const describeCause = (cause: unknown): string => {
  const inner = cause instanceof Error && cause.name === 'AbortError' ? cause.cause : cause
  return inner instanceof Error ? inner.message : String(inner)
}

/**
 * V8 frees WebAssembly code that it has replaced by better code, and rarely does not find it in its own books: the
 * process then aborts with `jit_page_->allocations_.erase(addr) == 1` (seen with Node 24.21; nodejs/node issue 64500).
 * Without that the replaced code stays until the worker ends, which takes no memory that could be measured. It holds for
 * the whole process, whose other WebAssembly is small.
 */
function keepWasmCode(): void {
  setFlagsFromString('--no-wasm-code-gc')
}
