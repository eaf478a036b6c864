import * as v from 'valibot'
import type { AppRepository } from '../core/app.ts'
import type { Directory } from '../core/directory.ts'
import { GatewayError } from '../core/errors.ts'
import type { AppId, AppRef } from '../core/ids.ts'
import { AppIdSchema } from '../core/ids.ts'
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
}

export type StreamAuthenticatorOptions = {
  readonly authenticator: Pick<Authenticator, 'requireApp'>
  readonly apps: Pick<AppRepository, 'find'>
  readonly directory: Pick<Directory, 'app'>
  readonly tokens: StreamTokens
}

/** Decides whose stream a request may open. */
export class StreamAuthenticator {
  readonly #options: StreamAuthenticatorOptions

  constructor(options: StreamAuthenticatorOptions) {
    this.#options = options
  }

  /**
   * The app of the path, when the request has a token for it or a key that counts for it. Rejects with
   * `unauthorized` or `app_not_found`. A token decides alone, and is used up.
   */
  async authenticate({ appId: text, authorization, token }: StreamRequest): Promise<AppRef> {
    if (token === undefined) return this.#find(await this.#options.authenticator.requireApp(authorization, text))
    const appId = v.safeParse(AppIdSchema, text)
    if (!appId.success || !(await this.#options.tokens.redeem(appId.output, token))) {
      throw new GatewayError('unauthorized', { detail: 'The stream token is used, expired, or of another app.' })
    }
    return this.#find(appId.output)
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
