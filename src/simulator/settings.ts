import * as v from 'valibot'
import { parseInput } from '../core/parse-input.ts'

const milliseconds = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(86_400_000))
const seconds = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(2_147_483_647))
const count = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(1_000_000))

/**
 * Everything about the simulated BroadWorks that an operator of a real one configures or that differs
 * between releases. `null` means "never" or "absent". Times are milliseconds unless named otherwise.
 */
const SettingsSchema = v.strictObject({
  /** A channel without a heartbeat for so long is ended (operator's `eventTimeout`). */
  eventTimeoutMs: v.optional(milliseconds, 30_000),
  /** An event not acknowledged for so long is delivered again. */
  ackTimeoutMs: v.optional(milliseconds, 5_000),
  /** Deliveries after the first before the whole channel set is given up as non-responsive. */
  redeliveriesMax: v.optional(count, 2),
  /** Smallest lifetime of channels and subscriptions; a smaller request is raised to it. */
  channelExpiresMinSeconds: v.optional(seconds, 3_600),
  /** Largest lifetime; a larger request is lowered to it. 2147483647 lets clients ask for "never". */
  expiresMaxSeconds: v.optional(seconds, 2_147_483_647),
  /** When set, this lifetime is granted whatever was asked. */
  grantedExpiresSeconds: v.optional(v.nullable(seconds), null),
  /** How long events wait for a channel of a set that has none; afterwards they are lost. */
  retentionWithoutChannelMs: v.optional(milliseconds, 5_000),
  channelsPerSetMax: v.optional(count, 10),
  /** Subscriptions of one subscriber (owner). */
  subscriptionLimit: v.optional(count, 100_000),
  /** A subscribe so soon after the first channel of its set is answered 404. */
  subscribe404Ms: v.optional(milliseconds, 0),
  /** Idle time after which ordinary connections are closed. */
  keepAliveTimeoutMs: v.optional(milliseconds, 4_000),
  /** The snapshot of a new subscription is written before the reply of the POST. */
  snapshotBeforeReply: v.optional(v.boolean(), false),

  /** Ringing longer than this ends in no-answer processing. */
  noAnswerMs: v.optional(milliseconds, 30_000),
  /** Remote parties that are not simulated users answer after this. */
  autoAnswerMs: v.optional(v.nullable(milliseconds), null),
  /** Remote parties that are not simulated users hang up so long after the answer. */
  autoHangupMs: v.optional(v.nullable(milliseconds), null),
  /** A user picks up their own phone so long after a click-to-dial; null: only on command. */
  clickToDialPickupMs: v.optional(v.nullable(milliseconds), 200),
  /** How long a busy tone or announcement plays before the release. */
  treatmentMs: v.optional(milliseconds, 200),
  /** A started recording is pending for so long. */
  recordingStartMs: v.optional(milliseconds, 20),

  /** `xsi1:type` before the namespace declarations, as older releases write it. */
  oldAttributeOrder: v.optional(v.boolean(), false),
  /** Agent timestamps as plain text, as before R19. */
  plainTimestamps: v.optional(v.boolean(), false),
  /** `uuid`, or `counter` for the older `<counter>:<server>`. */
  trackingIdStyle: v.optional(v.picklist(['uuid', 'counter']), 'uuid'),
  /** Value of the `countryCode` attribute of E.164 addresses; null leaves it out. */
  countryCode: v.optional(v.nullable(v.pipe(v.string(), v.regex(/^\d{1,3}$/))), null),
  /** No `targetId` in events of a user that is also the owner of the subscription. */
  omitTargetIdWhenOwner: v.optional(v.boolean(), true),
  /** The call gets another id when the user has picked up a click-to-dial call. */
  clickToDialChangesCallId: v.optional(v.boolean(), false),
  /** A CallUpdatedEvent follows CallOriginatedEvent once the far end rings. */
  callUpdatedOnAlerting: v.optional(v.boolean(), false),
})
export type SimulatorSettings = v.InferOutput<typeof SettingsSchema>

/** The settings in force; they may change between any two requests. */
export class LiveSettings {
  #current: SimulatorSettings
  readonly #followers: ((settings: SimulatorSettings) => void)[] = []

  /** Throws GatewayError `invalid_request` naming the field. */
  constructor(initial: Partial<SimulatorSettings> = {}) {
    this.#current = parseInput(SettingsSchema, initial)
  }

  get current(): SimulatorSettings {
    return this.#current
  }

  /** Calls `follower` now and after every change: for what keeps a copy that it does not read again itself. */
  follow(follower: (settings: SimulatorSettings) => void): void {
    this.#followers.push(follower)
    follower(this.#current)
  }

  /** Replaces the named settings and keeps the others. Throws GatewayError `invalid_request`. */
  update(change: unknown): SimulatorSettings {
    const given = parseInput(v.record(v.string(), v.unknown()), change)
    this.#current = parseInput(SettingsSchema, { ...this.#current, ...given })
    for (const follower of this.#followers) follower(this.#current)
    return this.#current
  }
}
