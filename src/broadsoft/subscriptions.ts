import type { Clock } from '../core/clock.ts'
import { isGatewayError } from '../core/errors.ts'
import type { SubscriberId } from '../core/ids.ts'
import type { Logger } from '../core/logger.ts'
import { backoffMs, WORK_BACKOFF } from './backoff.ts'
import type { Coverage } from './coverage.ts'
import type { XsiSubscription } from './parse.ts'
import type { GrantedSubscription, SubscriptionRequests } from './subscription-requests.ts'
import { CALL_PACKAGE } from './subscription-requests.ts'
import type { SubscriptionTarget } from './subscription-target.ts'
import { targetKey, targetKeyOf, userTarget } from './subscription-target.ts'
import { WorkQueue } from './work-queue.ts'

export type SubscriptionsOptions = {
  readonly requests: SubscriptionRequests
  readonly channelSetId: string
  /** The one target of a collection scope; undefined: one target per wanted subscriber. */
  readonly collection: SubscriptionTarget | undefined
  readonly coverage: Coverage
  readonly perSecond: number
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
  /** A user's subscription was created or renewed: a snapshot event should follow. `since`: monotonic. */
  readonly onSnapshotDue: (subscriberId: SubscriberId, since: number) => void
  /** The collection's subscription is a new one: every subscriber must be read. */
  readonly onCollectionCreated: () => void
}

type Entry = {
  readonly target: SubscriptionTarget
  isWanted: boolean
  subscriptionId: string | undefined
  /** Grows with each change of `subscriptionId`, so that an older list does not undo it. */
  version: number
  failures: number
}

const CONCURRENCY = 8
/** A subscribe may meet a node that has not heard of the channel yet: 404, for about a second. */
const NOT_FOUND_RETRIES = 5
const NOT_FOUND_RETRY_MS = 1000
/** A subscription that nobody can delete expires by itself, as nobody renews it. */
const DELETE_ATTEMPTS_MAX = 6
const LIFETIME_SECONDS_MIN = 2
const NEVER_SECONDS = 2_147_483_647
const STRANGER = 'stranger '

/**
 * Brings the network's subscriptions to what is wanted and keeps them there: one per wanted subscriber,
 * or one for the collection. Each target is an entry in a queue of due work; a step looks at the entry
 * and does the next thing that is missing (create, renew, delete), then plans the next step: half of the
 * granted lifetime later after a success, by backoff after a failure.
 *
 * Only the keeper (the instance that holds the network's lease for this) renews and deletes. The others
 * create again what ended on one of their channels, if it is missing: the network replaces, so that two
 * instances doing so leave one subscription.
 */
export class Subscriptions {
  readonly #options: SubscriptionsOptions
  readonly #queue: WorkQueue
  readonly #entries = new Map<string, Entry>()
  readonly #keysById = new Map<string, string>()
  readonly #strangerFailures = new Map<string, number>()
  #isKeeper = false

  constructor(options: SubscriptionsOptions) {
    this.#options = options
    this.#queue = new WorkQueue({ clock: options.clock, concurrency: CONCURRENCY, perSecond: options.perSecond })
    if (options.collection !== undefined) this.#entryOf(options.collection)
  }

  /** This instance looks after the network's subscriptions. */
  get isKeeper(): boolean {
    return this.#isKeeper
  }

  /** The subscription that brings the subscriber's events, if it is known here. */
  subscriptionIdFor(subscriberId: SubscriberId): string | undefined {
    const target = this.#options.collection ?? userTarget(subscriberId)
    return this.#entries.get(targetKey(target))?.subscriptionId
  }

  /** Works until `signal` aborts. */
  run(signal: AbortSignal): Promise<void> {
    return this.#queue.run((key) => this.#step(key, signal), signal)
  }

  /** Another instance is the keeper from now on, or nobody. */
  resign(): void {
    this.#isKeeper = false
    this.#queue.clear()
    this.#strangerFailures.clear()
  }

  /**
   * Lists what there is, adopts what fits, marks the rest for deletion, and makes every wanted target
   * due at once: adopted ones are renewed, which gives a snapshot. Rejects when the list fails in a way
   * that may pass.
   */
  async reconcile(signal: AbortSignal): Promise<void> {
    this.#isKeeper = true
    const { versions, listed, adopted } = await this.#takeStock(signal)
    for (const [key, entry] of this.#entries) {
      const isUnlisted = listed !== undefined && !adopted.has(key) && entry.version === (versions.get(key) ?? 0)
      if (isUnlisted) this.#setId(key, entry, undefined)
      entry.failures = 0
      this.#queue.put(key, 0)
    }
    this.#logStock('subscriptions reconciled', listed?.length, adopted.size)
  }

  /**
   * Goes on where another keeper ended, when no event was lost: lists what there is, and renews it when it is
   * due. What is missing is created. Resolves to the subscribers that are not covered yet; undefined when the
   * network cannot list. Rejects when the list fails in a way that may pass.
   */
  async adopt(signal: AbortSignal): Promise<readonly SubscriberId[] | undefined> {
    const { listed, adopted } = await this.#takeStock(signal)
    if (listed === undefined) return undefined
    this.#isKeeper = true
    const missing: SubscriberId[] = []
    for (const [key, entry] of this.#entries) {
      const found = adopted.get(key)
      entry.failures = 0
      if (found !== undefined) {
        const { subscriptionId, expiresSeconds = 0 } = found
        this.#planRenewal(key, { subscriptionId, expiresSeconds })
        continue
      }
      if (entry.target.type === 'user') missing.push(entry.target.userId)
      this.#queue.put(key, 0)
    }
    this.#logStock('subscriptions adopted', listed.length, adopted.size)
    return missing
  }

  /** Compares the network's list with the entries; `adopted` is what fits, by key. */
  async #takeStock(signal: AbortSignal) {
    const versions = new Map([...this.#entries].map(([key, { version }]) => [key, version]))
    const listed = await this.#list(signal)
    const adopted = new Map<string, XsiSubscription>()
    for (const subscription of listed ?? []) {
      const key = targetKeyOf(subscription)
      const entry = key === undefined ? undefined : this.#entries.get(key)
      if (key !== undefined && entry !== undefined && entry.version !== (versions.get(key) ?? 0)) continue
      if (
        key !== undefined &&
        entry !== undefined &&
        entry.isWanted &&
        !adopted.has(key) &&
        this.#isOurs(subscription)
      ) {
        adopted.set(key, subscription)
        this.#setId(key, entry, subscription.subscriptionId)
      } else this.#queue.put(STRANGER + subscription.subscriptionId, 0)
    }
    return { versions, listed, adopted }
  }

  #logStock(message: string, listed: number | undefined, adopted: number): void {
    const wanted = this.#options.coverage.wanted().length
    this.#options.log.info({ listed, adopted, wanted }, message)
  }

  /** Follows a change of the wanted subscribers. */
  change(added: readonly SubscriberId[], removed: readonly SubscriberId[]): void {
    if (this.#options.collection !== undefined) return
    for (const subscriberId of added) {
      const entry = this.#entryOf(userTarget(subscriberId))
      entry.isWanted = true
      if (this.#isKeeper) this.#queue.put(targetKey(entry.target), 0)
    }
    for (const subscriberId of removed) {
      const key = targetKey(userTarget(subscriberId))
      const entry = this.#entries.get(key)
      if (entry === undefined) continue
      entry.isWanted = false
      entry.failures = 0
      if (this.#isKeeper) this.#queue.put(key, 0)
      else this.#drop(key, entry)
    }
  }

  /** Renews the subscriber's subscription for its snapshot; false when only a read can give one. */
  requestSnapshot(subscriberId: SubscriberId, delayMs: number): boolean {
    if (this.#options.collection !== undefined || !this.#isKeeper) return false
    this.#queue.putEarlier(targetKey(userTarget(subscriberId)), delayMs)
    return true
  }

  /** The network ended a subscription (SubscriptionTerminatedEvent); the wanted one is made again. */
  onTerminated(subscriptionId: string, subscriberId: SubscriberId): void {
    const key = this.#keysById.get(subscriptionId) ?? this.#keyFor(subscriberId)
    const entry = this.#entries.get(key)
    if (entry === undefined || !entry.isWanted) return
    // One that is not known here may be what another instance made: then the step only renews ours.
    if (entry.subscriptionId === subscriptionId) this.#setId(key, entry, undefined)
    // Many may end at once; the queue paces them, the jitter spreads what several instances do.
    this.#queue.putEarlier(key, this.#options.random() * 1000)
  }

  /** Events come from a subscription of a subscriber that nobody wants: it was left over. */
  onUnassigned(subscriptionId: string): void {
    if (!this.#isKeeper || this.#options.collection !== undefined || this.#keysById.has(subscriptionId)) return
    this.#queue.putEarlier(STRANGER + subscriptionId, 1000)
  }

  async #step(key: string, signal: AbortSignal): Promise<void> {
    if (key.startsWith(STRANGER)) return this.#removeStranger(key.slice(STRANGER.length), signal)
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    try {
      if (entry.isWanted) await this.#cover(key, entry, signal)
      else await this.#uncover(key, entry, signal)
    } catch (error) {
      if (!signal.aborted) this.#onFailure(key, entry, error)
    }
  }

  async #cover(key: string, entry: Entry, signal: AbortSignal): Promise<void> {
    const { requests, clock, onSnapshotDue, onCollectionCreated } = this.#options
    const since = clock.monotonic()
    if (!this.#isKeeper && (await this.#find(key, entry, signal))) return
    const renewed =
      entry.subscriptionId === undefined ? undefined : await requests.refresh(entry.subscriptionId, signal)
    const granted = renewed ?? (await requests.create(entry.target, signal))
    entry.failures = 0
    this.#setId(key, entry, granted.subscriptionId)
    if (this.#isKeeper) this.#planRenewal(key, granted)
    if (entry.target.type === 'user') onSnapshotDue(entry.target.userId, since)
    else if (renewed === undefined) onCollectionCreated()
  }

  /**
   * Whether the network has the subscription: the keeper may have replaced the one that ended, and a
   * replacement of that would go on for ever.
   */
  async #find(key: string, entry: Entry, signal: AbortSignal): Promise<boolean> {
    const listed = await this.#options.requests.list(entry.target, signal)
    const found = listed.find((subscription) => targetKeyOf(subscription) === key && this.#isOurs(subscription))
    this.#setId(key, entry, found?.subscriptionId)
    return found !== undefined
  }

  async #uncover(key: string, entry: Entry, signal: AbortSignal): Promise<void> {
    if (entry.subscriptionId !== undefined) await this.#options.requests.remove(entry.subscriptionId, signal)
    this.#setId(key, entry, undefined)
    // It may have been wanted again meanwhile; then it is due, and the next step creates it.
    if (!entry.isWanted) this.#drop(key, entry)
  }

  #planRenewal(key: string, { expiresSeconds }: GrantedSubscription): void {
    if (expiresSeconds >= NEVER_SECONDS) return
    // Spread over a tenth, so that what was created together is not renewed together. A server that grants
    // next to nothing must not be asked without end.
    const lifetimeSeconds = Math.max(expiresSeconds, LIFETIME_SECONDS_MIN)
    this.#queue.putEarlier(key, lifetimeSeconds * (0.45 + 0.05 * this.#options.random()) * 1000)
  }

  #onFailure(key: string, entry: Entry, error: unknown): void {
    const { random, log, coverage, collection } = this.#options
    const code = isGatewayError(error) ? error.code : 'internal'
    entry.failures += 1
    if (!entry.isWanted) {
      if (entry.failures >= DELETE_ATTEMPTS_MAX) return this.#drop(key, entry)
      return this.#queue.putEarlier(key, backoffMs(entry.failures, random(), WORK_BACKOFF))
    }
    if (code === 'subscriber_not_found' && entry.failures <= NOT_FOUND_RETRIES) {
      return this.#queue.putEarlier(key, NOT_FOUND_RETRY_MS)
    }
    const retryMs = backoffMs(entry.failures, random(), WORK_BACKOFF)
    this.#queue.putEarlier(key, retryMs)
    log.warn({ target: entry.target.type, code, failures: entry.failures, retry_ms: retryMs }, 'subscribing failed')
    if (entry.target.type === 'user') coverage.fail(entry.target.userId, code)
    else if (collection !== undefined) for (const id of coverage.wanted()) coverage.fail(id, code)
  }

  async #removeStranger(subscriptionId: string, signal: AbortSignal): Promise<void> {
    // Adopted or created in the meantime.
    if (this.#keysById.has(subscriptionId)) return
    try {
      await this.#options.requests.remove(subscriptionId, signal)
      this.#strangerFailures.delete(subscriptionId)
    } catch (error) {
      if (signal.aborted) return
      const failures = (this.#strangerFailures.get(subscriptionId) ?? 0) + 1
      this.#strangerFailures.set(subscriptionId, failures)
      if (failures < DELETE_ATTEMPTS_MAX) {
        const retryMs = backoffMs(failures, this.#options.random(), WORK_BACKOFF)
        return this.#queue.putEarlier(STRANGER + subscriptionId, retryMs)
      }
      this.#strangerFailures.delete(subscriptionId)
      const code = isGatewayError(error) ? error.code : 'internal'
      this.#options.log.warn({ subscription_id: subscriptionId, code }, 'left-over subscription not deleted')
    }
  }

  /**
   * Our subscriptions; undefined when the network cannot list them, and then every target is created
   * again, which replaces. Users are always listed: they may be left over from another scope.
   */
  async #list(signal: AbortSignal): Promise<readonly XsiSubscription[] | undefined> {
    const { requests, collection, log } = this.#options
    try {
      const users = await requests.list(undefined, signal)
      return collection === undefined ? users : [...users, ...(await requests.list(collection, signal))]
    } catch (error) {
      if (!isGatewayError(error, 'provider_refused', 'protocol_error', 'subscriber_not_found')) throw error
      log.warn({ code: error.code, detail: error.detail }, 'subscriptions cannot be listed')
      return undefined
    }
  }

  #isOurs({ channelSetId, packages }: XsiSubscription): boolean {
    return channelSetId === this.#options.channelSetId && packages.length === 1 && packages[0] === CALL_PACKAGE
  }

  #entryOf(target: SubscriptionTarget): Entry {
    const key = targetKey(target)
    const entry = this.#entries.get(key) ?? {
      target,
      isWanted: true,
      subscriptionId: undefined,
      version: 0,
      failures: 0,
    }
    this.#entries.set(key, entry)
    return entry
  }

  #keyFor(subscriberId: SubscriberId): string {
    return targetKey(this.#options.collection ?? userTarget(subscriberId))
  }

  #setId(key: string, entry: Entry, subscriptionId: string | undefined): void {
    if (entry.subscriptionId === subscriptionId) return
    if (entry.subscriptionId !== undefined) this.#keysById.delete(entry.subscriptionId)
    if (subscriptionId !== undefined) this.#keysById.set(subscriptionId, key)
    entry.subscriptionId = subscriptionId
    entry.version += 1
  }

  #drop(key: string, entry: Entry): void {
    this.#setId(key, entry, undefined)
    this.#entries.delete(key)
    this.#queue.remove(key)
  }
}
