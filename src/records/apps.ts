import { randomUUID, timingSafeEqual } from 'node:crypto'
import type { Selectable, Transaction } from 'kysely'
import type { ApiKey, App, AppRepository, Caller, IssuedApiKey } from '../core/app.ts'
import { toAppId, type AppId, type Shard } from '../core/ids.ts'
import { createApiKey, keyIdOf } from './api-key.ts'
import { recordChange } from './change-log.ts'
import type { Records } from './connection.ts'
import type { KeyEntry } from './directory-index.ts'
import type { RecordsDirectory } from './directory.ts'
import type { Schema } from './schema.ts'

/** Compared with the hash of an unknown key, so that it costs what a known one does. */
const NO_HASH = Buffer.alloc(32)

/**
 * Apps and their API keys. A key is kept as an HMAC-SHA-256 under a key derived from the secret key: it
 * has 256 random bits, so no slow hash is needed, and a copy of the database alone cannot even test a
 * guess. Keys are checked against the directory's memory.
 */
export class Apps implements AppRepository {
  readonly #records: Records
  readonly #directory: RecordsDirectory

  constructor(records: Records, directory: RecordsDirectory) {
    this.#records = records
    this.#directory = directory
  }

  create(app: {
    readonly name: string
    readonly shard: Shard
  }): Promise<{ readonly app: App; readonly key: IssuedApiKey }> {
    const appId = toAppId(randomUUID())
    return this.#directory.write(async (transaction) => {
      const row = await transaction
        .insertInto('apps')
        .values({ app_id: appId, shard: app.shard, name: app.name, created_at: this.#now() })
        .returningAll()
        .executeTakeFirstOrThrow()
      await recordChange(transaction, { kind: 'app', ownerId: appId })
      return { app: toApp(row), key: await this.#insertKey(transaction, appId, undefined) }
    })
  }

  async list(): Promise<readonly App[]> {
    const rows = await this.#records.query((db) =>
      db.selectFrom('apps').selectAll().orderBy('created_at').orderBy('app_id').execute(),
    )
    return rows.map(toApp)
  }

  async find(appId: AppId): Promise<App | undefined> {
    const row = await this.#records.query((db) =>
      db.selectFrom('apps').selectAll().where('app_id', '=', appId).executeTakeFirst(),
    )
    return row === undefined ? undefined : toApp(row)
  }

  remove(appId: AppId): Promise<boolean> {
    return this.#directory.write(async (transaction) => {
      const { numDeletedRows } = await transaction
        .deleteFrom('apps')
        .where('app_id', '=', appId)
        .executeTakeFirstOrThrow()
      if (numDeletedRows === 0n) return false
      // Its deliveries may be millions: they are removed afterwards, by and by.
      await transaction.insertInto('removed_apps').values({ app_id: appId, removed_at: this.#now() }).execute()
      await recordChange(transaction, { kind: 'app', ownerId: appId })
      return true
    })
  }

  issueKey(appId: AppId, name: string | undefined): Promise<IssuedApiKey> {
    return this.#directory.write((transaction) => this.#insertKey(transaction, appId, name))
  }

  async listKeys(appId: AppId): Promise<readonly ApiKey[]> {
    const rows = await this.#records.query((db) =>
      db
        .selectFrom('api_keys')
        .selectAll()
        .where('app_id', '=', appId)
        .orderBy('created_at')
        .orderBy('key_id')
        .execute(),
    )
    return rows.map(toApiKey)
  }

  revokeKey(appId: AppId, keyId: string): Promise<boolean> {
    return this.#directory.write(async (transaction) => {
      const { numDeletedRows } = await transaction
        .deleteFrom('api_keys')
        .where('app_id', '=', appId)
        .where('key_id', '=', keyId)
        .executeTakeFirstOrThrow()
      if (numDeletedRows === 0n) return false
      await recordChange(transaction, { kind: 'key', ownerId: appId, itemId: keyId })
      return true
    })
  }

  /**
   * A key issued by another instance is known at once: an unknown one makes the directory catch up
   * first, in a reading that all such requests share. A key revoked elsewhere is known up to a second longer.
   */
  async authenticate(apiKey: string): Promise<Required<Caller> | undefined> {
    const keyId = keyIdOf(apiKey)
    const entry = keyId === undefined ? undefined : await this.#findKey(keyId)
    const isRight = timingSafeEqual(this.#records.cipher.hash(apiKey), entry?.hash ?? NO_HASH)
    return isRight && entry !== undefined ? { appId: entry.appId, keyId: entry.keyId } : undefined
  }

  async hasKey({ appId, keyId }: Required<Caller>): Promise<boolean> {
    return (await this.#findKey(keyId))?.appId === appId
  }

  async #findKey(keyId: string): Promise<KeyEntry | undefined> {
    if (this.#directory.key(keyId) === undefined) await this.#directory.refresh()
    return this.#directory.key(keyId)
  }

  async #insertKey(transaction: Transaction<Schema>, appId: AppId, name: string | undefined): Promise<IssuedApiKey> {
    const { keyId, prefix, apiKey } = createApiKey()
    const row = await transaction
      .insertInto('api_keys')
      .values({
        key_id: keyId,
        app_id: appId,
        name: name ?? null,
        prefix,
        hash: this.#records.cipher.hash(apiKey).toString('hex'),
        created_at: this.#now(),
      })
      .returningAll()
      .executeTakeFirstOrThrow()
    await recordChange(transaction, { kind: 'key', ownerId: appId, itemId: keyId })
    return { ...toApiKey(row), apiKey }
  }

  #now(): Date {
    return new Date(this.#records.clock.now())
  }
}

const toApp = (row: Selectable<Schema['apps']>): App => ({
  appId: row.app_id,
  shard: row.shard,
  name: row.name,
  createdAt: row.created_at.getTime(),
})

const toApiKey = (row: Selectable<Schema['api_keys']>): ApiKey => ({
  keyId: row.key_id,
  appId: row.app_id,
  ...(row.name === null ? {} : { name: row.name }),
  prefix: row.prefix,
  createdAt: row.created_at.getTime(),
})
