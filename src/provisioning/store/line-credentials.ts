import { hash, randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import type { ProvisioningDatabase, Queries } from './database.ts'

/** A secret that stands for one line of one customer; only its hash is kept. */
export type CredentialKind = 'session_key' | 'password'
export type CredentialOwner = { readonly customerId: string; readonly number: string }

/**
 * Secrets that a messaging platform takes instead of a line's owner: session keys, any number of them, and the
 * one password that a new line is given. The platform asks here whether one is good.
 */
export class LineCredentials {
  readonly #database: ProvisioningDatabase

  constructor(database: ProvisioningDatabase) {
    this.#database = database
  }

  /** A new secret, the only time that its text exists; a new password replaces the one before. */
  issue(kind: CredentialKind, owner: CredentialOwner): Promise<string> {
    return this.#database.transaction((tx) => issueCredential(tx, kind, owner))
  }

  /** Whose secret it is; undefined when nobody's, also once the line has ended. */
  async find(secret: string): Promise<(CredentialOwner & { readonly kind: CredentialKind }) | undefined> {
    const { rows } = await this.#database.query((db) =>
      sql<{ customer_id: string; e164: string; kind: CredentialKind }>`
        select customer_id, e164, kind from line_credentials
        where hash = ${hashOf(secret)} and exists (
          select from services where services.e164 = line_credentials.e164
            and services.customer_id = line_credentials.customer_id and services.state <> 'ended')`.execute(db),
    )
    const [row] = rows
    return row === undefined ? undefined : { customerId: row.customer_id, number: row.e164, kind: row.kind }
  }
}

/** As {@link LineCredentials.issue}, in a transaction of the caller's. */
export async function issueCredential(
  queries: Queries,
  kind: CredentialKind,
  { customerId, number }: CredentialOwner,
): Promise<string> {
  const secret = randomBytes(kind === 'password' ? 9 : 24).toString('base64url')
  if (kind === 'password') {
    await queries
      .deleteFrom('line_credentials')
      .where('customer_id', '=', customerId)
      .where('e164', '=', number)
      .where('kind', '=', kind)
      .execute()
  }
  await queries
    .insertInto('line_credentials')
    .values({ hash: hashOf(secret), customer_id: customerId, e164: number, kind })
    .execute()
  return secret
}

const hashOf = (secret: string): string => hash('sha256', secret, 'hex')
