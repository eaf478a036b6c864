import type { DeliveryFact } from '../../src/core/delivery-record.ts'
import { formatPosition } from '../../src/core/position.ts'
import type { RedisEventLog } from '../../src/state/event-log.ts'
import { cursorsKey } from '../../src/webhooks/keys.ts'
import { RecordLog } from '../../src/webhooks/record-log.ts'
import { startTestRedis } from './redis.ts'
import type { TestRedis } from './redis.ts'
import { until } from './until.ts'
import { callEntry, createEventLog, startEngine } from './webhook-engine.ts'
import type { Engine, EndpointBook } from './webhook-engine.ts'
import { WebhookReceiver } from './webhook-receiver.ts'
import type { Answer, Received } from './webhook-receiver.ts'

type StartOptions = Parameters<typeof startEngine>[2]

/** What a test of the delivery engine works with: a store of its own, and whatever it starts in between. */
export class WebhookRig implements AsyncDisposable {
  readonly redis: TestRedis
  readonly eventLog: RedisEventLog
  readonly #cleanups: (() => Promise<unknown>)[] = []
  /** Those whose apps' logs have entries. */
  readonly #appended = new Set<EndpointBook>()

  private constructor(redis: TestRedis) {
    this.redis = redis
    this.eventLog = createEventLog(redis)
  }

  static async start(): Promise<WebhookRig> {
    return new WebhookRig(await startTestRedis())
  }

  /** To be done after the test, the last one first. */
  defer(cleanup: () => Promise<unknown>): void {
    this.#cleanups.push(cleanup)
  }

  /** Ends what the test has started, and empties the store. */
  async clean(): Promise<void> {
    for (const cleanup of this.#cleanups.splice(0).toReversed()) await cleanup()
    await this.redis.connect().flushall()
    this.#appended.clear()
  }

  stop(): Promise<void> {
    return this.redis.stop()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.clean()
    await this.stop()
  }

  async startReceiver(answer?: Answer): Promise<WebhookReceiver> {
    const receiver = await new WebhookReceiver().start()
    if (answer !== undefined) receiver.answer(answer)
    this.defer(() => receiver.stop())
    return receiver
  }

  /** A running dispatcher whose endpoints have started, so that whatever is appended next is theirs. */
  async startEngine(book: EndpointBook, options: StartOptions = {}): Promise<Engine> {
    const engine = await startEngine(this.redis, book, { eventLog: this.eventLog, ...options })
    this.defer(() => engine.stop())
    await this.cursorsOf(book)
    return engine
  }

  cursorsOf(book: EndpointBook): Promise<Record<string, string>> {
    return until('the cursors', async () => {
      const cursors = await this.redis.connect().hgetall(`ch:{wh}:cursors:${book.app.appId}`)
      return [...book.records.keys()].every((id) => cursors[id] !== undefined) ? cursors : undefined
    })
  }

  append(book: EndpointBook, callId: string, sequence: number, type?: string): Promise<void> {
    this.#appended.add(book)
    return this.eventLog.append(book.app, callEntry(callId, sequence, type))
  }

  /** Keys of events and lanes, of which nothing may be left over. */
  async leftovers(): Promise<readonly string[]> {
    const keys = await this.redis.connect().keys('ch:{wh}:*')
    const lasting = /^ch:\{wh\}:(?:bull:.*|cursors:.*|gate:.*|apps|records|recorder-lock)$/
    return keys.filter((key) => !lasting.test(key))
  }

  /** Everything that was appended has been taken, and has ended. */
  nothingLeft(timeoutMs?: number): Promise<true> {
    const isDone = async () => (await this.#isTaken()) && (await this.leftovers()).length === 0
    return until('nothing left', async () => (await isDone()) || undefined, timeoutMs)
  }

  async #isTaken(): Promise<boolean> {
    for (const { app, directory } of this.#appended) {
      const top = formatPosition(await this.eventLog.top(app))
      const cursors = await this.redis.connect().hgetall(cursorsKey(app.appId))
      const following = directory.endpointsOf(app.appId).filter(({ enabled }) => enabled)
      if (following.some(({ endpointId }) => cursors[endpointId] !== top)) return false
    }
    return true
  }

  /** What has been recorded of deliveries so far. */
  async facts(): Promise<readonly DeliveryFact[]> {
    const claimed = await new RecordLog(this.redis.connect()).claim('test', 100_000)
    return claimed?.facts ?? []
  }

  /** How each event ended, by its payload's sequence number, in the order of ending. */
  async ends(): Promise<readonly (readonly [sequence: string, status: string])[]> {
    const facts = await this.facts()
    const sequences = new Map<string, string>()
    for (const fact of facts) {
      if (fact.kind !== 'taken') continue
      for (const { deliveryId } of fact.endpoints) sequences.set(deliveryId, fact.event.sequence ?? '')
    }
    return facts.flatMap((fact) =>
      fact.kind === 'ended' ? [[sequences.get(fact.deliveryId) ?? '', fact.status] as const] : [],
    )
  }
}

export const receivedBy = (
  receiver: WebhookReceiver,
  count: number,
  timeoutMs?: number,
): Promise<readonly Received[]> =>
  until(`${count} webhooks`, () => (receiver.received.length >= count ? receiver.received : undefined), timeoutMs)
