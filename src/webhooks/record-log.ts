import type { Redis } from 'ioredis'
import type { DeliveryFact } from '../core/delivery-record.ts'
import { GatewayError } from '../core/errors.ts'
import { LOST_RECORDS_KEY, RECORDER_LOCK_KEY, RECORDING_KEY, RECORDS_KEY } from './keys.ts'
import { readEntry } from './record-entry.ts'
import { Script } from './script-runner.ts'
import { CLAIM_RECORDS, RELEASE_RECORDS, RENEW_RECORDER } from './scripts/upkeep.ts'

/** What is to be written to the records, and where it ends. */
export type ClaimedFacts = {
  readonly facts: readonly DeliveryFact[]
  /** The entry that tells each fact. */
  readonly entryIds: readonly string[]
  /** Entries that this version cannot read; they are taken off with the others. */
  readonly malformed: readonly string[]
  /** Hand it to `release` when they are written. */
  readonly last: string | undefined
  /** No more entries were there. */
  readonly isAll: boolean
  /** Entries that there was no room for; counted until they are handed to `release` as told. */
  readonly lost: number
}

const LOCK_MS = 5_000
/** More than a batch takes. */
const RECORDING_MS = 5_000
/** Few enough that to read them keeps nothing else of this process waiting. */
const ENTRIES_PER_READ = 1_000

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

  /**
   * What up to `limit` of the oldest entries tell, or of those behind `after`, and the exclusive right to them for
   * 5 s; undefined while another recorder has it.
   */
  async claim(owner: string, limit: number, after?: string): Promise<ClaimedFacts | undefined> {
    const facts: DeliveryFact[] = []
    const entryIds: string[] = []
    const malformed: string[] = []
    let [last, lost, count]: [string | undefined, number, number] = [undefined, 0, 0]
    for (;;) {
      const most = Math.min(limit - count, ENTRIES_PER_READ)
      const reply = await this.#claim.run(this.#redis, KEYS, [owner, LOCK_MS, most, last ?? after ?? ''])
      // Of what was read before it another one has the right now.
      if (reply === null) return undefined
      const [entries, lostNow] = readReply(reply)
      for (const [factId, fields] of entries) {
        const told = readEntry(factId, fields)
        if (told === undefined) malformed.push(factId)
        for (const fact of told ?? []) {
          facts.push(fact)
          entryIds.push(factId)
        }
      }
      last = entries.at(-1)?.[0] ?? last
      lost = lostNow
      count += entries.length
      if (entries.length < most || count >= limit) {
        return { facts, entryIds, malformed, last, lost, isAll: count < limit }
      }
    }
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
    await this.#release.run(this.#redis, KEYS, [owner, last === undefined ? '' : nextId(last), told, RECORDING_MS])
  }
}

const KEYS = [RECORDER_LOCK_KEY, RECORDS_KEY, LOST_RECORDS_KEY, RECORDING_KEY]

/** The smallest stream id after this one. */
function nextId(id: string): string {
  const [ms = '', sequence = ''] = id.split('-')
  return `${ms}-${Number(sequence) + 1}`
}

type Entry = readonly [factId: string, fields: readonly string[]]

/** What the claiming script answers: {entries, number of lost ones}. Their fields are looked at one by one. */
function readReply(reply: unknown): readonly [readonly Entry[], number] {
  if (!Array.isArray(reply) || !Array.isArray(reply[0])) throw new GatewayError('store_unavailable')
  return [reply[0] as readonly Entry[], Number(reply[1])]
}
