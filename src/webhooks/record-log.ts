import type { Redis } from 'ioredis'
import * as v from 'valibot'
import {
  ATTEMPT_OUTCOMES,
  DELIVERY_STATUSES,
  type AttemptRecord,
  type DeliveryFact,
  type EndedStatus,
} from '../core/delivery-record.ts'
import { AppIdSchema, EndpointIdSchema } from '../core/ids.ts'
import { EventAboutSchema, messageIdOf, parseToken } from './delivery.ts'
import { LOST_RECORDS_KEY, RECORDER_LOCK_KEY, RECORDS_KEY } from './keys.ts'
import { Script } from './script-runner.ts'
import { CLAIM_RECORDS, RELEASE_RECORDS, RENEW_RECORDER } from './scripts/upkeep.ts'

/** An attempt as a drainer hands it to the script that makes it count. */
export type AttemptFact = {
  /** Names this request, also when the script that records it runs twice. */
  readonly attemptId: string
  readonly deliveryId: string
  readonly attempt: AttemptRecord
  /** When it will be tried again; absent after the last attempt. */
  readonly nextAttemptAt?: number
}

/** What is to be written to the records, and where it ends. */
export type ClaimedFacts = {
  readonly facts: readonly DeliveryFact[]
  /** Entries that this version cannot read; they are taken off with the others. */
  readonly malformed: readonly string[]
  /** Hand it to `release` when they are written. */
  readonly last: string | undefined
  /** Entries that there was no room for; counted until they are handed to `release` as told. */
  readonly lost: number
}

const LOCK_MS = 5_000

/**
 * What has become of deliveries, in a Redis stream: appended by the very scripts that make it so, taken
 * off by one recorder at a time. Taking off happens after writing, so a crash repeats and loses nothing.
 */
export class RecordLog {
  readonly #redis: Redis
  readonly #claim = new Script(CLAIM_RECORDS)
  readonly #renew = new Script(RENEW_RECORDER)
  readonly #release = new Script(RELEASE_RECORDS)

  constructor(redis: Redis) {
    this.#redis = redis
  }

  /** The oldest facts, and the exclusive right to them for 5 s; undefined while another recorder has it. */
  async claim(owner: string, limit: number): Promise<ClaimedFacts | undefined> {
    const reply = await this.#claim.run(this.#redis, KEYS, [owner, LOCK_MS, limit])
    if (reply === null) return undefined
    const [entries, lost] = v.parse(ClaimReply, reply)
    const facts: DeliveryFact[] = []
    const malformed: string[] = []
    for (const [factId, fields] of entries) {
      const entry = v.safeParse(EntrySchema, fields)
      if (entry.success) facts.push(toFact(factId, entry.output))
      else malformed.push(factId)
    }
    return { facts, malformed, last: entries.at(-1)?.[0], lost }
  }

  /** Keeps the right to the facts for another 5 s, if it is still ours. */
  async renew(owner: string): Promise<void> {
    await this.#renew.run(this.#redis, [RECORDER_LOCK_KEY], [owner, LOCK_MS])
  }

  /**
   * Takes off what was written, up to `last`, and what was told as lost; without `last` gives the right to the
   * facts back.
   */
  async release(
    owner: string,
    { last, told = 0 }: { readonly last?: string | undefined; readonly told?: number } = {},
  ): Promise<void> {
    await this.#release.run(this.#redis, KEYS, [owner, last === undefined ? '' : nextId(last), told])
  }
}

const KEYS = [RECORDER_LOCK_KEY, RECORDS_KEY, LOST_RECORDS_KEY]

/** The smallest stream id after this one. */
function nextId(id: string): string {
  const [ms = '', sequence = ''] = id.split('-')
  return `${ms}-${Number(sequence) + 1}`
}

/** A flat list of names and values as an object. */
const fields = v.pipe(
  v.array(v.string()),
  v.transform((flat) => {
    const found: Record<string, string> = {}
    for (let i = 0; i + 1 < flat.length; i += 2) found[flat[i] ?? ''] = flat[i + 1] ?? ''
    return found
  }),
)
const number = v.pipe(v.string(), v.transform(Number))
const token = v.pipe(v.string(), v.transform(parseToken))
const optionalNumber = v.exactOptional(v.number())
/** `endpoint id, space, token` per line. */
const takers = v.pipe(
  v.string(),
  v.transform((text) => text.split('\n').map((taker) => /^(\S+) (.*)$/.exec(taker)?.slice(1))),
  v.array(v.tuple([EndpointIdSchema, token])),
)

const AttemptSchema = v.object({
  number: v.number(),
  startedAt: v.number(),
  target: v.picklist(['primary', 'failover']),
  outcome: v.picklist(ATTEMPT_OUTCOMES),
  status: optionalNumber,
  timing: v.object({
    dnsMs: optionalNumber,
    connectMs: optionalNumber,
    tlsMs: optionalNumber,
    firstByteMs: optionalNumber,
    totalMs: v.number(),
  }),
  remoteAddress: v.exactOptional(v.string()),
  reused: v.exactOptional(v.boolean()),
  replay: v.exactOptional(v.literal(true)),
})

const isEnded = (status: (typeof DELIVERY_STATUSES)[number]): status is EndedStatus => status !== 'pending'

const EntrySchema = v.pipe(
  fields,
  v.variant('k', [
    v.object({
      k: v.literal('taken'),
      app: AppIdSchema,
      id: v.string(),
      type: v.string(),
      key: v.string(),
      about: v.pipe(v.string(), v.parseJson(), EventAboutSchema),
      at: number,
      payload: v.string(),
      to: takers,
    }),
    v.object({ k: v.literal('replayed'), ep: EndpointIdSchema, token, at: number }),
    v.object({
      k: v.literal('ended'),
      ep: EndpointIdSchema,
      token,
      at: number,
      status: v.pipe(v.picklist(DELIVERY_STATUSES), v.guard(isEnded)),
    }),
    v.object({
      k: v.literal('fact'),
      fact: v.pipe(
        v.string(),
        v.parseJson(),
        v.object({
          attemptId: v.exactOptional(v.string()),
          deliveryId: v.string(),
          attempt: AttemptSchema,
          nextAttemptAt: optionalNumber,
        }),
      ),
      response: v.exactOptional(v.string()),
    }),
  ]),
)

const ClaimReply = v.tuple([v.array(v.tuple([v.string(), v.array(v.string())])), v.number()])

function toFact(factId: string, entry: v.InferOutput<typeof EntrySchema>): DeliveryFact {
  switch (entry.k) {
    case 'taken':
      return toTakenFact(factId, entry)
    case 'replayed': {
      const { eventId, expiresAt } = entry.token
      return { kind: 'replayed', factId, deliveryId: messageIdOf(entry.ep, eventId), at: entry.at, expiresAt }
    }
    case 'ended': {
      const deliveryId = messageIdOf(entry.ep, entry.token.eventId)
      return { kind: 'ended', factId, deliveryId, class: entry.token.class, at: entry.at, status: entry.status }
    }
    case 'fact':
      break
  }
  // Earlier versions gave it no id.
  const { attemptId = factId, attempt, ...fact } = entry.fact
  const { response } = entry
  return {
    kind: 'attempted',
    factId: attemptId,
    ...fact,
    attempt: { ...attempt, ...(response !== undefined && { response }) },
  }
}

type TakenEntry = Extract<v.InferOutput<typeof EntrySchema>, { readonly k: 'taken' }>

function toTakenFact(factId: string, entry: TakenEntry): DeliveryFact {
  const { sequence, callId, subscriberId, occurredAt } = entry.about
  return {
    kind: 'taken',
    factId,
    at: entry.at,
    event: {
      eventId: entry.id,
      appId: entry.app,
      type: entry.type,
      orderKey: entry.key,
      ...(callId !== undefined && { callId }),
      ...(subscriberId !== undefined && { subscriberId }),
      ...(sequence !== undefined && { sequence }),
      occurredAt,
      payload: entry.payload,
    },
    endpoints: entry.to.map(([endpointId, pending]) => {
      const deliveryId = messageIdOf(endpointId, pending.eventId)
      return { endpointId, deliveryId, class: pending.class, expiresAt: pending.expiresAt }
    }),
  }
}
