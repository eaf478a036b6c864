import { sql } from 'kysely'
import { hash } from 'node:crypto'
import { GatewayError } from '../../core/errors.ts'
import type { ProvisioningDatabase, Queries } from './database.ts'

/** Which request it is: whose, of which operation, by which key. */
export type RequestKey = { readonly tenant: string; readonly route: string; readonly key: string }
export type KeptAnswer = {
  readonly status: number
  readonly body: string
  readonly headers: Readonly<Record<string, string>>
}

/** A claim to carry a request out, or the answer that it has had. */
export type RequestClaim =
  | { readonly kind: 'claimed'; readonly since: string }
  | ({ readonly kind: 'answered' } & KeptAnswer)

const RUNNING_SECONDS = 60

/**
 * Requests that must not be carried out twice. The answer is kept in the transaction of the effect, so a claim
 * without an answer had no effect: after a minute, in which any request ends, the next one takes it over.
 */
export class RequestLog {
  readonly #database: ProvisioningDatabase

  constructor(database: ProvisioningDatabase) {
    this.#database = database
  }

  /** Rejects with `idempotency_in_progress` and, for a key of another request, `idempotency_mismatch`. */
  async claim(request: RequestKey & { readonly content: string }): Promise<RequestClaim> {
    const { tenant, route, key } = request
    const requestHash = hash('sha256', request.content, 'hex')
    const { rows } = await this.#database.query((db) =>
      sql<{ since: string }>`
        insert into provisioning_idempotency as known (tenant, route, key, request_hash)
        values (${tenant}, ${route}, ${key}, ${requestHash})
        on conflict (tenant, route, key) do update
          set request_hash = excluded.request_hash, started_at = now(), status = null, body = null, headers = null
          where known.started_at < now() - interval '24 hours'
            or (known.status is null and known.started_at < now() - ${RUNNING_SECONDS} * interval '1 second')
        returning extract(epoch from started_at)::text as since`.execute(db),
    )
    const [claimed] = rows
    if (claimed !== undefined) return { kind: 'claimed', since: claimed.since }
    const row = await this.#database.query((db) =>
      db
        .selectFrom('provisioning_idempotency')
        .selectAll()
        .where('tenant', '=', tenant)
        .where('route', '=', route)
        .where('key', '=', key)
        .executeTakeFirst(),
    )
    if (row === undefined) throw inProgress()
    if (row.request_hash !== requestHash) throw new GatewayError('idempotency_mismatch')
    if (row.status === null) throw inProgress()
    return { kind: 'answered', status: row.status, body: row.body ?? '', headers: row.headers ?? {} }
  }

  /**
   * Keeps the answer, in the transaction that makes it true. Rejects with `idempotency_in_progress` when another
   * request has taken the claim over, which undoes the transaction.
   */
  async complete(
    tx: Queries,
    request: RequestKey & { readonly since: string; readonly answer: KeptAnswer },
  ): Promise<void> {
    const { tenant, route, key, since, answer } = request
    const { numUpdatedRows } = await tx
      .updateTable('provisioning_idempotency')
      .set({ status: answer.status, body: answer.body, headers: JSON.stringify(answer.headers) })
      .where('tenant', '=', tenant)
      .where('route', '=', route)
      .where('key', '=', key)
      .where(sql`extract(epoch from started_at)::text`, '=', since)
      .where('status', 'is', null)
      .executeTakeFirstOrThrow()
    if (numUpdatedRows === 0n) throw inProgress()
  }

  /** Forgets a claim whose request failed. */
  async abandon({ tenant, route, key, since }: RequestKey & { readonly since: string }): Promise<void> {
    await this.#database.query((db) =>
      db
        .deleteFrom('provisioning_idempotency')
        .where('tenant', '=', tenant)
        .where('route', '=', route)
        .where('key', '=', key)
        .where(sql`extract(epoch from started_at)::text`, '=', since)
        .where('status', 'is', null)
        .execute(),
    )
  }
}

const inProgress = () => new GatewayError('idempotency_in_progress', { retryAfterSeconds: 1 })
