import { randomUUID } from 'node:crypto'
import type { Selectable, Transaction } from 'kysely'
import { GatewayError } from '../core/errors.ts'
import { toNetworkId, type NetworkId } from '../core/ids.ts'
import type { Network, NetworkChange, NetworkRepository, NewNetwork } from '../core/network.ts'
import { recordChange } from './change-log.ts'
import type { CipherPlace } from './cipher.ts'
import type { Records } from './connection.ts'
import type { RecordsDirectory } from './directory.ts'
import { isForeignKeyViolation } from './pg-errors.ts'
import type { Schema } from './schema.ts'

/** Networks, their secrets encrypted one by one in a table of their own. */
export class Networks implements NetworkRepository {
  readonly #records: Records
  readonly #directory: RecordsDirectory

  constructor(records: Records, directory: RecordsDirectory) {
    this.#records = records
    this.#directory = directory
  }

  create(network: NewNetwork): Promise<Network> {
    const networkId = toNetworkId(randomUUID())
    const now = new Date(this.#records.clock.now())
    return this.#directory.write(async (transaction) => {
      const row = await transaction
        .insertInto('networks')
        .values({
          network_id: networkId,
          shard: network.shard,
          name: network.name,
          adapter: network.adapter,
          config: JSON.stringify(network.config),
          channel_set_id: `callhalf-${randomUUID()}`,
          created_at: now,
          updated_at: now,
        })
        .returningAll()
        .executeTakeFirstOrThrow()
      await this.#putSecrets(transaction, networkId, network.secrets)
      await recordChange(transaction, { kind: 'network', ownerId: networkId })
      return toNetwork(row)
    })
  }

  async list(): Promise<readonly Network[]> {
    const rows = await this.#records.query((db) =>
      db.selectFrom('networks').selectAll().orderBy('created_at').orderBy('network_id').execute(),
    )
    return rows.map(toNetwork)
  }

  async find(networkId: NetworkId): Promise<Network | undefined> {
    const row = await this.#records.query((db) =>
      db.selectFrom('networks').selectAll().where('network_id', '=', networkId).executeTakeFirst(),
    )
    return row === undefined ? undefined : toNetwork(row)
  }

  update(networkId: NetworkId, change: NetworkChange): Promise<Network | undefined> {
    return this.#directory.write(async (transaction) => {
      const row = await transaction
        .updateTable('networks')
        .set({
          ...(change.name === undefined ? {} : { name: change.name }),
          ...(change.config === undefined ? {} : { config: JSON.stringify(change.config) }),
          updated_at: new Date(this.#records.clock.now()),
        })
        .where('network_id', '=', networkId)
        .returningAll()
        .executeTakeFirst()
      if (row === undefined) return undefined
      await this.#putSecrets(transaction, networkId, change.secrets ?? {})
      await recordChange(transaction, { kind: 'network', ownerId: networkId })
      return toNetwork(row)
    })
  }

  requestChannelRestart(networkId: NetworkId): Promise<boolean> {
    return this.#directory.write(async (transaction) => {
      const { numUpdatedRows } = await transaction
        .updateTable('networks')
        .set((eb) => ({ channel_restarts: eb('channel_restarts', '+', 1) }))
        .where('network_id', '=', networkId)
        .executeTakeFirstOrThrow()
      if (numUpdatedRows === 0n) return false
      await recordChange(transaction, { kind: 'network', ownerId: networkId })
      return true
    })
  }

  remove(networkId: NetworkId): Promise<boolean> {
    return this.#directory.write(async (transaction) => {
      const deletion = transaction.deleteFrom('networks').where('network_id', '=', networkId)
      const { numDeletedRows } = await deletion.executeTakeFirstOrThrow().catch((cause: unknown) => {
        if (isForeignKeyViolation(cause)) throw new GatewayError('in_use', { cause })
        throw cause
      })
      if (numDeletedRows === 0n) return false
      await recordChange(transaction, { kind: 'network', ownerId: networkId })
      return true
    })
  }

  async secretsOf(networkId: NetworkId): Promise<Readonly<Record<string, string>>> {
    const rows = await this.#records.query((db) =>
      db.selectFrom('network_secrets').select(['name', 'value']).where('network_id', '=', networkId).execute(),
    )
    return Object.fromEntries(
      rows.map((row) => [row.name, this.#records.cipher.decrypt(row.value, placeOf(networkId, row.name))]),
    )
  }

  async #putSecrets(
    transaction: Transaction<Schema>,
    networkId: NetworkId,
    secrets: Readonly<Record<string, string>>,
  ): Promise<void> {
    const values = Object.entries(secrets).map(([name, secret]) => ({
      network_id: networkId,
      name,
      value: this.#records.cipher.encrypt(secret, placeOf(networkId, name)),
    }))
    if (values.length === 0) return
    await transaction
      .insertInto('network_secrets')
      .values(values)
      .onConflict((conflict) =>
        conflict.columns(['network_id', 'name']).doUpdateSet((eb) => ({ value: eb.ref('excluded.value') })),
      )
      .execute()
  }
}

const placeOf = (networkId: NetworkId, name: string): CipherPlace => ({
  table: 'network_secrets',
  row: networkId,
  field: name,
})

const toNetwork = (row: Selectable<Schema['networks']>): Network => ({
  networkId: row.network_id,
  shard: row.shard,
  name: row.name,
  adapter: row.adapter,
  config: row.config,
  channelSetId: row.channel_set_id,
  channelRestarts: row.channel_restarts,
  createdAt: row.created_at.getTime(),
  updatedAt: row.updated_at.getTime(),
})
