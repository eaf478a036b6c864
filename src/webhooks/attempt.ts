import type { KeyObject } from 'node:crypto'
import type { AttemptTiming } from '../core/delivery-record.ts'
import type { EndpointId } from '../core/ids.ts'
import type { Outcome } from './outcome.ts'

/** The keys that sign an endpoint's requests, those of a kind newest first; each adds a signature. */
export type Keyring = {
  /** `v1` */
  readonly symmetric: readonly KeyObject[]
  /** `v1a` */
  readonly asymmetric: readonly KeyObject[]
}

/** What an endpoint's requests are signed and completed with. */
export type Credentials = {
  readonly keys: Keyring
  /** The endpoint's own headers, which replace none of ours. */
  readonly headers: Readonly<Record<string, string>>
}

/** Where and as whom to send. */
export type AttemptTarget = {
  readonly endpointId: EndpointId
  readonly url: string
  readonly failoverUrl?: string
  /**
   * As whom to send: asked for each POST, and again while it waits for a connection, so that what was revoked
   * meanwhile signs nothing. Undefined when the endpoint is no more: then nothing is sent.
   */
  readonly credentials: () => Promise<Credentials | undefined>
  /** PEM; instead of the public authorities. */
  readonly caCertificates?: string
}

/** What to send. */
export type AttemptMessage = {
  readonly messageId: string
  readonly payload: string
  /** From 1. */
  readonly number: number
  /** For everything together, the failover included. */
  readonly timeoutMs: number
  /** No POST begins later, counted from now: not the second one, and not one that waited for its credentials. */
  readonly expiresInMs?: number
  /** The `callhalf-*` headers but `callhalf-attempt`, which counts the failover's request, too. */
  readonly headers: Readonly<Record<string, string>>
}

/** What came of one POST. */
export type AttemptReport = {
  readonly target: 'primary' | 'failover'
  /** Milliseconds since the epoch. */
  readonly startedAt: number
  readonly outcome: Outcome
  readonly timing: AttemptTiming
  readonly remoteAddress?: string
  readonly reused?: boolean
  /** The first 4 kB of the answer, as text. */
  readonly response?: string
}
