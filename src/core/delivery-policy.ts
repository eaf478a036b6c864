/**
 * How long an event is of use to a receiver:
 *
 * - `act_now`: somebody must do something now, because a phone rings;
 * - `state`: what a call is like at this moment, replaced by the next change;
 * - `record`: what has happened, as true tomorrow as it is today.
 */
export const DELIVERY_CLASSES = ['act_now', 'state', 'record'] as const
export type DeliveryClass = (typeof DELIVERY_CLASSES)[number]

/** For how long, how often and how patiently an event is sent. */
export type DeliveryPolicy = {
  /** From the moment that the event is in its app's log, whenever it is taken from there; no attempt begins later. */
  readonly ttlMs: number
  /** The longest wait before each retry, in order; the last one repeats until the event expires. */
  readonly delaysMs: readonly number[]
  /** What one attempt may take, from the name's resolution to the answer's status. */
  readonly timeoutMs: number
}

/** What an endpoint has otherwise, by event type (`call.ringing`), prefix (`call.*`) or `*` for all. */
export type PolicyOverrides = Readonly<Record<string, Partial<DeliveryPolicy>>>

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

export const DEFAULT_POLICIES: Readonly<Record<DeliveryClass, DeliveryPolicy>> = {
  act_now: {
    ttlMs: 30 * SECOND,
    delaysMs: [250, 500, SECOND, 2 * SECOND, 4 * SECOND, 8 * SECOND],
    timeoutMs: 5 * SECOND,
  },
  state: {
    ttlMs: 5 * MINUTE,
    delaysMs: [500, SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 30 * SECOND, MINUTE, 2 * MINUTE],
    timeoutMs: 10 * SECOND,
  },
  record: {
    ttlMs: 72 * HOUR,
    delaysMs: [
      SECOND,
      5 * SECOND,
      30 * SECOND,
      2 * MINUTE,
      10 * MINUTE,
      30 * MINUTE,
      HOUR,
      3 * HOUR,
      6 * HOUR,
      12 * HOUR,
      12 * HOUR,
      24 * HOUR,
    ],
    timeoutMs: 15 * SECOND,
  },
}

/** Bounds of what an endpoint may ask for. */
export const POLICY_LIMITS = {
  ttlMs: { min: SECOND, max: 72 * HOUR },
  delayMs: { min: 100, max: 24 * HOUR },
  delays: 20,
  timeoutMs: { min: 500, max: 15 * SECOND },
} as const

const ACT_NOW: ReadonlySet<string> = new Set(['call.initiating', 'call.alerting', 'call.ringing'])

/** The class of an event type. A call's end is a record; whatever is not about a call is one, too. */
export function classOf(type: string): DeliveryClass {
  if (ACT_NOW.has(type)) return 'act_now'
  return type.startsWith('call.') && type !== 'call.released' ? 'state' : 'record'
}

/**
 * The policy of an event type at an endpoint: for each part the most specific override that has it (the
 * type itself, then the longest prefix), otherwise the default of the class.
 */
export function policyFor(type: string, overrides: PolicyOverrides | undefined): DeliveryPolicy {
  const base = DEFAULT_POLICIES[classOf(type)]
  if (overrides === undefined) return base
  const matching = Object.keys(overrides)
    .filter((pattern) => matchesType(pattern, type))
    .toSorted((a, b) => literalLength(a) - literalLength(b))
  return matching.reduce<DeliveryPolicy>((policy, pattern) => ({ ...policy, ...overrides[pattern] }), base)
}

/** Of the patterns that match a type, the most specific is the one that spells out most of it. */
const literalLength = (pattern: string): number => (pattern.endsWith('*') ? pattern.length - 1 : pattern.length)

/** Whether `pattern` (`call.ringing`, `call.*`, `*`) names `type`. */
export const matchesType = (pattern: string, type: string): boolean =>
  pattern === '*' || pattern === type || (pattern.endsWith('.*') && type.startsWith(pattern.slice(0, -1)))
