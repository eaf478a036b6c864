import type { AttemptRecord, DeliveryFact, EndedStatus } from '../core/delivery-record.ts'
import { ENDED_STATUSES } from '../core/delivery-record.ts'
import { GatewayError } from '../core/errors.ts'
import { toAppId, toEndpointId } from '../core/ids.ts'
import type { EndpointId } from '../core/ids.ts'
import { appIdOf, classOfLetter, messageIdOf, parseAbout, parseToken } from './delivery.ts'
import type { PendingEvent } from './delivery.ts'

/** An attempt as a drainer hands it to the script that makes it count. */
export type AttemptFact = {
  /** Names this request, also when the script that records it runs twice. */
  readonly attemptId: string
  readonly deliveryId: string
  readonly attempt: AttemptRecord
  /** When it will be tried again; absent after the last attempt. */
  readonly nextAttemptAt?: number
}

type Fields = Readonly<Record<string, string>>

/**
 * What an entry of the records stream tells, oldest first: two facts when it is of an attempt and the end that
 * follows from it. Undefined when it cannot be read: it is another version's, or damaged.
 *
 * Entries are read by hand, since there are several per event: scripts of ours wrote them. What is checked is
 * what PostgreSQL would not refuse, or what would be taken for something else.
 */
export function readEntry(entryId: string, flat: readonly string[]): readonly DeliveryFact[] | undefined {
  try {
    return toFacts(entryId, toFields(flat))
  } catch {
    return undefined
  }
}

function toFields(flat: readonly string[]): Fields {
  const found: Record<string, string> = {}
  for (let i = 0; i + 1 < flat.length; i += 2) found[flat[i] ?? ''] = flat[i + 1] ?? ''
  return found
}

function toFacts(entryId: string, fields: Fields): readonly DeliveryFact[] | undefined {
  switch (textOf(fields, 'k')) {
    case 'taken':
      return [toTaken(entryId, fields)]
    case 'replayed': {
      const { eventId, expiresAt } = readToken(fields)
      const deliveryId = messageIdOf(toEndpointId(textOf(fields, 'ep')), eventId)
      return [{ kind: 'replayed', factId: entryId, deliveryId, at: numberOf(fields, 'at'), expiresAt }]
    }
    case 'ended':
      return [toEnded(entryId, fields)]
    case 'fact': {
      const attempted = toAttempted(entryId, fields)
      if ('end' in fields) return [attempted, toEnd(entryId, fields, attempted.deliveryId)]
      // As earlier versions wrote it.
      return 'status' in fields ? [attempted, toEnded(entryId, fields, attempted.deliveryId)] : [attempted]
    }
    default:
      return undefined
  }
}

function toTaken(factId: string, fields: Fields): DeliveryFact {
  const { sequence, callId, subscriberId, occurredAt } = parseAbout(textOf(fields, 'about'))
  const takers = textOf(fields, 'to').split('\n').map(toTaker)
  const eventId = takers[0]?.eventId ?? ''
  return {
    kind: 'taken',
    factId,
    at: numberOf(fields, 'at'),
    event: {
      eventId,
      // Earlier versions named it.
      appId: fields['app'] === undefined ? appIdOf(eventId) : toAppId(fields['app']),
      type: textOf(fields, 'type'),
      orderKey: textOf(fields, 'key'),
      ...(callId !== undefined && { callId }),
      ...(subscriberId !== undefined && { subscriberId }),
      ...(sequence !== undefined && { sequence }),
      occurredAt,
      payload: textOf(fields, 'payload'),
    },
    endpoints: takers.map(({ endpoint }) => endpoint),
  }
}

/** `endpoint id, space, token`. */
function toTaker(taker: string) {
  const space = taker.indexOf(' ')
  const endpointId: EndpointId = toEndpointId(taker.slice(0, Math.max(0, space)))
  const { eventId, class: kind, expiresAt } = checkToken(taker.slice(space + 1))
  return { eventId, endpoint: { endpointId, deliveryId: messageIdOf(endpointId, eventId), class: kind, expiresAt } }
}

/** `status, space, time, space, letter of the class`. */
function toEnd(factId: string, fields: Fields, deliveryId: string): DeliveryFact {
  const [status, at, letter = ''] = textOf(fields, 'end').split(' ')
  const kind = classOfLetter(letter)
  if (kind === undefined || !Number.isFinite(Number(at))) throw unreadable()
  return { kind: 'ended', factId, deliveryId, class: kind, at: Number(at), status: toStatus(status) }
}

/** `deliveryId`: where the entry names it already. */
function toEnded(factId: string, fields: Fields, deliveryId?: string): DeliveryFact {
  const { eventId, class: kind } = readToken(fields)
  return {
    kind: 'ended',
    factId,
    deliveryId: deliveryId ?? messageIdOf(toEndpointId(textOf(fields, 'ep')), eventId),
    class: kind,
    at: numberOf(fields, 'at'),
    status: toStatus(fields['status']),
  }
}

function toStatus(text: string | undefined): EndedStatus {
  const status = ENDED_STATUSES.find((known): known is EndedStatus => known === text)
  return status ?? refuse()
}

function toAttempted(entryId: string, fields: Fields): Extract<DeliveryFact, { kind: 'attempted' }> {
  const fact: unknown = JSON.parse(textOf(fields, 'fact'))
  if (!isAttemptFact(fact)) throw unreadable()
  // Earlier versions gave it no id.
  const { attemptId = entryId, attempt, ...rest } = fact
  const { response } = fields
  return {
    kind: 'attempted',
    factId: attemptId,
    ...rest,
    attempt: { ...attempt, ...(response !== undefined && { response }) },
  }
}

type KnownFact = Omit<AttemptFact, 'attemptId'> & { readonly attemptId?: string }

/** The rest is as `toAttemptRecord` made it, or is refused by the records. */
function isAttemptFact(value: unknown): value is KnownFact {
  if (typeof value !== 'object' || value === null || !('deliveryId' in value) || !('attempt' in value)) return false
  return typeof value.deliveryId === 'string' && isAttempt(value.attempt)
}

function isAttempt(value: unknown): value is AttemptRecord {
  if (typeof value !== 'object' || value === null || !('timing' in value) || !('startedAt' in value)) return false
  const { timing, startedAt } = value
  return typeof startedAt === 'number' && typeof timing === 'object' && timing !== null && 'totalMs' in timing
}

const readToken = (fields: Fields): PendingEvent => checkToken(textOf(fields, 'token'))

function checkToken(token: string): PendingEvent {
  const pending = parseToken(token)
  if (pending.eventId === '' || !Number.isFinite(pending.expiresAt)) throw unreadable()
  return pending
}

function textOf(fields: Fields, name: string): string {
  const text = fields[name]
  if (text === undefined) throw unreadable()
  return text
}

function numberOf(fields: Fields, name: string): number {
  const number = Number(textOf(fields, name))
  if (!Number.isFinite(number)) throw unreadable()
  return number
}

function refuse(): never {
  throw unreadable()
}

const unreadable = (): GatewayError => new GatewayError('internal')
