import { hash, randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { GatewayError } from '../../core/errors.ts'
import type { ProvisioningDatabase, Queries } from './database.ts'

/** A secret that stands for one line of one customer; only its hash is kept. */
export type CredentialKind = 'session_key' | 'password'
export type CredentialOwner = { readonly customerId: string; readonly number: string }

/** Session keys of one line: they never expire, so there must be an end to them. */
const SESSION_KEYS_MAX = 1_000

/**
 * Secrets that a messaging platform takes instead of a line's owner: session keys, and the one password that a
 * line is given. The platform asks here whether one is good.
 */
export class LineCredentials {
  readonly #database: ProvisioningDatabase

  constructor(database: ProvisioningDatabase) {
    this.#database = database
  }

  /** A new password, instead of the one before; the only time that its text exists. */
  renewPassword(owner: CredentialOwner): Promise<string> {
    return this.#database.query((db) => insertSecret(db, 'password', owner))
  }

  /** A new session key, the only time that its text exists. Rejects with `too_many_requests` beyond 1,000 of a line. */
  issueSessionKey(owner: CredentialOwner): Promise<string> {
    return this.#database.transaction(async (tx) => {
      const { count } = await tx
        .selectFrom('line_credentials')
        .select((select) => select.fn.countAll().as('count'))
        .where('customer_id', '=', owner.customerId)
        .where('e164', '=', owner.number)
        .executeTakeFirstOrThrow()
      if (Number(count) > SESSION_KEYS_MAX) {
        throw new GatewayError('too_many_requests', { detail: 'The line has as many session keys as it may have.' })
      }
      return insertSecret(tx, 'session_key', owner)
    })
  }

  /**
   * Whose secret it is; undefined when nobody's, also before the line is in service and once it has ended: another
   * line on the same number has secrets of its own.
   */
  async find(secret: string): Promise<(CredentialOwner & { readonly kind: CredentialKind }) | undefined> {
    const { rows } = await this.#database.query((db) =>
      sql<{ customer_id: string; e164: string; kind: CredentialKind }>`
        select customer_id, e164, kind from line_credentials
        where hash = ${hashOf(secret)} and exists (
          select from services join products using (product_id) join orders on orders.order_id = services.order_id
          where services.e164 = line_credentials.e164 and services.customer_id = line_credentials.customer_id
            and services.state <> 'ended' and products.kind = 'messaging'
            and orders.created_at <= line_credentials.created_at)`.execute(db),
    )
    const [row] = rows
    return row === undefined ? undefined : { customerId: row.customer_id, number: row.e164, kind: row.kind }
  }
}

/** For a line that begins: a password, and nothing that was good for an earlier line on the number. */
export async function startCredentials(queries: Queries, owner: CredentialOwner): Promise<string> {
  await queries
    .deleteFrom('line_credentials')
    .where('customer_id', '=', owner.customerId)
    .where('e164', '=', owner.number)
    .execute()
  return insertSecret(queries, 'password', owner)
}

async function insertSecret(queries: Queries, kind: CredentialKind, owner: CredentialOwner): Promise<string> {
  const secret = randomBytes(kind === 'password' ? 9 : 24).toString('base64url')
  await queries
    .insertInto('line_credentials')
    .values({ hash: hashOf(secret), customer_id: owner.customerId, e164: owner.number, kind })
    .onConflict((conflict) =>
      conflict
        .columns(['e164', 'customer_id'])
        .where('kind', '=', 'password')
        .doUpdateSet({ hash: hashOf(secret), created_at: sql<Date>`now()` }),
    )
    .execute()
  return secret
}

const hashOf = (secret: string): string => hash('sha256', secret, 'hex')
