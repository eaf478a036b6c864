import type { Eligibility } from './eligibility.ts'

/** What a provider is asked to do with numbers. `begin` with its own numbers, `port` with other carriers'. */
export const PROVIDER_ACTIONS = ['begin', 'port', 'enable', 'change', 'move', 'end'] as const
export type ProviderAction = (typeof PROVIDER_ACTIONS)[number]

/** What an adapter can do; the engine asks for nothing else. */
export type ProviderCapabilities = {
  readonly actions: ReadonlySet<ProviderAction>
  /** Whether a repetition with the same idempotency key is answered like the first, and does nothing. */
  readonly isIdempotent: boolean
  /** Whether a request can be found by its idempotency key, after an attempt whose outcome is unknown. */
  readonly canFind: boolean
  readonly canCancel: boolean
  readonly judgesEligibility: boolean
  readonly batchMax: number
}

/** What an adapter is called, for people. */
type ProviderAbout = {
  readonly name: string
  readonly description: string
  /** Of the adapter: `major.minor.patch`. */
  readonly version: string
}

/** One number of a request. */
export type ProviderLine = {
  readonly e164: string
  /** The provider's own reference of the line, once it has given one. */
  readonly providerRef?: string
  /** What the line is to be like: features, location, losing carrier, the caller's own id … */
  readonly attributes: Readonly<Record<string, unknown>>
}

export type ProviderRequest = {
  readonly action: ProviderAction
  readonly productId: string
  /** Constant over all attempts; the provider must never carry it out twice. */
  readonly idempotencyKey: string
  readonly lines: readonly ProviderLine[]
}

/** What became of one line. */
export type LineOutcome =
  | { readonly e164: string; readonly kind: 'done'; readonly providerRef?: string }
  /** `pending`: the provider waits for somebody else, as a port does for the losing carrier. */
  | { readonly e164: string; readonly kind: 'pending'; readonly focDate?: number }
  | { readonly e164: string; readonly kind: 'rejected'; readonly code: string; readonly message: string }

export type ProviderResult =
  /** Every line has an outcome; when none is `pending`, it is over. */
  | { readonly kind: 'answered'; readonly ref?: string; readonly lines: readonly LineOutcome[] }
  /** It is under way: poll with `ref`, not before `pollAfterMs`. */
  | { readonly kind: 'accepted'; readonly ref: string; readonly pollAfterMs: number }
  /** Not carried out; the same may succeed later. */
  | { readonly kind: 'retry'; readonly reason: string; readonly afterMs?: number }
  /** Not carried out, and never will be. */
  | { readonly kind: 'refused'; readonly code: string; readonly message: string }
  /** Whether it was carried out is not known: never sent again unless the provider is idempotent. */
  | { readonly kind: 'unknown'; readonly reason: string }

/** What goes with each call to a provider. */
export type ProviderContext = {
  readonly attempt: number
  /** Aborts when the call has taken too long. */
  readonly signal: AbortSignal
  /** Keeps what was sent or received, without secrets, as a provider call detail. */
  readonly record: (detail: {
    readonly isResponse: boolean
    readonly content: string
    readonly components?: readonly { readonly key: string; readonly value: string }[]
  }) => Promise<void>
}

/**
 * What a provider tells unasked: that a request stands otherwise than it did. It may come twice, out of order, before
 * the answer to the request itself, and of a request that is long over.
 */
export type ProviderNotice = {
  readonly idempotencyKey: string
  readonly result: Extract<ProviderResult, { kind: 'answered' }>
}

/**
 * A provider of numbers or of services on numbers. Implementations never throw for what a provider answers;
 * they reject only for their own mistakes, which the engine treats as `unknown`.
 */
export interface NumberProvider {
  /** As in a product's `provider`. */
  readonly id: string
  readonly about: ProviderAbout
  readonly capabilities: ProviderCapabilities
  execute(request: ProviderRequest, context: ProviderContext): Promise<ProviderResult>
  /** How a request that was accepted stands. */
  poll(ref: string, request: ProviderRequest, context: ProviderContext): Promise<ProviderResult>
  /** Looks for a request whose outcome is unknown; undefined: the provider never got it. Needs `canFind`. */
  find(request: ProviderRequest, context: ProviderContext): Promise<ProviderResult | undefined>
  /** Asks to abandon a request; the answer says how it stands now. Needs `canCancel`. */
  cancel(ref: string, request: ProviderRequest, context: ProviderContext): Promise<ProviderResult>
  /** Needs `judgesEligibility`. Rejects with `provider_unavailable` or `provider_refused` when there is no judgement. */
  judgeEligibility(e164: string, context: ProviderContext): Promise<Eligibility>
  /**
   * Calls back with what is told unasked, until the returned function is called. The listener says whether it knows
   * the request. A notice that it does not take, or that a crashed process had, is lost: `poll` tells the same.
   * Absent: the provider tells nothing by itself.
   */
  listen?(listener: (notice: ProviderNotice) => Promise<boolean>): () => void
}
