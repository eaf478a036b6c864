import type { AppId } from './ids.ts'

/** What became of an earlier request with the same key. */
export type IdempotencyClaim =
  /** This request is the first: do the work, then `complete`, or `abandon` when nothing was done. */
  | { readonly kind: 'first' }
  /** The first one is finished: answer the same again. */
  | { readonly kind: 'replay'; readonly status: number; readonly body: string }
  /** The first one has not finished, since `startedAt`; it may be running or its process may have died. */
  | { readonly kind: 'unfinished'; readonly startedAt: number; readonly request: string }
  /** The key was used for a different request. */
  | { readonly kind: 'mismatch' }

/**
 * The record of requests that must not be carried out twice. A claim is stored before the work starts,
 * so that a crash leaves `unfinished` and never an invitation to repeat it.
 */
export interface IdempotencyStore {
  /** `request` is the canonical request, compared by its hash and kept to find its effect after a crash. */
  claim(appId: AppId, key: string, request: string): Promise<IdempotencyClaim>
  complete(appId: AppId, key: string, response: { readonly status: number; readonly body: string }): Promise<void>
  /** Forgets the claim: the work had no effect. */
  abandon(appId: AppId, key: string): Promise<void>
}
