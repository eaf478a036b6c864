import {
  CompiledQuery,
  PGliteAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type DatabaseConnection,
  type DatabaseIntrospector,
  type Dialect,
  type DialectAdapter,
  type Driver,
  type Kysely,
  type QueryCompiler,
  type QueryResult,
  type TransactionSettings,
} from 'kysely'
import { GatewayError } from '../core/errors.ts'
import type { PgliteClient } from './pglite-client.ts'

/** The client of now; after a failure it is another one. */
type CurrentClient = () => PgliteClient

/**
 * Kysely over the PGlite worker. There is one connection; Kysely itself lets only one query or
 * transaction have it at a time, because the adapter says that there are no more.
 */
export class PgliteDialect implements Dialect {
  readonly #current: CurrentClient

  constructor(current: CurrentClient) {
    this.#current = current
  }

  createAdapter(): DialectAdapter {
    return new PGliteAdapter()
  }

  createDriver(): Driver {
    return new PgliteDriver(this.#current)
  }

  createIntrospector(db: Kysely<unknown>): DatabaseIntrospector {
    return new PostgresIntrospector(db)
  }

  createQueryCompiler(): QueryCompiler {
    return new PostgresQueryCompiler()
  }
}

/** The client is opened and closed by the owner, with a deadline. */
class PgliteDriver implements Driver {
  readonly #current: CurrentClient

  constructor(current: CurrentClient) {
    this.#current = current
  }

  async init(): Promise<void> {}

  /**
   * A connection stays with its client: the rest of a transaction must fail with the worker that it began
   * in. It never rejects, since Kysely would then keep the connection's only lock for ever.
   */
  acquireConnection(): Promise<DatabaseConnection> {
    return Promise.resolve(new PgliteConnection(this.#current()))
  }

  async beginTransaction(connection: DatabaseConnection, settings: TransactionSettings): Promise<void> {
    const isolation = settings.isolationLevel === undefined ? '' : ` isolation level ${settings.isolationLevel}`
    await connection.executeQuery(CompiledQuery.raw(`begin${isolation}`))
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('commit'))
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('rollback'))
  }

  async releaseConnection(): Promise<void> {}

  async destroy(): Promise<void> {}
}

class PgliteConnection implements DatabaseConnection {
  readonly #client: PgliteClient

  constructor(client: PgliteClient) {
    this.#client = client
  }

  async executeQuery<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
    const { rows, affectedRows } = await this.#client.query(query.sql, query.parameters)
    return {
      rows,
      ...(affectedRows === undefined ? {} : { numAffectedRows: BigInt(affectedRows) }),
    }
  }

  streamQuery(): AsyncIterableIterator<never> {
    throw new GatewayError('internal', { cause: new Error('PGlite does not stream') })
  }
}
