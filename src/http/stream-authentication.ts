import * as v from 'valibot'
import type { AppRepository, Caller } from '../core/app.ts'
import type { Directory } from '../core/directory.ts'
import { GatewayError } from '../core/errors.ts'
import type { AppId, AppRef } from '../core/ids.ts'
import { AppIdSchema } from '../core/ids.ts'
import type { Admission } from '../streams/hub.ts'
import type { StreamTokens } from '../streams/tokens.ts'
import type { Authenticator } from './authentication.ts'

/** Who wants to open a stream, as the request says. */
export type StreamRequest = {
  /** From the path, not validated. */
  readonly appId: string
  /** The `Authorization` header. */
  readonly authorization?: string | undefined
  /** A stream token, from the subprotocol or the query. */
  readonly token?: string | undefined
  /** The `Origin` header, which browsers send. */
  readonly origin?: string | undefined
}

export type StreamAuthenticatorOptions = {
  readonly authenticator: Pick<Authenticator, 'requireApp'>
  readonly apps: Pick<AppRepository, 'find' | 'hasKey'>
  readonly directory: Pick<Directory, 'app'>
  readonly tokens: StreamTokens
  /** Where the pages of browsers must come from, as `https://host[:port]`; any when it is empty or absent. */
  readonly origins?: readonly string[]
}

/** Decides whose stream a request may open. */
export class StreamAuthenticator {
  readonly #options: StreamAuthenticatorOptions

  constructor(options: StreamAuthenticatorOptions) {
    this.#options = options
  }

  /**
   * The app of the path and the key behind the request, when it has a token for the app or a key that
   * counts for it. Rejects with `unauthorized`, `app_not_found` or `origin_refused`. A token decides alone,
   * and is used up.
   */
  async authenticate({ appId, authorization, token, origin }: StreamRequest): Promise<Admission> {
    this.#checkOrigin(origin)
    const caller =
      token === undefined
        ? await this.#options.authenticator.requireApp(authorization, appId)
        : await this.#redeem(appId, token)
    return { app: await this.#find(caller.appId), keyId: caller.keyId }
  }

  /** Without an origin it is no browser, which could claim any. */
  #checkOrigin(origin: string | undefined): void {
    const { origins = [] } = this.#options
    if (origin === undefined || origins.length === 0 || origins.includes(origin.toLowerCase())) return
    throw new GatewayError('origin_refused')
  }

  /** A token is worth no more than the key that it was issued for. */
  async #redeem(text: string, token: string): Promise<Caller> {
    const { tokens, apps } = this.#options
    const appId = v.safeParse(AppIdSchema, text)
    const caller = appId.success ? await tokens.redeem(appId.output, token) : undefined
    const keyId = caller?.keyId
    if (caller === undefined || (keyId !== undefined && !(await apps.hasKey({ appId: caller.appId, keyId })))) {
      throw new GatewayError('unauthorized', {
        detail: 'The stream token is used, expired, of another app, or of a key that was revoked.',
      })
    }
    return caller
  }

  async #find(appId: AppId): Promise<AppRef> {
    const known = this.#options.directory.app(appId)
    if (known !== undefined) return known
    // The directory of another instance hears of a new app a moment later: the records decide.
    const app = await this.#options.apps.find(appId)
    if (app === undefined) throw new GatewayError('app_not_found')
    return { appId: app.appId, shard: app.shard }
  }
}
