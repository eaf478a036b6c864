import { randomUUID } from 'node:crypto'
import type { Transaction } from 'kysely'
import type { EndpointId } from '../core/ids.ts'
import { recordChange } from './change-log.ts'
import type { CipherPlace } from './cipher.ts'
import type { Records } from './connection.ts'
import type { Schema } from './schema.ts'

/** The signing secrets of webhook endpoints, encrypted at rest. */
export class EndpointSecrets {
  readonly #records: Records

  constructor(records: Records) {
    this.#records = records
  }

  /** Those that sign now, the current one first; empty when the endpoint is gone. */
  async of(endpointId: EndpointId): Promise<readonly string[]> {
    const now = new Date(this.#records.clock.now())
    const rows = await this.#records.query((db) =>
      db
        .selectFrom('endpoint_secrets')
        .select(['secret_id', 'value'])
        .where('endpoint_id', '=', endpointId)
        .where((eb) => eb.or([eb('expires_at', 'is', null), eb('expires_at', '>', now)]))
        // The current one has no end.
        .orderBy('expires_at', (order) => order.desc().nullsFirst())
        .execute(),
    )
    return rows.map((row) => this.#records.cipher.decrypt(row.value, placeOf(endpointId, row.secret_id)))
  }

  async insert(transaction: Transaction<Schema>, endpointId: EndpointId, secret: string): Promise<void> {
    const secretId = randomUUID()
    await transaction
      .insertInto('endpoint_secrets')
      .values({
        secret_id: secretId,
        endpoint_id: endpointId,
        value: this.#records.cipher.encrypt(secret, placeOf(endpointId, secretId)),
        created_at: new Date(this.#records.clock.now()),
        expires_at: null,
      })
      .execute()
  }

  /** Makes `secret` the current one; the one before it ends at `expiresAt`, older ones now. */
  async replace(
    transaction: Transaction<Schema>,
    {
      endpoint,
      secret,
      expiresAt,
    }: { readonly endpoint: EndpointRow; readonly secret: string; readonly expiresAt: Date },
  ): Promise<void> {
    const endpointId = endpoint.endpoint_id
    await transaction
      .deleteFrom('endpoint_secrets')
      .where('endpoint_id', '=', endpointId)
      .where('expires_at', 'is not', null)
      .execute()
    await transaction
      .updateTable('endpoint_secrets')
      .set({ expires_at: expiresAt })
      .where('endpoint_id', '=', endpointId)
      .execute()
    await this.insert(transaction, endpointId, secret)
    await recordChange(transaction, { kind: 'endpoint', ownerId: endpoint.app_id, itemId: endpointId })
  }
}

type EndpointRow = Pick<Schema['endpoints'], 'endpoint_id' | 'app_id'>

const placeOf = (endpointId: EndpointId, secretId: string): CipherPlace => ({
  table: 'endpoint_secrets',
  row: `${endpointId}/${secretId}`,
  field: 'value',
})
