import * as v from 'valibot'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestRecords } from '../test/support/records.ts'
import type { TestRecords } from '../test/support/records.ts'
import { startTestRedis } from '../test/support/redis.ts'
import type { TestRedis } from '../test/support/redis.ts'
import { until } from '../test/support/until.ts'
import { createEventLog } from '../test/support/webhook-engine.ts'
import { Announcer } from './announcer.ts'
import { systemClock } from './core/clock.ts'
import { ShardSchema, toSubscriberId } from './core/ids.ts'
import { silentLogger } from './core/logger.ts'
import { Apps } from './records/apps.ts'
import { RecordsDirectory } from './records/directory.ts'
import { Networks } from './records/networks.ts'
import { Subscribers } from './records/subscribers.ts'
import type { RedisEventLog } from './state/event-log.ts'

const shard = v.parse(ShardSchema, 'main')
const PayloadSchema = v.object({ subscriber_id: v.string(), network_id: v.string() })

let redis: TestRedis
let opened: TestRecords
let directory: RecordsDirectory
let eventLog: RedisEventLog
const announcers: Announcer[] = []

beforeAll(async () => {
  redis = await startTestRedis()
  opened = await startTestRecords('pglite')
  eventLog = createEventLog(redis)
  directory = new RecordsDirectory({ records: opened.records, clock: opened.clock, log: silentLogger })
  await directory.start()
})
afterAll(async () => {
  for (const announcer of announcers) await announcer.stop()
  await directory?.stop()
  await opened?.stop()
  await redis?.stop()
})

/** A random number generator that repeats itself: a linear congruential one. */
function createRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return state / 2_147_483_648
  }
}

test('whatever is assigned, moved and taken away, two announcers tell each step in order and the last one last', async () => {
  const networks = new Networks(opened.records, directory)
  const subscribers = new Subscribers(opened.records, directory)
  const create = () =>
    networks
      .create({ name: 'lab', shard, adapter: 'broadsoft', config: {}, secrets: {} })
      .then((made) => made.networkId)
  const [one, two] = [await create(), await create()]
  const { app } = await new Apps(opened.records, directory).create({ name: 'crm', shard })
  for (let count = 0; count < 2; count += 1) {
    const announcer = new Announcer({ subscribers, directory, eventLog, log: silentLogger, clock: systemClock })
    announcers.push(announcer)
    await announcer.start()
  }
  const random = createRandom(11)
  const ids = ['ann', 'bert', 'carl'].map((name) => toSubscriberId(`${name}@example.net`))
  for (let step = 0; step < 150; step += 1) {
    const subscriberId = ids[Math.floor(random() * ids.length)] ?? toSubscriberId('')
    if (random() < 0.5) await subscribers.remove(app.appId, subscriberId)
    else {
      const networkId = random() < 0.5 ? one : two
      await subscribers.put({ appId: app.appId, networkId, subscriberId, subscriberNumber: '+15550100' })
    }
  }
  await until('everything told', async () => {
    const [left, waiting] = [await subscribers.departures(1), await subscribers.unannounced(1)]
    return left.length + waiting.length === 0
  })

  const { epoch } = await eventLog.top(app)
  const slice = await eventLog.read(app, { epoch, offset: 0 }, 10_000)
  if (slice.kind === 'gap') throw new Error('the log has a gap')
  const told = slice.entries.map(({ type, payload }) => ({ type, ...v.parse(PayloadSchema, JSON.parse(payload)) }))
  for (const subscriberId of ids) {
    const own = told.filter((entry) => entry.subscriber_id === subscriberId)
    own.forEach(({ type, network_id }, index) => {
      expect(type).toBe(index % 2 === 0 ? 'subscriber.assigned' : 'subscriber.unassigned')
      // What is taken away is what was given before.
      const given = own[index - (index % 2)]?.network_id
      expect(network_id).toBe(given)
    })
    const last = own.at(-1)
    const now = await subscribers.find(app.appId, subscriberId)
    expect(last?.type === 'subscriber.assigned' ? last.network_id : undefined).toBe(now?.networkId)
  }
  expect(told.length).toBeGreaterThan(30)
})
