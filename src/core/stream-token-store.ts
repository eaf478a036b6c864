import type { AppId } from './ids.ts'

/** Where stream tokens wait for their one use. Only hashes of them are stored. */
export interface StreamTokenStore {
  /** Keeps the hash for `ttlMs`. Rejects with `store_unavailable`. */
  put(tokenHash: string, appId: AppId, ttlMs: number): Promise<void>
  /** Takes the hash out and answers its app: of several attempts, one at most succeeds. */
  take(tokenHash: string): Promise<AppId | undefined>
}
