import { hash, timingSafeEqual } from 'node:crypto'
import type { AppRepository, Caller } from '../core/app.ts'
import type { Directory } from '../core/directory.ts'
import { GatewayError } from '../core/errors.ts'
import { toAppId } from '../core/ids.ts'
import type { AppId } from '../core/ids.ts'
import type { ProvisioningKeyCheck, Scope } from '../core/provisioning-scope.ts'

export type AuthenticatorOptions = {
  readonly apps: Pick<AppRepository, 'authenticate' | 'find'>
  readonly directory: Pick<Directory, 'app'>
  readonly provisioningKeys: ProvisioningKeyCheck
  readonly adminKey: string
}

const KEY_LENGTH_MAX = 512

/** Decides whose key a request carries. Nothing is remembered here: the records answer from memory. */
export class Authenticator {
  readonly #options: AuthenticatorOptions
  readonly #adminKeyHash: Buffer

  constructor(options: AuthenticatorOptions) {
    this.#options = options
    this.#adminKeyHash = digestOf(options.adminKey)
  }

  /** Rejects with `unauthorized` unless the header holds the admin key. */
  requireAdmin(authorization: string | undefined): void {
    if (!this.#isAdminKey(readBearer(authorization))) throw unauthorized()
  }

  /**
   * The app of this id, if the header holds one of its keys or the admin key. Rejects with
   * `unauthorized` for a key that is nobody's, and with `app_not_found` for another app's key: whether
   * the app exists is not its business.
   */
  async requireApp(authorization: string | undefined, appId: string): Promise<Caller> {
    const key = readBearer(authorization)
    if (this.#isAdminKey(key)) return { appId: await this.#existingApp(appId) }
    const caller = await this.#options.apps.authenticate(key)
    if (caller === undefined) throw unauthorized()
    if (caller.appId !== appId) throw new GatewayError('app_not_found')
    return caller
  }

  /** What a provisioning key or the admin key may see; rejects with `unauthorized` for any other. */
  async requireScope(authorization: string | undefined): Promise<Scope> {
    const key = readBearer(authorization)
    if (this.#isAdminKey(key)) return { kind: 'admin' }
    const scope = await this.#options.provisioningKeys.authenticate(key)
    if (scope === undefined) throw unauthorized()
    return scope
  }

  async #existingApp(text: string): Promise<AppId> {
    if (text === '' || text.length > 64) throw new GatewayError('app_not_found')
    const appId = toAppId(text)
    // The directory of another instance hears of a new app a moment later: the records decide.
    if (this.#options.directory.app(appId) === undefined && (await this.#options.apps.find(appId)) === undefined) {
      throw new GatewayError('app_not_found')
    }
    return appId
  }

  #isAdminKey(key: string): boolean {
    return timingSafeEqual(digestOf(key), this.#adminKeyHash)
  }
}

/** The token of `Authorization: Bearer <token>`. Throws `unauthorized` when there is none. */
export function readBearer(authorization: string | undefined): string {
  const token = /^Bearer +([\x21-\x7e]+) *$/i.exec(authorization ?? '')?.[1]
  if (token === undefined || token.length > KEY_LENGTH_MAX) throw unauthorized()
  return token
}

const unauthorized = (): GatewayError =>
  new GatewayError('unauthorized', { detail: 'Send a key in the header "Authorization: Bearer <key>".' })

const digestOf = (key: string): Buffer => hash('sha256', key, 'buffer')
