import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Kysely } from 'kysely'
import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'
import { PgliteClient } from './pglite-client.ts'
import { PgliteDialect } from './pglite-dialect.ts'
import { ProcessLock } from './process-lock.ts'
import type { Schema } from './schema.ts'

/** A statement cannot be cancelled, only ended together with the worker; so it gets more than PostgreSQL's. */
const QUERY_TIMEOUT_MS = 30_000
const REOPEN_WAIT_MS = 250
const REOPEN_WAIT_MAX_MS = 30_000
/** A worker that lived so long has earned a quick restart. */
const STABLE_MS = 60_000

export type PgliteStoreOptions = {
  /** Holds the database's folder (`pglite/`) and its lock. */
  readonly dataDir: string
  /** 30 s unless given. */
  readonly queryTimeoutMs: number | undefined
  readonly clock: Clock
  readonly log: Logger
}

/**
 * PGlite in a thread, on a folder that this process has locked. Should the thread end by itself (a query
 * that took too long, a bug, too little memory) another one is started on the same files, whose
 * write-ahead log repairs them, again and again with growing waits; until it answers, every query rejects
 * with `store_unavailable` at once. The lock is held all the time: no other process may come between.
 */
export class PgliteStore {
  readonly db: Kysely<Schema>
  readonly #options: PgliteStoreOptions
  readonly #lock: ProcessLock
  readonly #closing: AbortController
  readonly #supervising: Promise<void>
  #client: PgliteClient

  private constructor(
    options: PgliteStoreOptions,
    opened: { readonly lock: ProcessLock; readonly closing: AbortController; readonly client: PgliteClient },
  ) {
    this.#options = options
    this.#lock = opened.lock
    this.#closing = opened.closing
    this.#client = opened.client
    this.db = new Kysely<Schema>({ dialect: new PgliteDialect(() => this.#client) })
    this.#supervising = this.#supervise()
  }

  /** Rejects with `store_unavailable` when another process has the folder or the database does not start. */
  static async open(options: PgliteStoreOptions): Promise<PgliteStore> {
    const { dataDir, log } = options
    await mkdir(dataDir, { recursive: true, mode: 0o700 })
    const closing = new AbortController()
    let store: PgliteStore | undefined
    const lock = await ProcessLock.acquire({
      path: join(dataDir, 'pglite'),
      onLost: () => {
        log.error({ dataDir }, 'another process took the embedded database: closing it')
        closing.abort(new Error('another process took the embedded database'))
        if (store !== undefined) void store.#client.close(AbortSignal.abort())
      },
    })
    try {
      const client = await startClient(options, closing.signal)
      store = new PgliteStore(options, { lock, closing, client })
      return store
    } catch (error) {
      await lock.release()
      throw error
    }
  }

  /** Closes the files cleanly, or by force when `deadline` aborts, and gives up the lock. */
  async close(deadline: AbortSignal): Promise<void> {
    this.#closing.abort(new Error('the records are closed'))
    await this.#client.close(deadline)
    await this.#supervising
    await this.#lock.release()
  }

  /** Until closed: waits for the worker to end, and starts the next one. */
  async #supervise(): Promise<void> {
    const { clock, log } = this.#options
    const { signal } = this.#closing
    for (let failures = 0; !signal.aborted;) {
      const openedAt = clock.monotonic()
      const cause = await this.#client.ended
      if (signal.aborted) return
      failures = clock.monotonic() - openedAt > STABLE_MS ? 1 : failures + 1
      log.error({ err: cause, failures }, 'the embedded database ended by itself; opening it again')
      await this.#reopen(failures)
    }
  }

  /** After a failure the client stays the one that has ended. */
  async #reopen(failures: number): Promise<void> {
    const { clock, log } = this.#options
    const { signal } = this.#closing
    try {
      await clock.wait(Math.min(REOPEN_WAIT_MS * 2 ** (failures - 1), REOPEN_WAIT_MAX_MS), signal)
      const client = await startClient(this.#options, signal)
      if (signal.aborted) return await client.close(AbortSignal.abort())
      this.#client = client
      log.info({ failures }, 'the embedded database works again')
    } catch (error) {
      if (!signal.aborted) log.error({ err: error, failures }, 'the embedded database could not be opened again')
    }
  }
}

const startClient = ({ dataDir, queryTimeoutMs = QUERY_TIMEOUT_MS }: PgliteStoreOptions, signal: AbortSignal) =>
  PgliteClient.start({ dataDir: join(dataDir, 'pglite') }, { queryTimeoutMs, signal })
