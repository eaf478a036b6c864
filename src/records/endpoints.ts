import { randomUUID } from 'node:crypto'
import { sql, type Transaction } from 'kysely'
import type {
  Endpoint,
  EndpointChange,
  EndpointCredentials,
  EndpointRepository,
  EndpointSecretSet,
  NewEndpoint,
} from '../core/endpoint.ts'
import { GatewayError } from '../core/errors.ts'
import { toEndpointId, type AppId, type EndpointId } from '../core/ids.ts'
import { recordChange } from './change-log.ts'
import type { Records } from './connection.ts'
import { parseCursor, toPage } from './cursor.ts'
import type { RecordsDirectory } from './directory.ts'
import { changedColumns, toEndpoint, toJson } from './endpoint-rows.ts'
import { EndpointSecrets } from './endpoint-secrets.ts'
import { toDate } from './pg-values.ts'
import type { Schema } from './schema.ts'

/** Each event of an app costs a lane and a delivery per endpoint that wants it. */
const PER_APP_MAX = 20

/** Webhook endpoints; their signing secrets and header values are kept apart, encrypted. */
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
      const { headers = {}, asymmetric } = endpoint
      if (endpoint.signatures.includes('v1a') && asymmetric === undefined) throw keyPairMissing()
      const row = await transaction
        .insertInto('endpoints')
        .values({
          endpoint_id: endpointId,
          app_id: endpoint.appId,
          url: endpoint.url,
          failover_url: endpoint.failoverUrl ?? null,
          description: endpoint.description ?? null,
          metadata: toJson(endpoint.metadata) ?? null,
          event_types: toJson(endpoint.eventTypes) ?? null,
          subscriber_ids: toJson(endpoint.subscriberIds) ?? null,
          directions: toJson(endpoint.directions) ?? null,
          policies: toJson(endpoint.policies) ?? null,
          order_hold_ms: endpoint.orderHoldMs,
          coalesce: endpoint.coalesce,
          max_in_flight: endpoint.maxInFlight,
          rate_per_second: endpoint.ratePerSecond ?? null,
          signatures: JSON.stringify(endpoint.signatures),
          ca_certificates: endpoint.caCertificates ?? null,
          enabled: endpoint.enabled,
          disabled_reason: endpoint.enabled ? null : 'requested',
          verified: endpoint.verified,
          header_names: JSON.stringify(Object.keys(headers)),
          headers: this.#secrets.encryptHeaders(endpointId, headers),
          public_key: asymmetric?.publicKey ?? null,
          created_at: now,
          updated_at: now,
        })
        .returningAll()
        .executeTakeFirstOrThrow()
      await this.#secrets.insert(transaction, endpointId, endpoint)
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

  async listAll(page: {
    readonly limit: number
    readonly cursor?: string
    readonly appId?: AppId
  }): Promise<{ readonly endpoints: readonly Endpoint[]; readonly cursor?: string }> {
    const after = page.cursor === undefined ? undefined : parseCursor(page.cursor)
    const found = await this.#records.query((db) => {
      let query = db.selectFrom('endpoints').selectAll()
      if (page.appId !== undefined) query = query.where('app_id', '=', page.appId)
      if (after !== undefined) {
        query = query.where(sql<boolean>`(created_at, endpoint_id) < (${toDate(after.at)}, ${after.id})`)
      }
      return query
        .orderBy('created_at', 'desc')
        .orderBy('endpoint_id', 'desc')
        .limit(page.limit + 1)
        .execute()
    })
    const { rows, cursor } = toPage(found, page.limit, (row) => ({
      at: row.created_at.getTime(),
      id: row.endpoint_id,
    }))
    return { endpoints: rows.map(toEndpoint), ...(cursor !== undefined && { cursor }) }
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
      const before = await lockEndpoint(transaction, appId, endpointId)
      if (before === undefined) return undefined
      const { onlyIfUrl } = change
      if (onlyIfUrl !== undefined && ![before.url, before.failover_url].includes(onlyIfUrl)) return toEndpoint(before)
      const signsAsymmetrically = (change.signatures ?? before.signatures).includes('v1a')
      // A key pair that there is stays: replacing it is a rotation.
      const keyPair = signsAsymmetrically && before.public_key === null ? change.asymmetric : undefined
      if (signsAsymmetrically && before.public_key === null && keyPair === undefined) throw keyPairMissing()
      const row = await transaction
        .updateTable('endpoints')
        .set({
          ...changedColumns(before, change),
          ...(change.headers !== undefined && {
            header_names: JSON.stringify(Object.keys(change.headers)),
            headers: this.#secrets.encryptHeaders(endpointId, change.headers),
          }),
          ...(keyPair !== undefined && { public_key: keyPair.publicKey }),
          updated_at: this.#now(),
        })
        .where('endpoint_id', '=', endpointId)
        .returningAll()
        .executeTakeFirstOrThrow()
      if (keyPair !== undefined) await this.#secrets.insert(transaction, endpointId, { asymmetric: keyPair })
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

  rotateSecrets(
    appId: AppId,
    endpointId: EndpointId,
    rotation: EndpointSecretSet & { readonly graceMs: number },
  ): Promise<Endpoint | undefined> {
    return this.#directory.write(async (transaction) => {
      if ((await lockEndpoint(transaction, appId, endpointId)) === undefined) return undefined
      await this.#secrets.replace(transaction, endpointId, rotation)
      const { asymmetric } = rotation
      const row = await transaction
        .updateTable('endpoints')
        .set({
          ...(asymmetric !== undefined && { public_key: asymmetric.publicKey }),
          updated_at: this.#now(),
        })
        .where('endpoint_id', '=', endpointId)
        .returningAll()
        .executeTakeFirstOrThrow()
      await recordChange(transaction, { kind: 'endpoint', ownerId: appId, itemId: endpointId })
      return toEndpoint(row)
    })
  }

  credentialsOf(endpointId: EndpointId): Promise<EndpointCredentials | undefined> {
    return this.#secrets.of(endpointId)
  }

  #now(): Date {
    return new Date(this.#records.clock.now())
  }
}

/** Lets an app's endpoints be created one after the other, so that they can be counted. */
async function lockApp(transaction: Transaction<Schema>, appId: AppId): Promise<void> {
  await transaction.selectFrom('apps').select('app_id').where('app_id', '=', appId).forNoKeyUpdate().execute()
}

const lockEndpoint = (transaction: Transaction<Schema>, appId: AppId, endpointId: EndpointId) =>
  transaction
    .selectFrom('endpoints')
    .selectAll()
    .where('app_id', '=', appId)
    .where('endpoint_id', '=', endpointId)
    .forUpdate()
    .executeTakeFirst()

const keyPairMissing = () =>
  new GatewayError('internal', { cause: new Error('an endpoint that signs with v1a needs a key pair') })
