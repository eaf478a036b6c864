import { randomUUID } from 'node:crypto'
import type { Selectable, Transaction } from 'kysely'
import type { Endpoint, EndpointChange, EndpointRepository, NewEndpoint } from '../core/endpoint.ts'
import { GatewayError } from '../core/errors.ts'
import { toEndpointId, type AppId, type EndpointId } from '../core/ids.ts'
import { recordChange } from './change-log.ts'
import type { Records } from './connection.ts'
import type { RecordsDirectory } from './directory.ts'
import { EndpointSecrets } from './endpoint-secrets.ts'
import type { Schema } from './schema.ts'

/** Each event of an app costs a lane and a delivery per endpoint that wants it. */
const PER_APP_MAX = 20

/** Webhook endpoints; their signing secrets are kept apart. */
export class Endpoints implements EndpointRepository {
  readonly #records: Records
  readonly #directory: RecordsDirectory
  readonly #secrets: EndpointSecrets

  constructor(records: Records, directory: RecordsDirectory) {
    this.#records = records
    this.#directory = directory
    this.#secrets = new EndpointSecrets(records)
  }

  create(endpoint: NewEndpoint): Promise<Endpoint> {
    const endpointId = toEndpointId(randomUUID())
    const now = this.#now()
    return this.#directory.write(async (transaction) => {
      await lockApp(transaction, endpoint.appId)
      const { count } = await transaction
        .selectFrom('endpoints')
        .select((eb) => eb.fn.countAll<string>().as('count'))
        .where('app_id', '=', endpoint.appId)
        .executeTakeFirstOrThrow()
      if (Number(count) >= PER_APP_MAX) {
        throw new GatewayError('too_many_webhooks', { fields: { max: PER_APP_MAX } })
      }
      const row = await transaction
        .insertInto('endpoints')
        .values({
          endpoint_id: endpointId,
          app_id: endpoint.appId,
          url: endpoint.url,
          description: endpoint.description ?? null,
          event_types: endpoint.eventTypes === undefined ? null : JSON.stringify(endpoint.eventTypes),
          enabled: endpoint.enabled,
          created_at: now,
          updated_at: now,
        })
        .returningAll()
        .executeTakeFirstOrThrow()
      await this.#secrets.insert(transaction, endpointId, endpoint.secret)
      await recordChange(transaction, { kind: 'endpoint', ownerId: endpoint.appId, itemId: endpointId })
      return toEndpoint(row)
    })
  }

  async list(appId: AppId): Promise<readonly Endpoint[]> {
    const rows = await this.#records.query((db) =>
      db
        .selectFrom('endpoints')
        .selectAll()
        .where('app_id', '=', appId)
        .orderBy('created_at')
        .orderBy('endpoint_id')
        .execute(),
    )
    return rows.map(toEndpoint)
  }

  async find(appId: AppId, endpointId: EndpointId): Promise<Endpoint | undefined> {
    const row = await this.#records.query((db) =>
      db
        .selectFrom('endpoints')
        .selectAll()
        .where('app_id', '=', appId)
        .where('endpoint_id', '=', endpointId)
        .executeTakeFirst(),
    )
    return row === undefined ? undefined : toEndpoint(row)
  }

  update(appId: AppId, endpointId: EndpointId, change: EndpointChange): Promise<Endpoint | undefined> {
    return this.#directory.write(async (transaction) => {
      const row = await transaction
        .updateTable('endpoints')
        .set({
          ...(change.url === undefined ? {} : { url: change.url }),
          ...(change.description === undefined ? {} : { description: change.description }),
          ...(change.eventTypes === undefined
            ? {}
            : { event_types: change.eventTypes === null ? null : JSON.stringify(change.eventTypes) }),
          ...(change.enabled === undefined ? {} : { enabled: change.enabled }),
          updated_at: this.#now(),
        })
        .where('app_id', '=', appId)
        .where('endpoint_id', '=', endpointId)
        .returningAll()
        .executeTakeFirst()
      if (row === undefined) return undefined
      await recordChange(transaction, { kind: 'endpoint', ownerId: appId, itemId: endpointId })
      return toEndpoint(row)
    })
  }

  remove(appId: AppId, endpointId: EndpointId): Promise<boolean> {
    return this.#directory.write(async (transaction) => {
      const { numDeletedRows } = await transaction
        .deleteFrom('endpoints')
        .where('app_id', '=', appId)
        .where('endpoint_id', '=', endpointId)
        .executeTakeFirstOrThrow()
      if (numDeletedRows === 0n) return false
      await recordChange(transaction, { kind: 'endpoint', ownerId: appId, itemId: endpointId })
      return true
    })
  }

  secretsOf(endpointId: EndpointId): Promise<readonly string[]> {
    return this.#secrets.of(endpointId)
  }

  /**
   * Makes `secret` the current one. The one before it goes on signing, as a second signature, until
   * `graceMs` from now, so that receivers can change over. False when there is no such endpoint.
   */
  rotateSecret(
    appId: AppId,
    endpointId: EndpointId,
    { secret, graceMs }: { readonly secret: string; readonly graceMs: number },
  ): Promise<boolean> {
    return this.#directory.write(async (transaction) => {
      const endpoint = await transaction
        .selectFrom('endpoints')
        .select(['endpoint_id', 'app_id'])
        .where('app_id', '=', appId)
        .where('endpoint_id', '=', endpointId)
        .forUpdate()
        .executeTakeFirst()
      if (endpoint === undefined) return false
      const expiresAt = new Date(this.#records.clock.now() + graceMs)
      await this.#secrets.replace(transaction, { endpoint, secret, expiresAt })
      return true
    })
  }

  #now(): Date {
    return new Date(this.#records.clock.now())
  }
}

/** Lets an app's endpoints be created one after the other, so that they can be counted. */
async function lockApp(transaction: Transaction<Schema>, appId: AppId): Promise<void> {
  await transaction.selectFrom('apps').select('app_id').where('app_id', '=', appId).forNoKeyUpdate().execute()
}

const toEndpoint = (row: Selectable<Schema['endpoints']>): Endpoint => ({
  endpointId: row.endpoint_id,
  appId: row.app_id,
  url: row.url,
  ...(row.description === null ? {} : { description: row.description }),
  ...(row.event_types === null ? {} : { eventTypes: row.event_types }),
  enabled: row.enabled,
  createdAt: row.created_at.getTime(),
  updatedAt: row.updated_at.getTime(),
})
