import { randomUUID } from 'node:crypto'
import * as v from 'valibot'
import type { CallReader, StoredCall } from '../core/call-reader.ts'
import { isLive } from '../core/call.ts'
import type { CallStore, Commit, CommitResult, StoredSubscriber, WatchedCall } from '../core/call-store.ts'
import type { Clock } from '../core/clock.ts'
import { GatewayError } from '../core/errors.ts'
import { toSubscriberId, type AppRef, type CallId, type NetworkRef, type SubscriberId } from '../core/ids.ts'
import type { RedisLink } from './connection.ts'
import { epochCandidate } from './epoch.ts'
import { callKey, fenceKey, liveKey, logKey, metaKey, subscriberKey, TTL, wakeChannel } from './keys.ts'
import type { StateMetrics } from './metrics.ts'
import { COMMIT } from './scripts.ts'
import { parseHead, parseLive, parseRecord, parseSubscriber } from './subscriber-hash.ts'

export type RedisCallsOptions = {
  readonly commit: RedisLink
  readonly general: RedisLink
  readonly metrics: StateMetrics
  readonly clock: Clock
  readonly random: () => number
} & LogRetention

/** What bounds each app's log. */
export type LogRetention = {
  /** About how many entries it keeps. */
  readonly logLengthMax?: number
  /** For how long it keeps them, about; at most a week, for which a quiet app's position stays good. */
  readonly logAgeMaxMs?: number
}

/** About 10 MB per busy app: hours of backlog for a webhook that is down. */
export const LOG_LENGTH_MAX = 20_000
export const LOG_AGE_MAX_MS = 24 * 3_600_000
const PIPELINE_MAX = 200
const MEMBERSHIP_MAX = 1_000
const SCAN_COUNT = 200

const ReplySchema = v.array(v.string())

/** Call state in Redis: see `keys.ts` for what is where, and `scripts.ts` for the one script that writes it. */
export class RedisCalls implements CallStore, CallReader {
  readonly #commit: RedisLink
  readonly #general: RedisLink
  readonly #metrics: StateMetrics
  readonly #clock: Clock
  readonly #random: () => number
  readonly #logLengthMax: number
  readonly #logAgeMaxMs: number
  /** Versions are never used twice, by anybody: an equal version proves equal content, even after a failover. */
  readonly #writer = randomUUID()
  #commits = 0

  constructor(options: RedisCallsOptions) {
    this.#commit = options.commit
    this.#general = options.general
    this.#metrics = options.metrics
    this.#clock = options.clock
    this.#random = options.random
    this.#logLengthMax = options.logLengthMax ?? LOG_LENGTH_MAX
    this.#logAgeMaxMs = options.logAgeMaxMs ?? LOG_AGE_MAX_MS
  }

  async read(network: NetworkRef, subscriberId: SubscriberId): Promise<StoredSubscriber> {
    const key = subscriberKey(network, subscriberId)
    const reply = await this.#commit.run((redis) => redis.call('HGETALL', key))
    return parseSubscriber(v.parse(ReplySchema, reply))
  }

  async commit(commit: Commit): Promise<CommitResult> {
    this.#commits += 1
    const version = `${this.#writer}.${this.#commits}`
    const { keys, args } = this.#compose(commit, version)
    const startedAt = this.#clock.monotonic()
    const reply = await this.#commit.script(COMMIT, keys, args)
    this.#metrics.committed((this.#clock.monotonic() - startedAt) / 1000)
    const [outcome, ...present] = v.parse(ReplySchema, reply)
    if (outcome === 'OK') return { kind: 'stored', version }
    if (outcome === 'FENCED') return { kind: 'fenced' }
    return { kind: 'conflict', current: parseSubscriber(present) }
  }

  async withLiveCalls(network: NetworkRef, subscriberIds: readonly SubscriberId[]): Promise<readonly SubscriberId[]> {
    if (subscriberIds.length === 0) return []
    const key = liveKey(network)
    return this.#general.run(async (redis) => {
      if ((await redis.scard(key)) <= subscriberIds.length) {
        const live = new Set(await redis.smembers(key))
        return subscriberIds.filter((subscriberId) => live.has(subscriberId))
      }
      const chunks = chunksOf(subscriberIds, MEMBERSHIP_MAX)
      const answers = await Promise.all(chunks.map((chunk) => redis.smismember(key, ...chunk)))
      const isMember = answers.flat()
      return subscriberIds.filter((_, index) => isMember[index] === 1)
    })
  }

  async liveCalls(network: NetworkRef, subscriberIds: readonly SubscriberId[]): Promise<readonly StoredCall[]> {
    const affected = await this.withLiveCalls(network, subscriberIds)
    const found: StoredCall[] = []
    // One batch after the other, so that a long list does not hold up everybody else's reads.
    for (const chunk of chunksOf(affected, PIPELINE_MAX)) {
      const listed = await this.#listCalls(network, chunk)
      found.push(...(await this.#readCalls(network, listed)).filter(({ call }) => isLive(call.state)))
    }
    return found
  }

  async findCalls(network: NetworkRef, callId: CallId): Promise<readonly StoredCall[]> {
    const subscribers = await this.#general.run((redis) => redis.smembers(callKey(network, callId)))
    return this.#readCalls(
      network,
      subscribers.map((subscriberId) => ({ subscriberId: toSubscriberId(subscriberId), callId })),
    )
  }

  async scanLive(
    network: NetworkRef,
    cursor: string,
  ): Promise<{ readonly cursor: string; readonly calls: readonly WatchedCall[] }> {
    const [next, members] = await this.#general.run((redis) =>
      redis.sscan(liveKey(network), cursor, 'COUNT', SCAN_COUNT),
    )
    const calls: WatchedCall[] = []
    for (const chunk of chunksOf(members.map(toSubscriberId), PIPELINE_MAX)) {
      const listed = await this.#listCalls(network, chunk)
      for (const { subscriberId, fields } of await this.#readFields(network, listed)) {
        const record = parseRecord(fields[1] ?? '')
        if (record !== undefined && isLive(record.call.state)) calls.push({ subscriberId, record })
      }
    }
    return { cursor: next, calls }
  }

  #compose(commit: Commit, version: string): { readonly keys: readonly string[]; readonly args: readonly string[] } {
    const { network, subscriberId, fence, writes } = commit
    const apps = appsOf(commit)
    const subscriber = subscriberKey(network, subscriberId)
    const keys = [
      subscriber,
      liveKey(network),
      fence === undefined ? subscriber : fenceKey(network, fence.lease),
      ...apps.flatMap((app) => [metaKey(app), logKey(app)]),
      ...writes.map(({ callId }) => callKey(network, callId)),
    ]
    const indexOfApp = new Map(apps.map(({ appId }, index) => [appId, String(index)]))
    const now = this.#clock.now()
    const args = [
      fence === undefined ? '' : String(fence.token),
      commit.expected ?? '',
      version,
      JSON.stringify(commit.head),
      JSON.stringify(commit.live),
      commit.live.length > 0 ? '1' : '0',
      subscriberId,
      String(TTL.state),
      String(TTL.log),
      String(this.#logLengthMax),
      String(this.#logAgeMaxMs),
      String(now),
      epochCandidate(now, this.#random()),
      wakeChannel(network.shard),
      String(apps.length),
      ...apps.map(({ appId }) => appId),
      String(writes.length),
    ]
    for (const { callId, record, restartsSequence, entry } of writes) {
      args.push(callId, record === undefined ? '' : JSON.stringify(record), restartsSequence ? '1' : '0')
      if (entry === undefined) {
        args.push('-1')
        continue
      }
      args.push(String(entry.payloads.length), entry.type, entry.orderKey)
      for (const { app, payload } of entry.payloads) {
        args.push(indexOfApp.get(app.appId) ?? '', `${JSON.stringify(payload).slice(0, -1)},`)
      }
    }
    return { keys, args }
  }

  /** The ids of the subscribers' live calls. */
  async #listCalls(network: NetworkRef, subscriberIds: readonly SubscriberId[]): Promise<readonly CallName[]> {
    const replies = await this.#hmget(
      subscriberIds.map((subscriberId) => [subscriberKey(network, subscriberId), 'live']),
    )
    return subscriberIds.flatMap((subscriberId, index) => {
      const live = replies[index]?.[0]
      return typeof live === 'string' ? parseLive(live).map((callId) => ({ subscriberId, callId })) : []
    })
  }

  async #readCalls(network: NetworkRef, names: readonly CallName[]): Promise<readonly StoredCall[]> {
    const found = await this.#readFields(network, names)
    return found.flatMap(({ subscriberId, fields: [head, record, sequence] }) => {
      const known = parseRecord(record ?? '')
      if (known === undefined) return []
      const stale = parseHead(head ?? '').stale && isLive(known.call.state)
      return [{ network, subscriberId, call: known.call, sequence: Number(sequence ?? 0), stale }]
    })
  }

  /** For each call: head, record, sequence. */
  async #readFields(network: NetworkRef, names: readonly CallName[]) {
    const replies = await this.#hmget(
      names.map(({ subscriberId, callId }) => [
        subscriberKey(network, subscriberId),
        'head',
        `c:${callId}`,
        `s:${callId}`,
      ]),
    )
    return names.map(({ subscriberId }, index) => ({ subscriberId, fields: replies[index] ?? [] }))
  }

  /** Several HMGET (key, field, field …) in pipelines. */
  async #hmget(commands: readonly (readonly string[])[]): Promise<readonly (readonly (string | null)[])[]> {
    const replies: (readonly (string | null)[])[] = []
    for (const chunk of chunksOf(commands, PIPELINE_MAX)) {
      const results = await this.#general.run((redis) =>
        redis.pipeline(chunk.map((command) => ['hmget', ...command])).exec(),
      )
      for (const [error, reply] of results ?? []) {
        if (error !== null) throw new GatewayError('store_unavailable', { cause: error })
        replies.push(v.parse(FieldsSchema, reply))
      }
    }
    return replies
  }
}

type CallName = { readonly subscriberId: SubscriberId; readonly callId: CallId }

const FieldsSchema = v.array(v.nullable(v.string()))

/** The apps that the commit's entries go to, each once. */
function appsOf({ writes }: Commit): readonly AppRef[] {
  const apps = new Map<string, AppRef>()
  for (const { entry } of writes) {
    for (const { app } of entry?.payloads ?? []) apps.set(app.appId, app)
  }
  return [...apps.values()]
}

function chunksOf<Item>(items: readonly Item[], size: number): readonly (readonly Item[])[] {
  const chunks: (readonly Item[])[] = []
  for (let start = 0; start < items.length; start += size) chunks.push(items.slice(start, start + size))
  return chunks
}
