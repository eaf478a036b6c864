import * as v from 'valibot'
import type { Redis } from 'ioredis'
import type { Clock } from '../core/clock.ts'
import { GatewayError } from '../core/errors.ts'
import type { EventLog, LogEntry, LogSlice } from '../core/event-log.ts'
import type { AppRef, Shard } from '../core/ids.ts'
import { SubscriberIdSchema, toSubscriberId } from '../core/ids.ts'
import type { Logger } from '../core/logger.ts'
import type { Position } from '../core/position.ts'
import type { LogRetention } from './calls.ts'
import { LOG_AGE_MAX_MS, LOG_LENGTH_MAX } from './calls.ts'
import type { RedisLink } from './connection.ts'
import { epochCandidate, isEpoch } from './epoch.ts'
import { appendedKey, logKey, metaKey, TTL, wakeChannel } from './keys.ts'
import { APPEND, READ } from './scripts.ts'

export type RedisEventLogOptions = {
  readonly general: RedisLink
  readonly subscriber: Redis
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
} & LogRetention

/**
 * The fields of an entry as the scripts' `append` writes them, in their order; earlier versions wrote three. Entries
 * and what the read script returns are read by hand: our own scripts wrote them, and several readers read each.
 */
const FIELDS = ['type', 'key', 'sub', 'at', 'data']
const EARLIER_FIELDS = ['type', 'key', 'data']

/**
 * Apps' logs in Redis streams. An entry's id is its position, so completeness is proven by counting:
 * the first entry after offset n must be n + 1.
 *
 * A log keeps what earlier epochs left in it, so a reader that was behind when Redis restarted gets the
 * rest of that epoch first and is told of the gap after it.
 */
export class RedisEventLog implements EventLog {
  readonly #general: RedisLink
  readonly #subscriber: Redis
  readonly #clock: Clock
  readonly #random: () => number
  readonly #log: Logger
  readonly #logLengthMax: number
  readonly #logAgeMaxMs: number
  /** Listeners by shard and app. */
  readonly #watchers = new Map<Shard, Map<string, Set<() => void>>>()
  readonly #shardOfChannel = new Map<string, Shard>()
  readonly #onMessage = (channel: string, appId: string) => this.#wakeApp(channel, appId)
  readonly #onReady = () => this.#wakeAll()

  constructor(options: RedisEventLogOptions) {
    this.#general = options.general
    this.#subscriber = options.subscriber
    this.#clock = options.clock
    this.#random = options.random
    this.#log = options.log
    this.#logLengthMax = options.logLengthMax ?? LOG_LENGTH_MAX
    this.#logAgeMaxMs = options.logAgeMaxMs ?? LOG_AGE_MAX_MS
  }

  async top(app: AppRef): Promise<Position> {
    const { top } = await this.#read(app, { epoch: '0', offset: 0 }, 0)
    return top
  }

  async read(app: AppRef, after: Position, limit: number): Promise<LogSlice> {
    const known = isEpoch(after.epoch)
    const { top, oldest, entries } = await this.#read(app, known ? after : { epoch: '0', offset: 0 }, limit)
    const first = entries[0]
    if (first !== undefined && first.position.offset === after.offset + 1) return { kind: 'entries', entries, top }
    if (after.epoch !== top.epoch) return { kind: 'gap', reason: 'epoch_changed', oldest, top }
    if (first !== undefined) return { kind: 'gap', reason: 'trimmed', oldest, top }
    if (after.offset === top.offset) return { kind: 'entries', entries, top }
    return { kind: 'gap', reason: after.offset > top.offset ? 'ahead_of_log' : 'trimmed', oldest, top }
  }

  async append(app: AppRef, entry: Omit<LogEntry, 'position' | 'at'> & { readonly id: string }): Promise<void> {
    await this.#general.script(
      APPEND,
      [metaKey(app), logKey(app), appendedKey(app, entry.id)],
      [
        this.#candidate(),
        String(TTL.log),
        String(this.#logLengthMax),
        String(this.#logAgeMaxMs),
        String(this.#clock.now()),
        String(TTL.appended),
        entry.type,
        entry.orderKey,
        entry.subscriberId ?? '',
        entry.payload,
        wakeChannel(app.shard),
        app.appId,
      ],
    )
  }

  watch(app: AppRef, onWake: () => void): () => void {
    const apps = this.#watchers.get(app.shard) ?? this.#openShard(app.shard)
    const listeners = apps.get(app.appId) ?? new Set()
    apps.set(app.appId, listeners)
    // A listener of its own, so that watching twice with one function is two watches.
    const listener = () => onWake()
    listeners.add(listener)
    return () => {
      listeners.delete(listener)
      if (listeners.size === 0 && apps.get(app.appId) === listeners) apps.delete(app.appId)
      if (apps.size === 0 && this.#watchers.get(app.shard) === apps) this.#closeShard(app.shard)
    }
  }

  async #read(app: AppRef, after: Position, limit: number) {
    const reply = await this.#general.script(
      READ,
      [metaKey(app), logKey(app)],
      [this.#candidate(), String(TTL.log), after.epoch, String(after.offset), String(limit)],
    )
    const [epoch, offset, oldest, entries] = listOf(reply).slice(0, 4)
    const top = { epoch: textOf(epoch), offset: numberOf(offset) }
    return {
      top,
      // Reading goes on after it, so the oldest entry itself is not skipped.
      oldest: { epoch: top.epoch, offset: oldest === '' ? top.offset : numberOf(oldest) - 1 },
      entries: listOf(entries).map(toEntry),
    }
  }

  #openShard(shard: Shard): Map<string, Set<() => void>> {
    const apps = new Map<string, Set<() => void>>()
    if (this.#watchers.size === 0) {
      this.#subscriber.on('message', this.#onMessage)
      this.#subscriber.on('ready', this.#onReady)
    }
    this.#watchers.set(shard, apps)
    this.#shardOfChannel.set(wakeChannel(shard), shard)
    this.#subscriber.subscribe(wakeChannel(shard)).then(
      // What was appended before the subscription took effect.
      () => this.#wakeShard(shard),
      (error: unknown) => this.#log.warn({ err: error, shard }, 'wake-ups cannot be subscribed; readers poll'),
    )
    return apps
  }

  #closeShard(shard: Shard): void {
    this.#watchers.delete(shard)
    this.#shardOfChannel.delete(wakeChannel(shard))
    // A closed connection has no subscriptions either.
    this.#subscriber.unsubscribe(wakeChannel(shard)).catch(() => undefined)
    if (this.#watchers.size > 0) return
    this.#subscriber.off('message', this.#onMessage)
    this.#subscriber.off('ready', this.#onReady)
  }

  #wakeApp(channel: string, appId: string): void {
    const shard = this.#shardOfChannel.get(channel)
    if (shard === undefined) return
    for (const listener of this.#watchers.get(shard)?.get(appId) ?? []) listener()
  }

  #wakeShard(shard: Shard): void {
    for (const listeners of this.#watchers.get(shard)?.values() ?? []) {
      for (const listener of listeners) listener()
    }
  }

  /** After a reconnect: messages in between were lost. */
  #wakeAll(): void {
    for (const shard of this.#watchers.keys()) this.#wakeShard(shard)
  }

  #candidate(): string {
    return epochCandidate(this.#clock.now(), this.#random())
  }
}

function toEntry(entry: unknown): LogEntry {
  const [id, flat] = listOf(entry)
  const fields = listOf(flat)
  const dash = textOf(id).indexOf('-')
  const position = { epoch: textOf(id).slice(0, dash), offset: numberOf(textOf(id).slice(dash + 1)) }
  if (hasFields(fields, EARLIER_FIELDS)) return toEarlierEntry(position, fields)
  if (!hasFields(fields, FIELDS)) return unreadable()
  const subscriberId = textOf(fields[5])
  return {
    position,
    type: textOf(fields[1]),
    orderKey: textOf(fields[3]),
    // It was a subscriber's id when it was written.
    ...(subscriberId !== '' && { subscriberId: toSubscriberId(subscriberId) }),
    payload: textOf(fields[9]),
    at: numberOf(fields[7]),
  }
}

function toEarlierEntry(position: Position, fields: readonly unknown[]): LogEntry {
  const payload = textOf(fields[5])
  const subscriberId = readSubscriber(payload)
  return {
    position,
    type: textOf(fields[1]),
    orderKey: textOf(fields[3]),
    ...(subscriberId !== '' && { subscriberId: toSubscriberId(subscriberId) }),
    payload,
  }
}

const hasFields = (flat: readonly unknown[], names: readonly string[]): boolean =>
  flat.length === 2 * names.length && names.every((name, i) => flat[2 * i] === name)

const isList = (value: unknown): value is readonly unknown[] => Array.isArray(value)
const listOf = (value: unknown): readonly unknown[] => (isList(value) ? value : unreadable())
const textOf = (value: unknown): string => (typeof value === 'string' ? value : unreadable())

function numberOf(value: unknown): number {
  const number = value === '' ? Number.NaN : Number(value)
  return Number.isFinite(number) ? number : unreadable()
}

function unreadable(): never {
  throw new GatewayError('store_unavailable', { cause: new TypeError('an entry of a log cannot be read') })
}

const PayloadSchema = v.object({ subscriber_id: SubscriberIdSchema })

/** Whom an entry of an earlier version is about, which says so only in its payload; empty for nobody. */
function readSubscriber(payload: string): string {
  const parsed = v.safeParse(PayloadSchema, JSON.parse(payload))
  return parsed.success ? parsed.output.subscriber_id : ''
}
