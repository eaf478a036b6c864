import { Kysely, sql, type Transaction } from 'kysely'
import type { Clock } from '../core/clock.ts'
import { GatewayError } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import type { Service } from '../core/service.ts'
import type { Cipher } from './cipher.ts'
import { migrate } from './migrate.ts'
import { translatePgError } from './pg-errors.ts'
import { PgliteStore } from './pglite-store.ts'
import { createPostgresDialect } from './postgres.ts'
import type { Schema } from './schema.ts'

const STATEMENT_TIMEOUT_MS = 5_000
/** A migration may rewrite a large table, or wait for another process that does. */
const MIGRATION_TIMEOUT_MS = 600_000

export type RecordsOptions = {
  /** A PostgreSQL 15 or later; undefined: PGlite in the data directory. */
  readonly databaseUrl?: string
  /** Where PGlite keeps its files (`pglite/`) and its lock. */
  readonly dataDir: string
  readonly poolSize?: number
  /** After which a statement is ended; 5 s unless given, 30 s on PGlite, which loses its worker with it. */
  readonly statementTimeoutMs?: number
  readonly cipher: Cipher
  readonly clock: Clock
  readonly log: Logger
}

/** An open store and how to close it. */
type OpenStore = { readonly db: Kysely<Schema>; readonly close: (deadline: AbortSignal) => Promise<void> }

/**
 * What must last: PostgreSQL, or PGlite in a thread of this process. Opens and migrates at start;
 * everything that goes wrong below comes out as a GatewayError, `store_unavailable` if it may go right
 * later: both stores come back by themselves.
 */
export class Records implements Service {
  readonly name = 'records'
  readonly cipher: Cipher
  readonly clock: Clock
  readonly #options: RecordsOptions
  #store: OpenStore | undefined

  constructor(options: RecordsOptions) {
    this.#options = options
    this.cipher = options.cipher
    this.clock = options.clock
  }

  async start(): Promise<void> {
    const started = performance.now()
    const { databaseUrl, log } = this.#options
    try {
      this.#store = databaseUrl === undefined ? await this.#openPglite() : await this.#openPostgres(databaseUrl)
      await this.#checkSecretKey()
    } catch (error) {
      await this.stop(AbortSignal.timeout(STATEMENT_TIMEOUT_MS))
      throw describeOpenFailure(error)
    }
    const store = databaseUrl === undefined ? 'pglite' : 'postgresql'
    log.info({ store, durationMs: Math.round(performance.now() - started) }, 'records opened')
  }

  async stop(deadline: AbortSignal): Promise<void> {
    const store = this.#store
    this.#store = undefined
    await store?.close(deadline)
  }

  /** Resolves if the store answers; for readiness. */
  async check(): Promise<void> {
    await this.query((db) => sql`select 1`.execute(db))
  }

  /** Runs queries; rejects with a GatewayError only. */
  async query<Result>(work: (db: Kysely<Schema>) => Promise<Result>): Promise<Result> {
    try {
      return await work(this.#db())
    } catch (error) {
      throw translatePgError(error)
    }
  }

  /** Runs `work` in one transaction. It must wait for nothing but its own queries. */
  transaction<Result>(work: (transaction: Transaction<Schema>) => Promise<Result>): Promise<Result> {
    return this.query((db) => db.transaction().execute(work))
  }

  /**
   * Makes the room of removed rows usable again and brings the planner's statistics up to date, which
   * PostgreSQL does by itself and PGlite never. Other queries wait meanwhile (about 2 s for 300,000
   * deliveries), so it resolves with false, having done nothing, unless `removed` is a tenth of what the
   * first table had the last time.
   */
  async reclaim(tables: readonly (keyof Schema)[], removed: number): Promise<boolean> {
    if (this.#options.databaseUrl !== undefined) return true
    const { rows } = await this.query((db) =>
      sql<{ rows: number }>`select reltuples::int8 as rows from pg_class where oid = ${tables[0]}::regclass`.execute(
        db,
      ),
    )
    if (removed < (rows[0]?.rows ?? 0) / 10) return false
    for (const table of tables) await this.query((db) => sql`vacuum (analyze) ${sql.table(table)}`.execute(db))
    return true
  }

  #db(): Kysely<Schema> {
    if (this.#store === undefined) {
      throw new GatewayError('store_unavailable', { cause: new Error('the records are not open') })
    }
    return this.#store.db
  }

  async #openPglite(): Promise<OpenStore> {
    const { dataDir, clock, log, statementTimeoutMs } = this.#options
    const store = await PgliteStore.open({ dataDir, queryTimeoutMs: statementTimeoutMs, clock, log })
    const close = (deadline: AbortSignal) => store.close(deadline)
    try {
      await logMigrations(
        migrate(store.db, () => clock.now()),
        log,
      )
    } catch (error) {
      await close(AbortSignal.timeout(STATEMENT_TIMEOUT_MS))
      throw error
    }
    return { db: store.db, close }
  }

  async #openPostgres(url: string): Promise<OpenStore> {
    const { clock, log, poolSize = 10, statementTimeoutMs = STATEMENT_TIMEOUT_MS } = this.#options
    const migrating = new Kysely<Schema>({
      dialect: createPostgresDialect({ url, poolSize: 1, statementTimeoutMs: MIGRATION_TIMEOUT_MS, log }),
    })
    try {
      await logMigrations(
        migrate(migrating, () => clock.now()),
        log,
      )
    } finally {
      await migrating.destroy()
    }
    const db = new Kysely<Schema>({ dialect: createPostgresDialect({ url, poolSize, statementTimeoutMs, log }) })
    return { db, close: (deadline) => closeWithin(db, deadline) }
  }

  /**
   * A known text under the secret key stands in the records. With another key every API key would seem
   * unknown and every secret damaged, so that is said once, at start.
   */
  async #checkSecretKey(): Promise<void> {
    const place = { table: 'secret_key_check', row: '1', field: 'value' }
    const value = this.cipher.encrypt('callhalf', place)
    await this.query((db) =>
      db
        .insertInto('secret_key_check')
        .values({ value })
        .onConflict((conflict) => conflict.doNothing())
        .execute(),
    )
    const row = await this.query((db) => db.selectFrom('secret_key_check').select('value').executeTakeFirst())
    try {
      this.cipher.decrypt(row?.value ?? '', place)
    } catch (cause) {
      throw new GatewayError('store_unavailable', {
        detail:
          'The records were written with another CALLHALF_SECRET_KEY. ' +
          'Set the one that was used, or restore the file secret-key in the data directory.',
        cause,
      })
    }
  }
}

async function logMigrations(migrating: Promise<readonly string[]>, log: Logger): Promise<void> {
  const migrations = await migrating
  if (migrations.length > 0) log.info({ migrations }, 'schema brought up to date')
}

/** `destroy` waits for borrowed connections; the deadline ends the waiting, not their queries. */
async function closeWithin(db: Kysely<Schema>, deadline: AbortSignal): Promise<void> {
  const aborted = new Promise<void>((resolve) => {
    if (deadline.aborted) resolve()
    deadline.addEventListener('abort', () => resolve(), { once: true })
  })
  await Promise.race([db.destroy(), aborted])
}

/** At start the operator needs the reason; a connection error names host and port, never the password. */
function describeOpenFailure(error: unknown): GatewayError {
  if (error instanceof GatewayError && error.detail !== undefined) return error
  const failure = translatePgError(error)
  // Several addresses refusing make an AggregateError: a code without a message.
  const cause: unknown = failure.cause
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : failure.code
  const reason = cause instanceof Error && cause.message !== '' ? cause.message : code
  return new GatewayError('store_unavailable', { detail: `The database did not open: ${reason}`, cause: failure.cause })
}
