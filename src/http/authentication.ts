import { hash, timingSafeEqual } from 'node:crypto'
import type { AppRepository } from '../core/app.ts'
import type { Clock } from '../core/clock.ts'
import type { Directory } from '../core/directory.ts'
import { GatewayError } from '../core/errors.ts'
import { toAppId } from '../core/ids.ts'
import type { AppId } from '../core/ids.ts'

export type AuthenticatorOptions = {
  readonly apps: Pick<AppRepository, 'authenticate' | 'find'>
  readonly directory: Pick<Directory, 'app'>
  readonly adminKey: string
  readonly clock: Clock
}

/** A revoked key works for at most this long on an instance that has just seen it. */
const CACHE_TTL_MS = 1_000
const CACHED_KEYS_MAX = 10_000
const KEY_LENGTH_MAX = 512

type Cached = { readonly owner: Promise<AppId | undefined>; readonly expiresAt: number }

/**
 * Decides whose key a request carries. Keys are remembered for a second, by their hash, so that a busy
 * app does not ask the records for each request; simultaneous requests with one key ask once.
 */
export class Authenticator {
  readonly #options: AuthenticatorOptions
  readonly #adminKeyHash: Buffer
  readonly #owners = new Map<string, Cached>()

  constructor(options: AuthenticatorOptions) {
    this.#options = options
    this.#adminKeyHash = digestOf(options.adminKey)
  }

  /** Rejects with `unauthorized` unless the header holds the admin key. */
  requireAdmin(authorization: string | undefined): void {
    if (!this.#isAdminKey(digestOf(readBearer(authorization)))) throw unauthorized()
  }

  /**
   * The app of this id, if the header holds one of its keys or the admin key. Rejects with
   * `unauthorized` for a key that is nobody's, and with `app_not_found` for another app's key: whether
   * the app exists is not its business.
   */
  async requireApp(authorization: string | undefined, appId: string): Promise<AppId> {
    const key = readBearer(authorization)
    const digest = digestOf(key)
    if (this.#isAdminKey(digest)) return this.#existingApp(appId)
    const owner = await this.#ownerOf(key, digest.toString('base64'))
    if (owner === undefined) throw unauthorized()
    if (owner !== appId) throw new GatewayError('app_not_found')
    return owner
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

  #isAdminKey(digest: Buffer): boolean {
    return timingSafeEqual(digest, this.#adminKeyHash)
  }

  #ownerOf(key: string, name: string): Promise<AppId | undefined> {
    const now = this.#options.clock.monotonic()
    const cached = this.#owners.get(name)
    if (cached !== undefined && cached.expiresAt > now) return cached.owner
    const owner = this.#options.apps.authenticate(key)
    this.#owners.delete(name)
    this.#owners.set(name, { owner, expiresAt: now + CACHE_TTL_MS })
    this.#forgetOldest()
    // A failure and an unknown key are not remembered: the next request asks again.
    const forget = () => {
      if (this.#owners.get(name)?.owner === owner) this.#owners.delete(name)
    }
    owner.then((appId) => appId === undefined && forget(), forget)
    return owner
  }

  #forgetOldest(): void {
    if (this.#owners.size <= CACHED_KEYS_MAX) return
    const [oldest] = this.#owners.keys()
    if (oldest !== undefined) this.#owners.delete(oldest)
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
