import { createHash } from 'node:crypto'
import { GatewayError } from '../core/errors.ts'
import type { IdempotencyClaim, IdempotencyStore } from '../core/idempotency.ts'
import type { AppId } from '../core/ids.ts'
import type { Logger } from '../core/logger.ts'
import type { Service } from '../core/service.ts'
import type { Records } from './connection.ts'

const KEPT_MS = 24 * 60 * 60 * 1_000
const PRUNE_EVERY_MS = 10 * 60 * 1_000
const PRUNE_BATCH = 1_000
const CLAIM_ATTEMPTS = 5

/** Requests that must not be carried out twice, for 24 hours each; while it runs it removes older ones. */
export class IdempotencyLog implements IdempotencyStore, Service {
  readonly name = 'idempotency'
  readonly #records: Records
  readonly #log: Logger
  #stopping: AbortController | undefined
  #pruning: Promise<void> | undefined

  constructor(records: Records, log: Logger) {
    this.#records = records
    this.#log = log
  }

  start(): Promise<void> {
    const stopping = new AbortController()
    this.#stopping = stopping
    this.#pruning = this.#pruneRegularly(stopping.signal)
    return Promise.resolve()
  }

  async stop(): Promise<void> {
    this.#stopping?.abort()
    await this.#pruning
  }

  /** One statement inserts or finds that there is one, so of any number of equal claims one is first. */
  async claim(appId: AppId, key: string, request: string): Promise<IdempotencyClaim> {
    const hash = hashOf(request)
    for (let attempt = 1; attempt <= CLAIM_ATTEMPTS; attempt += 1) {
      if (await this.#insertClaim({ appId, key, request, hash })) return { kind: 'first' }
      const row = await this.#records.query((db) =>
        db.selectFrom('idempotency').selectAll().where('app_id', '=', appId).where('key', '=', key).executeTakeFirst(),
      )
      // Abandoned or pruned in between: the key is free again.
      if (row === undefined) continue
      if (row.request_hash !== hash) return { kind: 'mismatch' }
      if (row.status === null) {
        return { kind: 'unfinished', startedAt: row.started_at.getTime(), request: row.request }
      }
      return { kind: 'replay', status: row.status, body: row.body ?? '' }
    }
    throw new GatewayError('idempotency_in_progress', { retryAfterSeconds: 1 })
  }

  async complete(
    appId: AppId,
    key: string,
    { status, body }: { readonly status: number; readonly body: string },
  ): Promise<void> {
    await this.#records.query((db) =>
      db
        .updateTable('idempotency')
        .set({ status, body })
        .where('app_id', '=', appId)
        .where('key', '=', key)
        .where('status', 'is', null)
        .execute(),
    )
  }

  /** A finished request is not forgotten: its effect is there. */
  async abandon(appId: AppId, key: string): Promise<void> {
    await this.#records.query((db) =>
      db
        .deleteFrom('idempotency')
        .where('app_id', '=', appId)
        .where('key', '=', key)
        .where('status', 'is', null)
        .execute(),
    )
  }

  /** Removes what is older than 24 hours, in batches, and returns how much it was. */
  async prune(): Promise<number> {
    let removed = 0
    for (;;) {
      const batch = await this.#records.query((db) =>
        db
          .deleteFrom('idempotency')
          .where((eb) =>
            eb(
              eb.refTuple('app_id', 'key'),
              'in',
              eb
                .selectFrom('idempotency as old')
                .select(['old.app_id', 'old.key'])
                .where('old.started_at', '<', this.#cutoff())
                .limit(PRUNE_BATCH)
                .$asTuple('app_id', 'key'),
            ),
          )
          .executeTakeFirstOrThrow(),
      )
      removed += Number(batch.numDeletedRows)
      if (batch.numDeletedRows < BigInt(PRUNE_BATCH)) return removed
    }
  }

  async #insertClaim(claim: {
    readonly appId: AppId
    readonly key: string
    readonly request: string
    readonly hash: string
  }): Promise<boolean> {
    const row = await this.#records.query((db) =>
      db
        .insertInto('idempotency')
        .values({
          app_id: claim.appId,
          key: claim.key,
          request_hash: claim.hash,
          request: claim.request,
          started_at: new Date(this.#records.clock.now()),
          status: null,
          body: null,
        })
        .onConflict((conflict) =>
          conflict
            .columns(['app_id', 'key'])
            .doUpdateSet((eb) => ({
              request_hash: eb.ref('excluded.request_hash'),
              request: eb.ref('excluded.request'),
              started_at: eb.ref('excluded.started_at'),
              status: null,
              body: null,
            }))
            // Only an entry past its time is taken over, as if it had been pruned already.
            .where('idempotency.started_at', '<', this.#cutoff()),
        )
        .returning('key')
        .executeTakeFirst(),
    )
    return row !== undefined
  }

  async #pruneRegularly(stopping: AbortSignal): Promise<void> {
    while (!stopping.aborted) {
      try {
        const removed = await this.prune()
        if (removed > 0) this.#log.debug({ removed }, 'old idempotency entries removed')
      } catch (error) {
        this.#log.warn({ err: error }, 'idempotency entries could not be pruned')
      }
      await this.#records.clock.wait(PRUNE_EVERY_MS, stopping).catch(() => undefined)
    }
  }

  #cutoff(): Date {
    return new Date(this.#records.clock.now() - KEPT_MS)
  }
}

const hashOf = (request: string): string => createHash('sha256').update(request, 'utf8').digest('hex')
