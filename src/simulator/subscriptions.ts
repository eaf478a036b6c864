import { packageHas } from './event-types.ts'
import type { EventType } from './event-types.ts'
import type { Cancel, Timers } from './timers.ts'
import type { User } from './users.ts'

/** What a subscription watches. */
export type Target =
  | { readonly type: 'User'; readonly id: string }
  | { readonly type: 'Group'; readonly id: string; readonly parentId: string }
  | { readonly type: 'ServiceProvider'; readonly id: string }
  | { readonly type: 'System'; readonly id: string }

export type Subscription = {
  readonly id: string
  /** Who made it: the subscriber. */
  readonly ownerId: string
  readonly target: Target
  /** One package, or the list of an `eventPackageList`. */
  readonly packages: readonly string[]
  readonly isPackageList: boolean
  readonly channelSetId: string
  readonly applicationId: string
  /** Milliseconds since the epoch; Infinity for "never". */
  expiresAt: number
  nextSequence: number
  cancelExpiry: Cancel
}

export type NewSubscription = Omit<Subscription, 'id' | 'expiresAt' | 'nextSequence' | 'cancelExpiry'> & {
  readonly grantedSeconds: number
}

/** Meaning of this many seconds: no end. */
export const NEVER_SECONDS = 2_147_483_647
const SEQUENCE_MAX = 2_147_483_647

export type SubscriptionsOptions = {
  readonly timers: Timers
  readonly newId: () => string
  readonly onExpired: (subscription: Subscription) => void
}

/** The subscriptions, found by id and by the users they watch. */
export class Subscriptions {
  readonly #options: SubscriptionsOptions
  readonly #byId = new Map<string, Subscription>()
  readonly #byTarget = new Map<string, Set<Subscription>>()
  readonly #byIdentity = new Map<string, Subscription>()
  readonly #countByOwner = new Map<string, number>()

  constructor(options: SubscriptionsOptions) {
    this.#options = options
  }

  /** Adds it; one of the same owner, target, event and application is replaced. */
  add(wanted: NewSubscription): Subscription {
    const { grantedSeconds, ...rest } = wanted
    const replaced = this.#byIdentity.get(identityOf(rest))
    if (replaced !== undefined) this.remove(replaced)
    const subscription: Subscription = {
      ...rest,
      id: this.#options.newId(),
      expiresAt: Number.POSITIVE_INFINITY,
      nextSequence: 1,
      cancelExpiry: () => undefined,
    }
    this.#byId.set(subscription.id, subscription)
    this.#byIdentity.set(identityOf(rest), subscription)
    this.#countByOwner.set(rest.ownerId, this.countOf(rest.ownerId) + 1)
    const key = targetKey(rest.target)
    const watching = this.#byTarget.get(key)
    if (watching === undefined) this.#byTarget.set(key, new Set([subscription]))
    else watching.add(subscription)
    this.refresh(subscription, grantedSeconds)
    return subscription
  }

  /** Whether adding this would replace one that exists. */
  isReplacing(wanted: Omit<NewSubscription, 'grantedSeconds'>): boolean {
    return this.#byIdentity.has(identityOf(wanted))
  }

  refresh(subscription: Subscription, grantedSeconds: number): void {
    subscription.cancelExpiry()
    if (grantedSeconds === NEVER_SECONDS) {
      subscription.expiresAt = Number.POSITIVE_INFINITY
      return
    }
    const ms = grantedSeconds * 1000
    subscription.expiresAt = this.#options.timers.now() + ms
    subscription.cancelExpiry = this.#options.timers.after(ms, () => {
      if (this.remove(subscription)) this.#options.onExpired(subscription)
    })
  }

  find(id: string): Subscription | undefined {
    return this.#byId.get(id)
  }

  remove(subscription: Subscription): boolean {
    if (!this.#byId.delete(subscription.id)) return false
    subscription.cancelExpiry()
    this.#byIdentity.delete(identityOf(subscription))
    this.#countByOwner.set(subscription.ownerId, this.countOf(subscription.ownerId) - 1)
    const key = targetKey(subscription.target)
    const watching = this.#byTarget.get(key)
    watching?.delete(subscription)
    if (watching?.size === 0) this.#byTarget.delete(key)
    return true
  }

  /** Those that are told of an event of this type about this user. */
  matching(user: User, type: EventType): readonly Subscription[] {
    const targets: Target[] = [
      { type: 'User', id: user.user_id },
      { type: 'Group', id: user.group_id, parentId: user.enterprise_id },
      { type: 'ServiceProvider', id: user.enterprise_id },
      { type: 'System', id: '' },
    ]
    return targets
      .flatMap((target) => [...(this.#byTarget.get(targetKey(target)) ?? [])])
      .filter((subscription) => subscription.packages.some((name) => packageHas(name, type)))
  }

  list(): IterableIterator<Subscription> {
    return this.#byId.values()
  }

  countOf(ownerId: string): number {
    return this.#countByOwner.get(ownerId) ?? 0
  }

  /** Seconds left, as replies state them. */
  secondsLeft(subscription: Subscription): number {
    if (subscription.expiresAt === Number.POSITIVE_INFINITY) return NEVER_SECONDS
    return Math.max(0, Math.round((subscription.expiresAt - this.#options.timers.now()) / 1000))
  }

  /** The number of the subscription's next event: from 1, and 1 again after 2147483647. */
  static takeSequence(subscription: Subscription): number {
    const sequence = subscription.nextSequence
    subscription.nextSequence = sequence === SEQUENCE_MAX ? 1 : sequence + 1
    return sequence
  }
}

const targetKey = (target: Target): string =>
  target.type === 'Group' ? `Group\n${target.parentId}\n${target.id}` : `${target.type}\n${target.id}`

const identityOf = (
  subscription: Pick<Subscription, 'ownerId' | 'target' | 'packages' | 'isPackageList' | 'applicationId'>,
): string =>
  [
    subscription.ownerId,
    targetKey(subscription.target),
    // A new list replaces the old one, whatever they contain (XSI Interface Specification 2020.07, p. 349).
    subscription.isPackageList ? 'list' : subscription.packages[0],
    subscription.applicationId,
  ].join('\n')
