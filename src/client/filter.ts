import type { EventFrame, Filter } from './frames.ts'
import { checkSize } from './frames.ts'

const SUBSCRIBERS_MAX = 1_000
const TYPES_MAX = 50
/** `call.ringing`, `call.*`, `*`. Whether there is such a type is for the gateway to say. */
const TYPE_PATTERN = /^(?:\*|[a-z_]+\.(?:\*|[a-z_]+))$/

/** Throws a RangeError for a filter that would end the stream. */
export function checkFilter(filter: Filter | null): void {
  if (filter === null) return
  checkLength('subscriber_ids', filter.subscriber_ids, SUBSCRIBERS_MAX)
  // One may be added: see toWireFilter.
  checkLength('event_types', filter.event_types, TYPES_MAX - 1)
  const unusable = filter.event_types?.find((type) => !TYPE_PATTERN.test(type))
  if (unusable !== undefined) throw new RangeError(`event_types has ${JSON.stringify(unusable)}, which is no type`)
  checkSize(filter)
}

function checkLength(name: string, list: readonly string[] | undefined, max: number): void {
  if (list === undefined || (list.length > 0 && list.length <= max)) return
  throw new RangeError(`${name} must have 1 to ${max} entries, or be left out`)
}

const matches = (pattern: string, type: string): boolean =>
  pattern === '*' || pattern === type || (pattern.endsWith('.*') && type.startsWith(pattern.slice(0, -1)))

/** Whether the filter wants events of the type. */
export const wantsType = (filter: Filter | null, { event }: Pick<EventFrame, 'event'>): boolean =>
  filter?.event_types === undefined || filter.event_types.some((pattern) => matches(pattern, event))

/**
 * Whether a mirror can be kept under the filter: one that sends only some changes of a call never tells that
 * the call has ended, or what else became of it.
 */
export const coversCalls = (filter: Filter | null): boolean =>
  filter?.event_types === undefined || filter.event_types.some((pattern) => pattern === '*' || pattern === 'call.*')

/** The filter to ask the gateway for: a mirror also has to hear of subscribers that come and go. */
export function toWireFilter(filter: Filter | null): Filter | null {
  if (filter?.event_types === undefined || !coversCalls(filter)) return filter
  return { ...filter, event_types: [...new Set([...filter.event_types, 'subscriber.*'])] }
}
