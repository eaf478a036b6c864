import type { Clock } from '../core/clock.ts'
import type { Endpoint, EndpointCredentials, EndpointRepository } from '../core/endpoint.ts'
import { GatewayError, isGatewayError } from '../core/errors.ts'
import type { EndpointId } from '../core/ids.ts'
import type { Credentials } from './attempt.ts'
import { toKeyring } from './signature.ts'

/** Whose credentials, and to which URLs they are to go. */
export type CredentialOwner = Pick<Endpoint, 'endpointId' | 'url' | 'failoverUrl'>

/** What was read of an endpoint, and when that began, in monotonic milliseconds. */
type Known = {
  readonly credentials: Credentials | undefined
  /** What they are for. */
  readonly urls: Pick<EndpointCredentials, 'url' | 'failoverUrl'> | undefined
  readonly readAt: number
}

type Entry = {
  known: Known | undefined
  reading: Promise<Known> | undefined
  /** The records did not answer: until then what is known must do. */
  awayUntil: number
}

/** Short, because a revoked secret goes on signing for as long, and a rotation is answered after as long. */
export const CREDENTIALS_AGE_MAX_MS = 1_000
/**
 * While the records are away nobody can revoke a secret there either, and events would expire for want of a
 * signature. Only a process that is cut off from records that others reach signs with a revoked one, and
 * no longer than this.
 */
const STALE_MAX_MS = 600_000
/** How long records that do not answer are left alone. */
const AWAY_MS = 1_000
const ENTRIES_MAX = 10_000
/** Why the wait for a read ends; made once, because an exception of its own for each costs more than the rest. */
const KNOWN = new Error('the credentials are known')

/**
 * Endpoints' credentials, read from the records at most once a second for each, by one reader at a time.
 * The age counts from the beginning of the read, so that what was revoked before is never used after;
 * a read that took longer than that counts as none. Records that are away, or so slow, do not stop
 * deliveries: then what was last read is used for some minutes. What was read together with other URLs than the
 * owner's is never used: the headers may be another receiver's secrets.
 */
export class CredentialCache {
  readonly #endpoints: Pick<EndpointRepository, 'credentialsOf'>
  readonly #clock: Pick<Clock, 'monotonic' | 'wait'>
  /** In the order of their first question, so that the first is the oldest. */
  readonly #entries = new Map<EndpointId, Entry>()

  constructor(endpoints: Pick<EndpointRepository, 'credentialsOf'>, clock: Pick<Clock, 'monotonic' | 'wait'>) {
    this.#endpoints = endpoints
    this.#clock = clock
  }

  /**
   * Undefined when the endpoint was removed. Rejects with the repository's error, and with
   * `store_unavailable` when its answer comes too late, if nothing is known from before, and when the endpoint
   * has other URLs by now, or has still: whoever asked is to find out anew what they are, a moment later.
   */
  async of(owner: CredentialOwner): Promise<Credentials | undefined> {
    const entry = this.#entryOf(owner.endpointId)
    const known = entry.known !== undefined && areFor(entry.known, owner) ? entry.known : undefined
    if (known !== undefined && this.#ageOf(known) < CREDENTIALS_AGE_MAX_MS) return known.credentials
    const usable = known !== undefined && this.#ageOf(known) < STALE_MAX_MS ? known : undefined
    if (usable !== undefined && this.#clock.monotonic() < entry.awayUntil) return usable.credentials
    const found = await this.#findNow(owner, entry).catch((error: unknown) => {
      if (usable === undefined || !isGatewayError(error, 'store_unavailable')) throw error
      entry.awayUntil = this.#clock.monotonic() + AWAY_MS
      return usable
    })
    if (!areFor(found, owner)) throw new GatewayError('store_unavailable')
    return found.credentials
  }

  async #findNow(owner: CredentialOwner, entry: Entry): Promise<Known> {
    const found = await this.#readWithin(owner.endpointId, entry)
    // A read that others began may be from before the change that the owner knows of.
    return areFor(found, owner) ? found : this.#readWithin(owner.endpointId, entry)
  }

  #ageOf({ readAt }: Known): number {
    return this.#clock.monotonic() - readAt
  }

  #entryOf(endpointId: EndpointId): Entry {
    const existing = this.#entries.get(endpointId)
    if (existing !== undefined) return existing
    const entry: Entry = { known: undefined, reading: undefined, awayUntil: 0 }
    this.#entries.set(endpointId, entry)
    if (this.#entries.size > ENTRIES_MAX) this.#dropOldest()
    return entry
  }

  /** What is read now, unless that takes too long to be of use; then the read goes on for those who ask next. */
  async #readWithin(endpointId: EndpointId, entry: Entry): Promise<Known> {
    entry.reading ??= this.#read(endpointId, entry)
    const patience = new AbortController()
    const tooLate = this.#clock.wait(CREDENTIALS_AGE_MAX_MS, patience.signal).then(() => {
      throw new GatewayError('store_unavailable')
    })
    // It rejects when the race is over, too.
    tooLate.catch(() => undefined)
    try {
      const known = await Promise.race([entry.reading, tooLate])
      if (this.#ageOf(known) < CREDENTIALS_AGE_MAX_MS) return known
      throw new GatewayError('store_unavailable')
    } finally {
      patience.abort(KNOWN)
    }
  }

  async #read(endpointId: EndpointId, entry: Entry): Promise<Known> {
    const readAt = this.#clock.monotonic()
    try {
      const found = await this.#endpoints.credentialsOf(endpointId)
      const credentials = found === undefined ? undefined : { keys: toKeyring(found.secrets), headers: found.headers }
      entry.known = { credentials, urls: found, readAt }
      return entry.known
    } finally {
      entry.reading = undefined
    }
  }

  #dropOldest(): void {
    const oldest = this.#entries.keys().next()
    if (oldest.done !== true) this.#entries.delete(oldest.value)
  }
}

/** Also when there are none: that the endpoint is no more is true of any URL. */
const areFor = ({ urls }: Known, { url, failoverUrl }: CredentialOwner): boolean =>
  urls === undefined || (urls.url === url && urls.failoverUrl === failoverUrl)
