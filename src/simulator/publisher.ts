import type { CallDialect } from './call-xml.ts'
import type { CallModel } from './calls.ts'
import type { Conferences } from './conferences.ts'
import type { Delivery } from './delivery.ts'
import { USER_EVENT_TYPES, packageHas, snapshotTypeOf } from './event-types.ts'
import type { EventType, UserEventType } from './event-types.ts'
import { renderNotice, renderUserEvent } from './events.ts'
import type { UserEventData } from './events.ts'
import type { FaultPlan } from './faults.ts'
import type { Notice } from './notice.ts'
import type { Parking } from './parking.ts'
import type { LiveSettings } from './settings.ts'
import type { Subscription, Subscriptions, Target } from './subscriptions.ts'
import type { Timers } from './timers.ts'
import type { User, Users } from './users.ts'

export type PublisherOptions = {
  readonly users: Users
  readonly model: CallModel
  readonly conferences: Conferences
  readonly parking: Parking
  readonly subscriptions: Subscriptions
  readonly delivery: Delivery
  readonly settings: LiveSettings
  readonly faults: FaultPlan
  readonly timers: Timers
}

/** Turns what happens into events for the subscriptions that asked for it. */
export class Publisher {
  readonly #options: PublisherOptions
  /** The last data of user events, which snapshots repeat. */
  readonly #userData = new Map<string, UserEventData>()

  constructor(options: PublisherOptions) {
    this.#options = options
  }

  get dialect(): CallDialect {
    const { countryCode } = this.#options.settings.current
    const { non_ascii_names: nonAsciiNames, extra_elements: extraElements } = this.#options.faults.current
    return { countryCode, nonAsciiNames, extraElements }
  }

  /** Publishes a notice of the call model, to everyone whose subscription covers it. */
  publishNotice(notice: Notice): void {
    const user = this.#options.users.find(notice.userId)
    if (user === undefined) return
    const subscriptions = this.#options.subscriptions.matching(user, notice.type)
    if (subscriptions.length === 0) return
    const [half] = notice.halves
    const publication = {
      type: notice.type,
      userId: notice.userId,
      callId: half?.callId,
      callState: half?.state,
      eventData: renderNotice(notice, this.dialect),
    }
    for (const subscription of subscriptions) this.#options.delivery.publish(subscription, publication)
  }

  /** Publishes an event about a user and keeps its data for snapshots. */
  publishUserEvent(user: User, type: UserEventType, data: UserEventData): number {
    this.#userData.set(dataKey(user.user_id, type), data)
    const subscriptions = this.#options.subscriptions.matching(user, type)
    const eventData = this.#renderUserEvent(user, type)
    for (const subscription of subscriptions) {
      this.#options.delivery.publish(subscription, { type, userId: user.user_id, eventData })
    }
    return subscriptions.length
  }

  /**
   * The state that a new or refreshed subscription starts with: for single users only
   * (XSI Interface Specification 2020.07, p. 347).
   */
  publishSnapshot(subscription: Subscription): void {
    if (subscription.target.type !== 'User') return
    const user = this.#options.users.find(subscription.target.id)
    if (user === undefined) return
    for (const name of subscription.packages) {
      const type = snapshotTypeOf(name)
      if (type !== undefined) this.#publishStateOf(subscription, user, type)
    }
  }

  /** Tells everyone who watches these users to replace what they know of their calls. */
  publishResync(userIds: readonly string[]): void {
    const dropped = new Set(userIds)
    for (const subscription of this.#options.subscriptions.list()) {
      if (!subscription.packages.some((name) => packageHas(name, 'CallSubscriptionResyncEvent'))) continue
      const { target } = subscription
      // A collection is told of the users that had calls; a user subscription is told in any case.
      for (const userId of target.type === 'User' ? [target.id] : dropped) {
        const user = this.#options.users.find(userId)
        if (user === undefined || !covers(target, user)) continue
        this.#publishStateOf(subscription, user, 'CallSubscriptionResyncEvent')
      }
    }
  }

  /** The end of a subscription that the client did not ask for, or did. */
  publishTerminated(subscription: Subscription): void {
    const { target } = subscription
    this.#options.delivery.publish(subscription, {
      type: 'SubscriptionTerminatedEvent',
      userId: target.type === 'User' ? target.id : subscription.ownerId,
      eventData: '',
    })
  }

  /** The notice that describes all calls of a user. */
  stateNotice(user: User, type: 'CallSubscriptionEvent' | 'CallSubscriptionResyncEvent'): Notice {
    const { model, conferences } = this.#options
    const conference = conferences.find(user.user_id)
    return {
      userId: user.user_id,
      type,
      halves: model.callsOf(user.user_id),
      hookStatus: model.hookStatusOf(user.user_id),
      ...(conference === undefined ? {} : { conference }),
    }
  }

  /** Forgets what was published about a user. */
  forgetUser(userId: string): void {
    for (const key of this.#userData.keys()) if (key.startsWith(`${userId}\n`)) this.#userData.delete(key)
  }

  #publishStateOf(subscription: Subscription, user: User, type: EventType): void {
    const userId = user.user_id
    if (type === 'CallSubscriptionEvent' || type === 'CallSubscriptionResyncEvent') {
      const eventData = renderNotice(this.stateNotice(user, type), this.dialect)
      return this.#options.delivery.publish(subscription, { type, userId, eventData })
    }
    if (type === 'CallParkedAgainstEvent') {
      const parkedParty = this.#options.parking.parkedAgainst(userId)
      const notice: Notice = { userId, type, halves: [], ...(parkedParty === undefined ? {} : { parkedParty }) }
      return this.#options.delivery.publish(subscription, {
        type,
        userId,
        eventData: renderNotice(notice, this.dialect),
      })
    }
    const eventData = isUserEvent(type) ? this.#renderUserEvent(user, type) : ''
    this.#options.delivery.publish(subscription, { type, userId, eventData })
  }

  #renderUserEvent(user: User, type: UserEventType): string {
    // The agent's snapshot shows the state that the last agent event told.
    const key = dataKey(user.user_id, type === 'AgentSubscriptionEvent' ? 'AgentStateEvent' : type)
    const { plainTimestamps } = this.#options.settings.current
    return renderUserEvent(type, this.#userData.get(key) ?? {}, { now: this.#options.timers.now(), plainTimestamps })
  }
}

const dataKey = (userId: string, type: UserEventType): string => `${userId}\n${type}`
const isUserEvent = (type: EventType): type is UserEventType => USER_EVENT_TYPES.some((known) => known === type)

function covers(target: Target, user: User): boolean {
  if (target.type === 'User') return target.id === user.user_id
  if (target.type === 'Group') return target.id === user.group_id && target.parentId === user.enterprise_id
  return target.type === 'System' || target.id === user.enterprise_id
}
