import { randomUUID } from 'node:crypto'
import type { Transaction } from 'kysely'
import type { EndpointCredentials, EndpointSecretSet, SignatureScheme } from '../core/endpoint.ts'
import type { EndpointId } from '../core/ids.ts'
import type { CipherPlace } from './cipher.ts'
import type { Records } from './connection.ts'
import type { Schema } from './schema.ts'

/** How many secrets of a kind sign at a time, the current one included: each adds a signature to every request. */
const SECRETS_PER_KIND_MAX = 5

/** The signing secrets and header values of webhook endpoints, encrypted at rest. */
export class EndpointSecrets {
  readonly #records: Records

  constructor(records: Records) {
    this.#records = records
  }

  /**
   * The secrets of the schemes that the endpoint signs with, and its headers; undefined when it is gone.
   * In one statement: it is asked for about once per second and busy endpoint.
   */
  async of(endpointId: EndpointId): Promise<EndpointCredentials | undefined> {
    const now = new Date(this.#records.clock.now())
    const rows = await this.#records.query((db) =>
      db
        .selectFrom('endpoints as e')
        .leftJoin('endpoint_secrets as s', (join) =>
          join
            .onRef('s.endpoint_id', '=', 'e.endpoint_id')
            .on((eb) => eb.or([eb('s.expires_at', 'is', null), eb('s.expires_at', '>', now)])),
        )
        .select(['e.url', 'e.failover_url', 'e.headers', 'e.signatures', 's.secret_id', 's.kind', 's.value'])
        .where('e.endpoint_id', '=', endpointId)
        // The current one has no end.
        .orderBy('s.expires_at', (order) => order.desc().nullsFirst())
        .orderBy('s.created_at', 'desc')
        .execute(),
    )
    const [first] = rows
    if (first === undefined) return undefined
    const secrets = rows.flatMap(({ secret_id: secretId, kind, value }) =>
      secretId === null || kind === null || value === null || !first.signatures.includes(kind)
        ? []
        : this.#records.cipher.decrypt(value, secretPlace(endpointId, secretId)),
    )
    return {
      secrets,
      headers: this.#decryptHeaders(endpointId, first.headers),
      url: first.url,
      ...(first.failover_url !== null && { failoverUrl: first.failover_url }),
    }
  }

  /** The envelope of header values, for the endpoint's row; null when there are none. */
  encryptHeaders(endpointId: EndpointId, headers: Readonly<Record<string, string>>): string | null {
    if (Object.keys(headers).length === 0) return null
    return this.#records.cipher.encrypt(JSON.stringify(headers), headersPlace(endpointId))
  }

  /** Makes these the current secrets of their kinds, beside those that there are. */
  async insert(
    transaction: Transaction<Schema>,
    endpointId: EndpointId,
    { secret, asymmetric }: Partial<EndpointSecretSet>,
  ): Promise<void> {
    const createdAt = new Date(this.#records.clock.now())
    const row = (kind: SignatureScheme, text: string) => {
      const secretId = randomUUID()
      return {
        secret_id: secretId,
        endpoint_id: endpointId,
        kind,
        value: this.#records.cipher.encrypt(text, secretPlace(endpointId, secretId)),
        created_at: createdAt,
        expires_at: null,
      }
    }
    const values = [
      ...(secret === undefined ? [] : [row('v1', secret)]),
      ...(asymmetric === undefined ? [] : [row('v1a', asymmetric.privateKey)]),
    ]
    if (values.length > 0) await transaction.insertInto('endpoint_secrets').values(values).execute()
  }

  /**
   * Makes these the current secrets of their kinds. Those before end after `graceMs` at the latest, which
   * prolongs none that was to end earlier; beyond {@link SECRETS_PER_KIND_MAX} the oldest end now.
   */
  async replace(
    transaction: Transaction<Schema>,
    endpointId: EndpointId,
    { graceMs, ...secrets }: EndpointSecretSet & { readonly graceMs: number },
  ): Promise<void> {
    const now = this.#records.clock.now()
    const expiresAt = new Date(now + graceMs)
    const kinds: readonly SignatureScheme[] = secrets.asymmetric === undefined ? ['v1'] : ['v1', 'v1a']
    await transaction
      .updateTable('endpoint_secrets')
      .set({ expires_at: expiresAt })
      .where('endpoint_id', '=', endpointId)
      .where('kind', 'in', kinds)
      .where((eb) => eb.or([eb('expires_at', 'is', null), eb('expires_at', '>', expiresAt)]))
      .execute()
    await transaction
      .deleteFrom('endpoint_secrets')
      .where('endpoint_id', '=', endpointId)
      .where('expires_at', '<=', new Date(now))
      .execute()
    for (const kind of kinds) {
      await transaction
        .deleteFrom('endpoint_secrets')
        .where('secret_id', 'in', (db) =>
          db
            .selectFrom('endpoint_secrets')
            .select('secret_id')
            .where('endpoint_id', '=', endpointId)
            .where('kind', '=', kind)
            .orderBy('created_at', 'desc')
            .offset(SECRETS_PER_KIND_MAX - 1),
        )
        .execute()
    }
    await this.insert(transaction, endpointId, secrets)
  }

  #decryptHeaders(endpointId: EndpointId, envelope: string | null): Readonly<Record<string, string>> {
    if (envelope === null) return {}
    // Written by `encryptHeaders` and authenticated since.
    const headers: Record<string, string> = JSON.parse(this.#records.cipher.decrypt(envelope, headersPlace(endpointId)))
    return headers
  }
}

const secretPlace = (endpointId: EndpointId, secretId: string): CipherPlace => ({
  table: 'endpoint_secrets',
  row: `${endpointId}/${secretId}`,
  field: 'value',
})

const headersPlace = (endpointId: EndpointId): CipherPlace => ({
  table: 'endpoints',
  row: endpointId,
  field: 'headers',
})
