import * as v from 'valibot'
import { parseInput } from '../core/parse-input.ts'

const positive = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1_000_000))
const ratio = v.pipe(v.number(), v.minValue(0), v.maxValue(1))

/** What goes wrong on purpose. The names are those of the control API. */
const FaultsSchema = v.strictObject({
  /** Every document is cut into pieces of 1 to `max_bytes` bytes, each its own HTTP chunk. */
  split: v.optional(v.nullable(v.strictObject({ mode: v.literal('bytes'), max_bytes: positive })), null),
  /** So many documents are collected into one write (flushed after 50 ms at the latest). */
  join: v.optional(v.pipe(positive, v.maxValue(100)), 1),
  /** Every document is written so much later. */
  delay_ms: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(600_000)), 0),
  /** Every so many events (counted over all channels) the socket breaks in the middle of one. */
  drop_socket_every: v.optional(v.nullable(positive), null),
  /** Nothing is written to channels any more, while every PUT still succeeds. */
  half_open: v.optional(v.boolean(), false),
  /** The next `count` requests get this status. */
  http_burst: v.optional(
    v.nullable(
      v.strictObject({
        status: v.picklist([401, 403, 404, 500, 503]),
        count: positive,
        path_includes: v.optional(v.string()),
        retry_after_seconds: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))),
      }),
    ),
    null,
  ),
  /** The next `count` requests that reach another XSP are sent to this one with a 302. */
  redirect: v.optional(
    v.nullable(
      v.strictObject({
        to_xsp_index: v.pipe(v.number(), v.integer(), v.minValue(0)),
        count: positive,
        path_includes: v.optional(v.string()),
      }),
    ),
    null,
  ),
  /** Share of events that never reach a channel: numbered and in the ledger, but neither sent nor kept. */
  lose_ratio: v.optional(ratio, 0),
  duplicate_ratio: v.optional(ratio, 0),
  reorder_ratio: v.optional(ratio, 0),
  /** Share of events that are preceded by one of a type no XSD knows. */
  unknown_event_ratio: v.optional(ratio, 0),
  extra_elements: v.optional(v.boolean(), false),
  non_ascii_names: v.optional(v.boolean(), false),
})
export type Faults = v.InferOutput<typeof FaultsSchema>
type Burst = NonNullable<Faults['http_burst']>

/** The faults in force, with what is left of the counted ones. */
export class FaultPlan {
  #faults: Faults = parseInput(FaultsSchema, {})
  #eventsWritten = 0

  get current(): Faults {
    return this.#faults
  }

  /** Replaces all faults; fields left out are off. Throws GatewayError `invalid_request`. */
  replace(faults: unknown): Faults {
    this.#faults = parseInput(FaultsSchema, faults)
    this.#eventsWritten = 0
    return this.#faults
  }

  /** The burst that this request falls into, if any; uses up one of its count. */
  takeBurst(path: string): Burst | undefined {
    const burst = this.#faults.http_burst
    if (burst === null || !isMatch(path, burst.path_includes)) return undefined
    this.#faults = { ...this.#faults, http_burst: burst.count > 1 ? { ...burst, count: burst.count - 1 } : null }
    return burst
  }

  /** The XSP that this request is redirected to, if any; uses up one of the count. */
  takeRedirect(path: string, xspIndex: number): number | undefined {
    const redirect = this.#faults.redirect
    if (redirect === null || redirect.to_xsp_index === xspIndex) return undefined
    if (!isMatch(path, redirect.path_includes)) return undefined
    this.#faults = {
      ...this.#faults,
      redirect: redirect.count > 1 ? { ...redirect, count: redirect.count - 1 } : null,
    }
    return redirect.to_xsp_index
  }

  /** Counts an event written; true when the socket has to break at this one. */
  isSocketDropDue(): boolean {
    const every = this.#faults.drop_socket_every
    if (every === null) return false
    this.#eventsWritten += 1
    return this.#eventsWritten % every === 0
  }
}

const isMatch = (path: string, part: string | undefined): boolean =>
  part === undefined || path.toLowerCase().includes(part.toLowerCase())
