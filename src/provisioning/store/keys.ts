import { hash, randomInt } from 'node:crypto'
import type { Selectable } from 'kysely'
import { GatewayError } from '../../core/errors.ts'
import type { ProvisioningKeyCheck, Scope } from '../../core/provisioning-scope.ts'
import { newId } from '../model/ids.ts'
import { appendAudit } from './audit.ts'
import type { ProvisioningDatabase } from './database.ts'
import type { ProvisioningSchema } from './schema.ts'

/** A provisioning key without the key: only its hash is stored. */
export type ProvisioningKey = {
  readonly keyId: string
  readonly appId: string
  readonly name?: string
  /** Its first characters, to recognise it. */
  readonly prefix: string
  /** The customers it is for; absent for all of its app, also later ones. */
  readonly customerIds?: readonly string[]
  readonly createdAt: number
}

/** The length that the Zipwhip document gives an api_key (4.1.6: String (24)); 142 random bits. */
const KEY_LENGTH = 24
const KEY = /^[A-Za-z0-9]{24}$/
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'
const PREFIX_LENGTH = 6

/** The keys of the provisioning APIs, each of one app. */
export class ProvisioningKeys implements ProvisioningKeyCheck {
  readonly #database: ProvisioningDatabase

  constructor(database: ProvisioningDatabase) {
    this.#database = database
  }

  /** The only time that the key's text exists. Rejects with `app_not_found` and `customer_not_found`. */
  issue(request: {
    readonly appId: string
    readonly name?: string | undefined
    readonly customerIds?: readonly string[] | undefined
    readonly now: number
  }): Promise<{ readonly key: ProvisioningKey; readonly text: string }> {
    const { appId, name, customerIds, now } = request
    const text = createKey()
    return this.#database.transaction(async (tx) => {
      if (customerIds !== undefined) {
        const known = await tx
          .selectFrom('customers')
          .select('customer_id')
          .where('customer_id', 'in', [...customerIds, ''])
          .where('app_id', '=', appId)
          .where('removed_at', 'is', null)
          .execute()
        if (known.length < new Set(customerIds).size) throw new GatewayError('customer_not_found')
      }
      const row = await tx
        .insertInto('provisioning_keys')
        .values({
          key_id: newId('key', now),
          app_id: appId,
          hash: hashOf(text),
          prefix: text.slice(0, PREFIX_LENGTH),
          name: name ?? null,
          is_limited: customerIds !== undefined,
        })
        .returningAll()
        .executeTakeFirstOrThrow()
      const limits = [...new Set(customerIds)].map((customer_id) => ({ key_id: row.key_id, customer_id }))
      if (limits.length > 0) await tx.insertInto('provisioning_key_customers').values(limits).execute()
      const key = toKey(row, customerIds)
      await appendAudit(tx, [{ ...auditOf(key), action: 'create', after: { appId, name, customerIds } }])
      return { key, text }
    })
  }

  async list(appId: string): Promise<readonly ProvisioningKey[]> {
    return this.#database.query(async (db) => {
      const rows = await db
        .selectFrom('provisioning_keys')
        .selectAll()
        .where('app_id', '=', appId)
        .orderBy('key_id')
        .execute()
      const limits = await db
        .selectFrom('provisioning_key_customers')
        .innerJoin('provisioning_keys', 'provisioning_keys.key_id', 'provisioning_key_customers.key_id')
        .select(['provisioning_key_customers.key_id', 'customer_id'])
        .where('app_id', '=', appId)
        .orderBy('customer_id')
        .execute()
      const byKey = Map.groupBy(limits, (limit) => limit.key_id)
      return rows.map((row) => toKey(row, row.is_limited ? customersOf(byKey.get(row.key_id)) : undefined))
    })
  }

  /** False when the app has no such key. It stops working at once on every instance. */
  revoke(appId: string, keyId: string): Promise<boolean> {
    return this.#database.transaction(async (tx) => {
      const row = await tx
        .deleteFrom('provisioning_keys')
        .where('app_id', '=', appId)
        .where('key_id', '=', keyId)
        .returningAll()
        .executeTakeFirst()
      if (row === undefined) return false
      await appendAudit(tx, [{ ...auditOf(toKey(row, undefined)), action: 'remove' }])
      return true
    })
  }

  /** Looked up by its hash: a key has too many random bits to be guessed, so there is nothing to compare slowly. */
  async authenticate(key: string): Promise<Scope | undefined> {
    if (!KEY.test(key)) return undefined
    return this.#database.query(async (db) => {
      const rows = await db
        .selectFrom('provisioning_keys')
        .leftJoin('provisioning_key_customers as limits', 'limits.key_id', 'provisioning_keys.key_id')
        .select(['provisioning_keys.key_id', 'app_id', 'is_limited', 'limits.customer_id'])
        .where('hash', '=', hashOf(key))
        .execute()
      const [first] = rows
      if (first === undefined) return undefined
      return {
        kind: 'key',
        keyId: first.key_id,
        appId: first.app_id,
        ...(first.is_limited && { customerIds: customersOf(rows) }),
      }
    })
  }
}

const customersOf = (limits: readonly { readonly customer_id: string | null }[] = []): readonly string[] =>
  limits.flatMap((limit) => limit.customer_id ?? [])

const createKey = (): string =>
  Array.from({ length: KEY_LENGTH }, () => ALPHABET.charAt(randomInt(ALPHABET.length))).join('')

const hashOf = (key: string): string => hash('sha256', key, 'hex')

const auditOf = ({ keyId }: ProvisioningKey) => ({
  chain: 'installation',
  actor: 'admin',
  entity: 'provisioning_key',
  entityId: keyId,
})

const toKey = (
  row: Selectable<ProvisioningSchema['provisioning_keys']>,
  customerIds: readonly string[] | undefined,
): ProvisioningKey => ({
  keyId: row.key_id,
  appId: row.app_id,
  ...(row.name !== null && { name: row.name }),
  prefix: row.prefix,
  ...(customerIds !== undefined && { customerIds }),
  createdAt: row.created_at.getTime(),
})
