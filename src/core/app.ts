import type { AppId, Shard } from './ids.ts'

/** A third-party application. */
export type App = {
  readonly appId: AppId
  readonly shard: Shard
  readonly name: string
  readonly createdAt: number
}

/** An API key without the key: only its hash is stored. */
export type ApiKey = {
  readonly keyId: string
  readonly appId: AppId
  readonly name?: string
  /** The first characters of the key, to recognise it. */
  readonly prefix: string
  readonly createdAt: number
}

/**
 * In whose name a request is made: an app's, proven by one of its keys, or by the admin key when there is
 * no `keyId`.
 */
export type Caller = { readonly appId: AppId; readonly keyId?: string }

/** A new key; the only time that the text exists. */
export type IssuedApiKey = ApiKey & { readonly apiKey: string }

export interface AppRepository {
  /** Creates the app and its first key. */
  create(app: {
    readonly name: string
    readonly shard: Shard
  }): Promise<{ readonly app: App; readonly key: IssuedApiKey }>
  list(): Promise<readonly App[]>
  find(appId: AppId): Promise<App | undefined>
  /** Removes the app with its keys, assignments and endpoints; false when there is none. */
  remove(appId: AppId): Promise<boolean>
  issueKey(appId: AppId, name: string | undefined): Promise<IssuedApiKey>
  listKeys(appId: AppId): Promise<readonly ApiKey[]>
  revokeKey(appId: AppId, keyId: string): Promise<boolean>
  /** Which key a presented text is, and of which app; compares hashes in constant time. */
  authenticate(apiKey: string): Promise<Required<Caller> | undefined>
  /** Whether the app still has this key: for what was begun with a key and goes on without its text. */
  hasKey(key: Required<Caller>): Promise<boolean>
}
