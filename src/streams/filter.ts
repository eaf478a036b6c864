import * as v from 'valibot'
import { EVENT_PREFIXES, EVENT_TYPES } from '../core/app-event.ts'
import type { CallState } from '../core/call.ts'
import { matchesType } from '../core/delivery-policy.ts'
import type { SubscriberId } from '../core/ids.ts'
import { SubscriberIdSchema } from '../core/ids.ts'
import type { EventAbout } from './frame.ts'

const SUBSCRIBERS_MAX = 1_000
const PATTERNS_MAX = 50

/** One entry of `event_types`. */
const EventTypePatternSchema = v.picklist(
  ['*', ...EVENT_PREFIXES, ...EVENT_TYPES],
  `must be one of ${EVENT_TYPES.join(', ')} or a prefix of them such as call.*`,
)

/** Which events a client wants; what is absent restricts nothing. */
export const StreamFilterSchema = v.pipe(
  v.strictObject({
    subscriber_ids: v.optional(
      v.pipe(
        v.array(SubscriberIdSchema),
        v.minLength(1, 'must have at least one'),
        v.maxLength(SUBSCRIBERS_MAX, `must have ${SUBSCRIBERS_MAX} at most`),
        v.description('Of events about a subscriber, only those about one of these; others are not restricted'),
      ),
    ),
    event_types: v.optional(
      v.pipe(
        v.array(EventTypePatternSchema),
        v.minLength(1, 'must have at least one'),
        v.maxLength(PATTERNS_MAX, `must have ${PATTERNS_MAX} at most`),
        v.description('Event types, exact or by prefix (`call.*`)'),
      ),
    ),
  }),
  v.metadata({ ref: 'StreamFilter', title: 'Which events to send' }),
)
export type StreamFilter = v.InferOutput<typeof StreamFilterSchema>

/** A client's filter, ready to be asked for every event. */
export class Filter {
  readonly #subscriberIds: ReadonlySet<SubscriberId> | undefined
  readonly #patterns: readonly string[] | undefined
  /** Of the types asked for so far: there are two dozen. */
  readonly #matched = new Map<string, boolean>()

  constructor({ subscriber_ids, event_types }: StreamFilter) {
    this.#subscriberIds = subscriber_ids && new Set(subscriber_ids)
    this.#patterns = event_types
  }

  /** Whether the client wants the event. */
  wants({ event, subscriberId }: Pick<EventAbout, 'event' | 'subscriberId'>): boolean {
    const isOthers =
      subscriberId !== undefined && this.#subscriberIds !== undefined && !this.#subscriberIds.has(subscriberId)
    return !isOthers && this.#wantsType(event)
  }

  /** Whether a snapshot for the client has the call: when the client wants the event of its present state. */
  wantsCall({ state, subscriberId }: { readonly state: CallState; readonly subscriberId: SubscriberId }): boolean {
    return this.wants({ event: `call.${state}`, subscriberId })
  }

  #wantsType(type: string): boolean {
    if (this.#patterns === undefined) return true
    const known = this.#matched.get(type)
    if (known !== undefined) return known
    const isMatching = this.#patterns.some((pattern) => matchesType(pattern, type))
    this.#matched.set(type, isMatching)
    return isMatching
  }
}
