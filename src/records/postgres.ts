import { PostgresDialect, type PostgresCursor, type PostgresPoolClient, type PostgresQueryResult } from 'kysely'
import { Pool, types, type PoolClient } from 'pg'
import { GatewayError } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import { INT8_OID, parseInt8 } from './pg-values.ts'

const CONNECT_TIMEOUT_MS = 5_000
const IDLE_TIMEOUT_MS = 30_000

export type PostgresOptions = {
  readonly url: string
  /** Connections at most. */
  readonly poolSize: number
  /** After which the server cancels a statement. */
  readonly statementTimeoutMs: number
  readonly log: Logger
}

/**
 * Kysely's PostgreSQL dialect over a bounded pool. The server ends a statement at the timeout; a second
 * later the client gives up on a server that does not even say so, and drops the connection, because a
 * connection with an unanswered query would block whoever gets it next.
 */
export function createPostgresDialect(options: PostgresOptions): PostgresDialect {
  const pool = new Pool({
    connectionString: options.url,
    max: options.poolSize,
    application_name: 'callhalf',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    idleTimeoutMillis: IDLE_TIMEOUT_MS,
    statement_timeout: options.statementTimeoutMs,
    query_timeout: options.statementTimeoutMs + 1_000,
    idle_in_transaction_session_timeout: options.statementTimeoutMs * 2,
    keepAlive: true,
    types: {
      getTypeParser: (oid: number, format?: 'text' | 'binary') =>
        oid === INT8_OID && format !== 'binary' ? parseInt8 : types.getTypeParser(oid, format),
    },
  })
  pool.on('error', (error) => options.log.warn({ err: error }, 'an idle database connection failed'))
  // One that fails between two queries of its borrower has nobody to tell but the process, which would end.
  pool.on('connect', (client) => client.on('error', () => undefined))
  return new PostgresDialect({
    pool: {
      options: {},
      connect: async () => new PooledClient(await pool.connect()),
      end: () => pool.end(),
    },
  })
}

/** A borrowed connection that remembers whether a query of it was left unanswered. */
class PooledClient implements PostgresPoolClient {
  readonly #client: PoolClient
  #isStuck = false

  constructor(client: PoolClient) {
    this.#client = client
  }

  query<Row>(sql: string, parameters: readonly unknown[]): Promise<PostgresQueryResult<Row>>
  query<Row>(cursor: PostgresCursor<Row>): PostgresCursor<Row>
  query(query: unknown, parameters: readonly unknown[] = []): unknown {
    if (typeof query !== 'string') throw new GatewayError('internal', { cause: new Error('cursors are not used') })
    return this.#query(query, parameters)
  }

  release(destroy?: boolean): void {
    this.#client.release(destroy === true || this.#isStuck)
  }

  async #query(sql: string, parameters: readonly unknown[]): Promise<unknown> {
    try {
      return await this.#client.query(sql, [...parameters])
    } catch (error) {
      this.#isStuck ||= error instanceof Error && error.message === 'Query read timeout'
      throw error
    }
  }
}
