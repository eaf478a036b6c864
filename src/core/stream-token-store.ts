import type { Caller } from './app.ts'

/** Where stream tokens wait for their one use. Only hashes of them are stored, with who asked for them. */
export interface StreamTokenStore {
  /** Keeps the hash for `ttlMs`. Rejects with `store_unavailable`. */
  put(tokenHash: string, caller: Caller, ttlMs: number): Promise<void>
  /** Takes the hash out and answers who asked for it: of several attempts, one at most succeeds. */
  take(tokenHash: string): Promise<Caller | undefined>
}
