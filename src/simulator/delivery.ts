import type { Channel, Channels } from './channels.ts'
import { setKeyOf } from './channels.ts'
import type { EventType } from './event-types.ts'
import { eventDocument } from './events.ts'
import type { Envelope } from './events.ts'
import type { FaultPlan } from './faults.ts'
import type { ExpiryReason, Ledger, LedgerEntry } from './ledger.ts'
import type { LiveSettings } from './settings.ts'
import { Subscriptions } from './subscriptions.ts'
import type { Subscription } from './subscriptions.ts'
import type { Cancel, Timers } from './timers.ts'

/** One event for one subscription. */
export type Publication = {
  readonly type: EventType
  /** The monitored user. */
  readonly userId: string
  readonly callId?: string | undefined
  readonly callState?: string | undefined
  /** The serialised children of `eventData`. */
  readonly eventData: string
}

export type AckStatus = 200 | 400 | 404 | 481 | 500

export type DeliveryOptions = {
  readonly channels: Channels
  readonly ledger: Ledger
  readonly settings: LiveSettings
  readonly faults: FaultPlan
  readonly timers: Timers
  readonly newId: () => string
  readonly random: () => number
  /** Removes a subscription that the client does not know (status 481). */
  readonly removeSubscription: (subscription: Subscription) => void
}

type Pending = {
  readonly entry: LedgerEntry
  readonly subscription: Subscription
  readonly setKey: string
  readonly envelope: Envelope
  readonly tried: Set<string>
  attempts: number
  /** Where the last emission went; undefined while it waits for a channel. */
  channel: Channel | undefined
  cancel: Cancel
}

/** Bound of unacknowledged events of one set. */
const PENDING_PER_SET_MAX = 100_000

/**
 * Delivers events to channel sets and sees to it that each is acknowledged.
 *
 * An event goes to one channel of its set. Unanswered, answered 500 or 404, or left behind by a channel
 * that ended, it goes with the same eventID to another channel of the set, if there is one. After the
 * last redelivery every channel of the set ends as NonResponsiveChannel. A set without a channel keeps
 * its events for `retentionWithoutChannelMs`; then they are lost, and the ledger says so.
 * (XSD `EventResponseStatusCode`; XSI Interface Specification 2020.07, pp. 344–348, 375.)
 */
export class Delivery {
  readonly #options: DeliveryOptions
  readonly #pending = new Map<string, Pending>()
  readonly #bySet = new Map<string, Set<Pending>>()

  constructor(options: DeliveryOptions) {
    this.#options = options
    options.channels.listen({
      opened: (channel) => this.#sendWaiting(channel),
      closed: (channel) => this.#moveAway(channel),
    })
  }

  publish(subscription: Subscription, publication: Publication): void {
    if (this.#options.random() < this.#options.faults.current.unknown_event_ratio) {
      this.#publish(subscription, {
        type: 'CallHistoryEvent',
        userId: publication.userId,
        eventData: '<xsi:history><xsi:entry>1</xsi:entry></xsi:history>',
      })
    }
    this.#publish(subscription, publication)
  }

  /**
   * Takes the answer to an event. False when this XSP knows nothing of it: the event is unknown, or the
   * channel that it was sent on is somewhere else.
   */
  acknowledge(eventId: string, status: AckStatus, xspIndex: number): boolean {
    const channel = this.#channelHere(eventId, xspIndex)
    if (channel === undefined) return false
    const pending = this.#pending.get(eventId)
    // A second answer to the same event, which duplicates and redeliveries bring, changes nothing.
    if (pending === undefined) return true
    const { entry } = pending
    entry.ack_status = status
    switch (status) {
      case 200:
      case 400:
        entry.acked_at = this.#options.timers.now()
        this.#finish(pending)
        break
      case 481:
        entry.acked_at = this.#options.timers.now()
        this.#finish(pending)
        this.#options.removeSubscription(pending.subscription)
        break
      case 404:
        this.#options.channels.terminate(channel, 'UnknownChannel')
        break
      case 500:
        pending.cancel()
        if (pending.attempts > this.#options.settings.current.redeliveriesMax) this.#expire(pending, 'refused')
        else this.#dispatch(pending)
        break
    }
    return true
  }

  /** Gives up all events of a subscription. */
  forget(subscription: Subscription): void {
    for (const pending of this.#ofSet(setKeyOf(subscription.ownerId, subscription.channelSetId))) {
      if (pending.subscription === subscription) this.#expire(pending, 'subscription_deleted')
    }
  }

  stop(): void {
    for (const pending of this.#pending.values()) this.#expire(pending, 'stopped')
  }

  get pendingCount(): number {
    return this.#pending.size
  }

  #publish(subscription: Subscription, publication: Publication): void {
    const { settings, faults, timers, ledger } = this.#options
    const { omitTargetIdWhenOwner } = settings.current
    const isOwn = subscription.ownerId === publication.userId
    const envelope: Envelope = {
      eventId: this.#options.newId(),
      sequenceNumber: Subscriptions.takeSequence(subscription),
      userId: subscription.ownerId,
      applicationId: subscription.applicationId,
      subscriptionId: subscription.id,
      targetId: isOwn && omitTargetIdWhenOwner ? undefined : publication.userId,
      type: publication.type,
      eventData: publication.eventData,
      extraElements: faults.current.extra_elements,
    }
    const entry: LedgerEntry = {
      event_id: envelope.eventId,
      subscription_id: subscription.id,
      sequence_number: envelope.sequenceNumber,
      user_id: publication.userId,
      call_id: publication.callId ?? null,
      type: publication.type,
      state: publication.callState ?? null,
      created_at: timers.now(),
      emissions: [],
      acked_at: null,
      ack_status: null,
      expired_at: null,
      expired_reason: null,
    }
    ledger.add(entry)
    if (this.#options.random() < faults.current.lose_ratio) {
      entry.expired_at = timers.now()
      entry.expired_reason = 'lost'
      return
    }
    const setKey = setKeyOf(subscription.ownerId, subscription.channelSetId)
    const pending: Pending = {
      entry,
      subscription,
      setKey,
      envelope,
      tried: new Set(),
      attempts: 0,
      channel: undefined,
      cancel: () => undefined,
    }
    const ofSet = this.#bySet.get(setKey) ?? new Set()
    this.#bySet.set(setKey, ofSet)
    this.#pending.set(envelope.eventId, pending)
    ofSet.add(pending)
    if (ofSet.size > PENDING_PER_SET_MAX) this.#expire(pending, 'too_many_pending')
    else this.#dispatch(pending)
  }

  #dispatch(pending: Pending): void {
    const { channels, settings, timers } = this.#options
    const channel = channels.pick(pending.setKey, pending.tried)
    if (channel === undefined) return this.#retain(pending)
    pending.attempts += 1
    pending.channel = channel
    pending.tried.add(channel.id)
    pending.entry.emissions.push({ at: timers.now(), channel_id: channel.id })
    pending.cancel = timers.after(settings.current.ackTimeoutMs, () => this.#onUnanswered(pending))
    channel.stream.writeEvent(eventDocument(pending.envelope, channel.id, settings.current.oldAttributeOrder))
  }

  #onUnanswered(pending: Pending): void {
    const { channels, settings } = this.#options
    if (pending.attempts <= settings.current.redeliveriesMax) return this.#dispatch(pending)
    // All at once, or each would hand its events to the next one that is about to end.
    pending.cancel()
    const ending = channels.inSet(pending.setKey)
    for (const other of this.#ofSet(pending.setKey)) this.#retain(other)
    for (const channel of ending) channels.terminate(channel, 'NonResponsiveChannel')
  }

  #retain(pending: Pending): void {
    const { settings, timers } = this.#options
    pending.cancel()
    pending.channel = undefined
    pending.attempts = 0
    pending.tried.clear()
    pending.cancel = timers.after(settings.current.retentionWithoutChannelMs, () => this.#expire(pending, 'no_channel'))
  }

  #sendWaiting(channel: Channel): void {
    for (const pending of this.#ofSet(setKeyOf(channel.ownerId, channel.channelSetId))) {
      if (pending.channel !== undefined) continue
      pending.cancel()
      this.#dispatch(pending)
    }
  }

  #moveAway(channel: Channel): void {
    for (const pending of this.#ofSet(setKeyOf(channel.ownerId, channel.channelSetId))) {
      if (pending.channel !== channel) continue
      pending.cancel()
      // Its end says nothing about the others of the set.
      pending.attempts = 0
      this.#dispatch(pending)
    }
  }

  #expire(pending: Pending, reason: ExpiryReason): void {
    pending.entry.expired_at = this.#options.timers.now()
    pending.entry.expired_reason = reason
    this.#finish(pending)
  }

  #finish(pending: Pending): void {
    pending.cancel()
    this.#pending.delete(pending.envelope.eventId)
    const ofSet = this.#bySet.get(pending.setKey)
    ofSet?.delete(pending)
    if (ofSet?.size === 0) this.#bySet.delete(pending.setKey)
  }

  /** The newest open channel of this XSP that the event was sent on. */
  #channelHere(eventId: string, xspIndex: number): Channel | undefined {
    const { channels, ledger } = this.#options
    const { emissions = [] } = this.#pending.get(eventId)?.entry ?? ledger.find(eventId) ?? {}
    for (let last = emissions.length - 1; last >= 0; last -= 1) {
      const channel = channels.find(emissions[last]?.channel_id ?? '')
      if (channel?.xspIndex === xspIndex) return channel
    }
    return undefined
  }

  #ofSet(setKey: string): readonly Pending[] {
    return [...(this.#bySet.get(setKey) ?? [])]
  }
}
