import type { Clock } from '../core/clock.ts'
import { isGatewayError } from '../core/errors.ts'
import type { NetworkRef, SubscriberId } from '../core/ids.ts'
import type { GenerationStore } from '../core/lease.ts'
import type { Logger } from '../core/logger.ts'
import type { ObservationBody, ObservationSink } from '../core/observation.ts'
import { isAccepted } from './coverage.ts'
import type { EventDocument, EventOrigin } from './channel.ts'
import { KeyedQueue } from './keyed-queue.ts'
import type { BroadsoftMetrics, EventOutcome } from './metrics.ts'
import { normalizeEvent } from './normalize.ts'
import type { XsiEvent } from './parse.ts'

/** What an event led to beyond an observation. */
type IntakeListener = {
  /** An event of the subscription arrived, wanted or not. */
  readonly onSequence: (event: Pick<XsiEvent, 'subscriptionId' | 'targetId' | 'sequenceNumber'>) => void
  /** A snapshot of the subscriber was accepted. */
  readonly onSnapshot: (subscriberId: SubscriberId) => void
  /** Something about the subscriber was lost or cannot be understood: read the calls again. */
  readonly onDoubt: (subscriberId: SubscriberId, reason: 'malformed' | 'undelivered') => void
  readonly onSubscriptionTerminated: (subscriptionId: string, subscriberId: SubscriberId) => void
  /** An event of a subscriber that nobody wants. */
  readonly onUnassigned: (subscriptionId: string) => void
}

export type IntakeOptions = {
  readonly network: NetworkRef
  readonly sink: ObservationSink
  readonly generations: GenerationStore
  readonly isWanted: (subscriberId: SubscriberId) => boolean
  readonly listener: IntakeListener
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: BroadsoftMetrics
  /** Events taken in and not finished, over all channels; at the bound the channels stop reading. */
  readonly pendingMax?: number
}

const PENDING_MAX_DEFAULT = 1000

/**
 * Takes the events of all channels of a network to the sink: in order per subscriber, concurrently over
 * subscribers, acknowledged only once the sink has stored them.
 *
 * What the network is told: 200 when an event is stored, changes nothing, is of nobody's subscriber, or
 * can never be understood; 500 (next channel of the set) when this instance is not the one to store it,
 * because it is draining or its lease is gone; nothing when the store cannot be reached, so that the
 * network delivers it again. An event is never answered 481: that would delete a subscription whose
 * first event overtook the reply that names it (XSI Interface Specification 2020.07, p. 347).
 */
export class Intake {
  readonly #options: IntakeOptions
  readonly #queue: KeyedQueue
  #isDraining = false

  constructor(options: IntakeOptions) {
    this.#options = options
    this.#queue = new KeyedQueue(options.pendingMax ?? PENDING_MAX_DEFAULT)
  }

  /** Resolves once the event is taken in, which waits while too many are pending. */
  async accept(document: EventDocument, origin: EventOrigin): Promise<void> {
    const receivedAt = this.#options.clock.monotonic()
    if (document.type === 'event') {
      const { event } = document
      this.#options.listener.onSequence(event)
      return this.#queue.push(event.targetId, () =>
        this.#settle(event.eventId, receivedAt, origin, () => this.#process(event, origin)),
      )
    }
    const { eventId, targetId, subscriptionId, reason } = document
    return this.#queue.push(targetId ?? eventId, () =>
      this.#settle(eventId, receivedAt, origin, async () => {
        this.#options.log.warn(
          { event_id: eventId, subscription_id: subscriptionId, reason },
          'malformed event dropped',
        )
        if (targetId !== undefined && this.#options.isWanted(targetId)) {
          this.#options.listener.onDoubt(targetId, 'malformed')
        }
        return 'malformed'
      }),
    )
  }

  /** From now on, events that arrive are sent to the next channel of the set. */
  drain(): void {
    this.#isDraining = true
  }

  /** Resolves when every event taken in is finished. */
  whenIdle(): Promise<void> {
    return this.#queue.whenIdle()
  }

  async #settle(
    eventId: string,
    receivedAt: number,
    origin: EventOrigin,
    process: () => Promise<EventOutcome>,
  ): Promise<void> {
    try {
      await this.#answer(eventId, receivedAt, origin, process)
    } finally {
      origin.finished()
    }
  }

  /** Works out what became of an event, and answers accordingly. */
  async #answer(
    eventId: string,
    receivedAt: number,
    origin: EventOrigin,
    process: () => Promise<EventOutcome>,
  ): Promise<void> {
    const { metrics, network } = this.#options
    if (!origin.isCurrent()) return
    const outcome = this.#isDraining || origin.isDraining ? 'rerouted' : await process()
    metrics.events.inc({ network: network.networkId, outcome })
    if (outcome === 'undelivered') {
      metrics.acks.inc({ network: network.networkId, status: 'none' })
      return
    }
    if (!origin.isCurrent()) return
    await origin.acknowledge({ eventId, status: outcome === 'rerouted' ? 500 : 200, receivedAt })
  }

  async #process(event: XsiEvent, origin: EventOrigin): Promise<EventOutcome> {
    const { isWanted, listener, clock, metrics, network, log } = this.#options
    const meaning = normalizeEvent(event, clock.now())
    switch (meaning.kind) {
      case 'observation':
        if (isWanted(event.targetId)) return this.#deliver(event, meaning.body, origin)
        listener.onUnassigned(event.subscriptionId)
        return 'unassigned'
      case 'subscription-terminated':
        listener.onSubscriptionTerminated(event.subscriptionId, event.targetId)
        return 'subscription_ended'
      case 'ignored':
        break
    }
    if (meaning.reason === 'unknown_type') metrics.unknownTypes.inc({ network: network.networkId })
    if (meaning.reason !== 'malformed') return 'ignored'
    log.warn({ event_id: event.eventId, event_type: event.dataType }, 'malformed event dropped')
    if (isWanted(event.targetId)) listener.onDoubt(event.targetId, 'malformed')
    return 'malformed'
  }

  async #deliver(event: XsiEvent, body: ObservationBody, { fence }: EventOrigin): Promise<EventOutcome> {
    const { network, sink, generations, listener, log } = this.#options
    const { subscriptionId, targetId, sequenceNumber, eventId } = event
    try {
      const generation = await generations.generationOf(network, subscriptionId)
      const upstream = { generation, sequence: sequenceNumber }
      const observation = { networkId: network.networkId, subscriberId: targetId, upstream, body }
      const outcome = await sink.deliver(observation, fence)
      if (body.type === 'snapshot' && isAccepted(outcome)) listener.onSnapshot(targetId)
    } catch (error) {
      if (isGatewayError(error, 'fenced', 'draining')) return 'rerouted'
      // Whether the network delivers it again, and when, is not certain: the calls are read again anyway.
      listener.onDoubt(targetId, 'undelivered')
      if (isGatewayError(error, 'store_unavailable')) {
        log.warn({ event_id: eventId, event_type: event.dataType }, 'event not stored, left unacknowledged')
        return 'undelivered'
      }
      // Not acknowledging what fails every time would cost the channel, and with it all other events.
      log.error({ event_id: eventId, event_type: event.dataType, err: error }, 'event could not be processed')
      return 'failed'
    }
    return 'delivered'
  }
}
