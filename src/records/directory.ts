import type { Transaction } from 'kysely'
import type { Clock } from '../core/clock.ts'
import type { Assignment, Directory, EndpointSummary } from '../core/directory.ts'
import { GatewayError } from '../core/errors.ts'
import type { AppId, AppRef, NetworkId, NetworkRef, SubscriberId } from '../core/ids.ts'
import type { Logger } from '../core/logger.ts'
import type { Service } from '../core/service.ts'
import { readChanges, readVersion } from './change-log.ts'
import type { Records } from './connection.ts'
import { DirectoryIndex, type KeyEntry } from './directory-index.ts'
import { applyChanges, loadAll } from './directory-rows.ts'
import type { Schema } from './schema.ts'

/** What others change (a revoked key, an assignment) is to count here within a second. */
const POLL_MS = 500
const CHANGES_PER_READ = 1_000

export type RecordsDirectoryOptions = {
  readonly records: Pick<Records, 'query' | 'transaction'>
  readonly clock: Clock
  readonly log: Logger
  readonly pollMs?: number
}

/**
 * The directory over the records. Every write of the repositories appends what it touched to a change
 * log in its own transaction, under the next version. Following is the same for one's own changes and
 * for those of other processes: read the changes after the version last seen, read the rows they name,
 * put them into the index. One's own write does so before it returns, the others are polled for.
 */
export class RecordsDirectory implements Directory, Service {
  readonly name = 'directory'
  readonly #records: RecordsDirectoryOptions['records']
  readonly #clock: Clock
  readonly #log: Logger
  readonly #pollMs: number
  readonly #listeners = new Set<() => void>()
  #index = new DirectoryIndex()
  #version: number | undefined
  #running: Promise<void> | undefined
  #next: Promise<void> | undefined
  #stopping: AbortController | undefined
  #polling: Promise<void> | undefined

  constructor(options: RecordsDirectoryOptions) {
    this.#records = options.records
    this.#clock = options.clock
    this.#log = options.log
    this.#pollMs = options.pollMs ?? POLL_MS
  }

  async start(): Promise<void> {
    const started = this.#clock.monotonic()
    await this.#load()
    const stopping = new AbortController()
    this.#stopping = stopping
    this.#polling = this.#poll(stopping.signal)
    const durationMs = Math.round(this.#clock.monotonic() - started)
    this.#log.info({ durationMs, apps: this.#index.apps().length, version: this.#version }, 'directory loaded')
  }

  async stop(): Promise<void> {
    this.#stopping?.abort()
    await this.#polling
    this.#version = undefined
  }

  apps(): readonly AppRef[] {
    return this.#index.apps()
  }

  app(appId: AppId): AppRef | undefined {
    return this.#index.app(appId)
  }

  network(networkId: NetworkId): NetworkRef | undefined {
    return this.#index.network(networkId)
  }

  assignmentsOf(networkId: NetworkId, subscriberId: SubscriberId): readonly Assignment[] {
    return this.#index.assignmentsOf(networkId, subscriberId)
  }

  assignmentsOfApp(appId: AppId): readonly Assignment[] {
    return this.#index.assignmentsOfApp(appId)
  }

  subscribersOf(networkId: NetworkId): readonly SubscriberId[] {
    return this.#index.subscribersOf(networkId)
  }

  endpointsOf(appId: AppId): readonly EndpointSummary[] {
    return this.#index.endpointsOf(appId)
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** What is known of an API key, by its public id. */
  key(keyId: string): KeyEntry | undefined {
    return this.#index.key(keyId)
  }

  /** Runs a write that records its changes, and lets this directory see them before it resolves. */
  async write<Result>(work: (transaction: Transaction<Schema>) => Promise<Result>): Promise<Result> {
    const result = await this.#records.transaction(work)
    if (this.#version !== undefined) {
      await this.refresh().catch((error: unknown) => {
        // The write is committed; the poll will bring it.
        this.#log.warn({ err: error }, 'directory could not follow its own change yet')
      })
    }
    return result
  }

  /**
   * Follows every change committed before the call. Callers that come while one reading is under way
   * share the next one, so that however many ask, at most two are in flight.
   */
  refresh(): Promise<void> {
    if (this.#running === undefined) {
      const running = this.#catchUp().finally(() => {
        this.#running = undefined
      })
      this.#running = running
      return running
    }
    this.#next ??= this.#running
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined
        return this.refresh()
      })
    return this.#next
  }

  async #poll(stopping: AbortSignal): Promise<void> {
    let failures = 0
    while (!stopping.aborted) {
      try {
        await this.#clock.wait(this.#pollMs, stopping)
        await this.refresh()
        failures = 0
      } catch (error) {
        if (stopping.aborted) return
        failures += 1
        // Every poll of an outage would be a line; the first and then one a minute are enough.
        if (failures % 60 === 1) this.#log.warn({ err: error, failures }, 'directory cannot read the records')
      }
    }
  }

  async #catchUp(): Promise<void> {
    for (;;) {
      const after = this.#version
      if (after === undefined) throw new GatewayError('store_unavailable', { cause: new Error('not started') })
      const newest = await this.#records.query(readVersion)
      if (newest === after) return
      const changes = await this.#records.query((db) => readChanges(db, { after, limit: CHANGES_PER_READ }))
      const last = changes.at(-1)
      // Behind what is kept, or ahead of a database that was restored from a backup.
      if (last === undefined || changes[0]?.version !== after + 1) {
        await this.#load()
      } else {
        await this.#records.query((db) => applyChanges(db, this.#index, changes))
        this.#version = last.version
      }
      this.#announce()
    }
  }

  /** The version is read first: what changes while the tables are read is followed again afterwards. */
  async #load(): Promise<void> {
    const version = await this.#records.query(readVersion)
    const index = new DirectoryIndex()
    await this.#records.query((db) => loadAll(db, index))
    this.#index = index
    this.#version = version
  }

  #announce(): void {
    for (const listener of this.#listeners) {
      try {
        listener()
      } catch (error) {
        this.#log.error({ err: error }, 'a directory listener failed')
      }
    }
  }
}
