import * as v from 'valibot'
import { EVENT_PREFIXES, EVENT_TYPES } from '../../core/app-event.ts'
import { DirectionSchema } from '../../core/call.ts'
import { POLICY_LIMITS } from '../../core/delivery-policy.ts'
import type { DeliveryPolicy, PolicyOverrides } from '../../core/delivery-policy.ts'
import { ENDPOINT_LIMITS, SIGNATURE_SCHEMES } from '../../core/endpoint.ts'
import { SubscriberIdSchema } from '../../core/ids.ts'

type Bounds = { readonly min: number; readonly max: number }

/** Milliseconds of a number of seconds that {@link seconds} accepts. */
export const toMs = (value: number): number => Math.round(value * 1_000)
export const toSeconds = (ms: number): number => ms / 1_000

const hasWholeMs = (value: number): boolean => toMs(value) / 1_000 === value

/** A number of seconds with up to three decimals; the bounds are in milliseconds. */
function seconds({ min, max }: Bounds, description: string) {
  const message = `must be a number of seconds from ${min / 1_000} to ${max / 1_000}`
  return v.pipe(
    v.number(message),
    v.minValue(min / 1_000, message),
    v.maxValue(max / 1_000, message),
    v.check(hasWholeMs, 'must have three decimals at most'),
    v.description(description),
  )
}

function wholeNumber({ min, max }: Bounds, description: string) {
  const message = `must be a whole number from ${min} to ${max}`
  return v.pipe(
    v.number(message),
    v.integer(message),
    v.minValue(min, message),
    v.maxValue(max, message),
    v.description(description),
  )
}

const isWithoutRepetition = (items: readonly string[]): boolean => new Set(items).size === items.length

const anyOf = (texts: readonly string[]): string =>
  texts.map((text) => text.replaceAll(/[.*]/g, String.raw`\$&`)).join('|')
const TYPES = anyOf(EVENT_TYPES)
const PATTERNS = anyOf([...EVENT_TYPES, ...EVENT_PREFIXES])
const PATTERN_MESSAGE = `must be an event type such as call.ringing, or a prefix: ${EVENT_PREFIXES.join(', ')}`

export const eventType = v.pipe(
  v.string(),
  v.regex(new RegExp(`^(?:${TYPES})$`), 'must be an event type such as call.ringing'),
)

export const eventTypePattern = v.pipe(
  v.string(),
  v.regex(new RegExp(`^(?:${PATTERNS})$`), PATTERN_MESSAGE),
  v.description(`An event type (\`call.ringing\`) or a prefix (\`${EVENT_PREFIXES.join('`, `')}\`)`),
)

const policyKey = v.pipe(v.string(), v.regex(new RegExp(String.raw`^(?:\*|${PATTERNS})$`), `${PATTERN_MESSAGE}, or *`))

const retryPolicy = v.strictObject({
  ttl_seconds: v.optional(seconds(POLICY_LIMITS.ttlMs, 'No attempt begins later than this after the event was taken')),
  retry_delays_seconds: v.optional(
    v.pipe(
      v.array(seconds(POLICY_LIMITS.delayMs, 'The longest wait; each is shortened at random by up to half')),
      v.minLength(1, 'must have at least one'),
      v.maxLength(POLICY_LIMITS.delays, `must have ${POLICY_LIMITS.delays} at most`),
      v.description('The wait before each retry, in order; the last one repeats'),
    ),
  ),
  timeout_seconds: v.optional(seconds(POLICY_LIMITS.timeoutMs, 'What one attempt may take')),
})

const POLICIES_MAX = 50
const retryPolicies = v.pipe(
  v.record(policyKey, retryPolicy),
  v.maxEntries(POLICIES_MAX, `must have ${POLICIES_MAX} entries at most`),
  v.description(
    'What differs from the defaults, by event type, prefix or `*`; of several that match, the most specific one that has a part decides it',
  ),
)

const METADATA_KEY_MESSAGE = 'must have up to 64 of the characters A-Z, a-z, 0-9, dot, underscore and hyphen'
const metadata = v.pipe(
  v.record(
    v.pipe(v.string(), v.regex(/^[\w.-]{1,64}$/, METADATA_KEY_MESSAGE)),
    v.pipe(v.string(), v.maxLength(500, 'must have 500 characters at most')),
  ),
  v.maxEntries(ENDPOINT_LIMITS.metadataEntries, `must have ${ENDPOINT_LIMITS.metadataEntries} entries at most`),
  v.description('Whatever you want to remember about it'),
)

const headers = v.pipe(
  v.record(v.string(), v.string()),
  v.maxEntries(ENDPOINT_LIMITS.headers, `must have ${ENDPOINT_LIMITS.headers} entries at most`),
  v.description(
    'Sent with every request; never shown again. None may replace a header of ours (`webhook-*`, `callhalf-*`, `content-*`, `host`, `user-agent` …). To be given again, or as `{}`, when `url` or `failover_url` changes to another origin',
  ),
)

const CA_LENGTH_MAX = 32_768
const URL_LENGTH_MAX = 2_048
const PATTERNS_MAX = 50

const url = v.pipe(v.string(), v.minLength(1), v.maxLength(URL_LENGTH_MAX))

/** A signing secret of the caller's own; the length of its bytes is checked where it is used. */
export const ownSecret = v.pipe(
  v.string(),
  v.maxLength(128),
  v.startsWith('whsec_', 'must start with whsec_'),
  v.description('Your own signing secret instead of a generated one: `whsec_` and 24 to 64 bytes in base64'),
)

/** What a webhook can be set to. Each is optional when it is registered and when it is changed. */
export const webhookSettings = {
  url: v.pipe(url, v.description('Where events are sent to: an HTTPS URL')),
  failover_url: v.pipe(url, v.description('Tried within the same attempt when `url` cannot be reached')),
  description: v.pipe(v.string(), v.maxLength(500), v.description('For people; any text')),
  metadata,
  event_types: v.pipe(
    v.array(eventTypePattern),
    v.minLength(1, 'must have at least one'),
    v.maxLength(PATTERNS_MAX, `must have ${PATTERNS_MAX} at most`),
    v.description('Event types to send, exact or by prefix (`call.*`); all if absent'),
  ),
  subscriber_ids: v.pipe(
    v.array(SubscriberIdSchema),
    v.minLength(1, 'must have at least one'),
    v.maxLength(ENDPOINT_LIMITS.subscribers, `must have ${ENDPOINT_LIMITS.subscribers} at most`),
    v.description('Of events about a subscriber, only those about one of these; others are not restricted'),
  ),
  directions: v.pipe(
    v.array(DirectionSchema),
    v.minLength(1, 'must have at least one'),
    v.check((items) => isWithoutRepetition(items), 'must not repeat one'),
    v.description('Of call events, only those of calls in one of these directions'),
  ),
  headers,
  retry_policies: retryPolicies,
  order_hold_seconds: seconds(
    ENDPOINT_LIMITS.orderHoldMs,
    'How long an event of a call that is being retried may hold up the next one of the same call; 10 if absent',
  ),
  coalesce: v.pipe(
    v.boolean(),
    v.description('Leave out a change of a call that a later one has overtaken before it was sent; false if absent'),
  ),
  max_in_flight: wholeNumber(ENDPOINT_LIMITS.maxInFlight, 'Requests at a time; 10 if absent'),
  rate_limit_per_second: wholeNumber(
    ENDPOINT_LIMITS.ratePerSecond,
    'Events sent per second at most, their failovers not counted; no limit if absent',
  ),
  signatures: v.pipe(
    v.array(v.picklist(SIGNATURE_SCHEMES)),
    v.minLength(1, 'must have at least one'),
    v.check((items) => isWithoutRepetition(items), 'must not repeat one'),
    v.description('`v1`: HMAC with the secret (the default); `v1a`: ed25519, verified with `public_key`'),
  ),
  ca_certificates: v.pipe(
    v.string(),
    v.maxLength(CA_LENGTH_MAX, `must have ${CA_LENGTH_MAX} characters at most`),
    v.description('PEM of the authorities to verify its certificate against, instead of the public ones'),
  ),
  enabled: v.boolean(),
}

type RetryPolicies = v.InferOutput<typeof retryPolicies>

export const toPolicies = (policies: RetryPolicies): PolicyOverrides =>
  Object.fromEntries(Object.entries(policies).map(([pattern, policy]) => [pattern, toPolicy(policy)]))

const toPolicy = (policy: v.InferOutput<typeof retryPolicy>): Partial<DeliveryPolicy> => ({
  ...(policy.ttl_seconds !== undefined && { ttlMs: toMs(policy.ttl_seconds) }),
  ...(policy.retry_delays_seconds !== undefined && { delaysMs: policy.retry_delays_seconds.map(toMs) }),
  ...(policy.timeout_seconds !== undefined && { timeoutMs: toMs(policy.timeout_seconds) }),
})

export const fromPolicies = (policies: PolicyOverrides): RetryPolicies =>
  Object.fromEntries(Object.entries(policies).map(([pattern, policy]) => [pattern, fromPolicy(policy)]))

const fromPolicy = ({ ttlMs, delaysMs, timeoutMs }: Partial<DeliveryPolicy>): v.InferOutput<typeof retryPolicy> => ({
  ...(ttlMs !== undefined && { ttl_seconds: toSeconds(ttlMs) }),
  ...(delaysMs !== undefined && { retry_delays_seconds: delaysMs.map(toSeconds) }),
  ...(timeoutMs !== undefined && { timeout_seconds: toSeconds(timeoutMs) }),
})
