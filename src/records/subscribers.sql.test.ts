import * as v from 'valibot'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AppId } from '../core/ids.ts'
import { ShardSchema, toSubscriberId } from '../core/ids.ts'
import { silentLogger } from '../core/logger.ts'
import type { Network } from '../core/network.ts'
import { STORES, startTestRecords, type TestRecords } from '../../test/support/records.ts'
import { Apps } from './apps.ts'
import { RecordsDirectory } from './directory.ts'
import { Networks } from './networks.ts'
import { Subscribers } from './subscribers.ts'

const shard = v.parse(ShardSchema, 'east')
const alice = toSubscriberId('alice@example.net')

describe.each(STORES)('departures of subscribers on %s', (store) => {
  let opened: TestRecords
  let directory: RecordsDirectory
  let networks: Networks
  let apps: Apps
  let subscribers: Subscribers

  beforeAll(async () => {
    opened = await startTestRecords(store)
    directory = new RecordsDirectory({ records: opened.records, clock: opened.clock, log: silentLogger })
    await directory.start()
    networks = new Networks(opened.records, directory)
    apps = new Apps(opened.records, directory)
    subscribers = new Subscribers(opened.records, directory)
  })
  afterAll(async () => {
    await directory?.stop()
    await opened?.stop()
  })

  const createNetwork = () =>
    networks.create({
      name: 'lab',
      shard,
      adapter: 'broadsoft',
      config: { xsp: ['https://xsp.example.net'], subscribe: 'user' },
      secrets: {},
    })
  const createApp = async () => (await apps.create({ name: 'crm', shard })).app.appId
  const put = async ({ networkId }: Network, appId: AppId, more: object = {}) =>
    (await subscribers.put({ appId, networkId, subscriberId: alice, subscriberNumber: '+15550100', ...more }))
      .subscriber
  const departuresOf = async (appId: AppId) =>
    (await subscribers.departures(10_000)).filter(({ subscriber }) => subscriber.appId === appId)
  const unannouncedOf = async (appId: AppId) =>
    (await subscribers.unannounced(10_000)).filter((subscriber) => subscriber.appId === appId)

  test('a removed assignment leaves a departure with all that it was, until that is forgotten', async () => {
    const [network, appId] = [await createNetwork(), await createApp()]
    const made = await put(network, appId, { subscriberName: 'Alice', subscriberAccountId: 'site-7' })
    await subscribers.markAnnounced(made)
    const announced = await subscribers.find(appId, alice)
    expect(await subscribers.remove(appId, alice)).toBe(true)
    const departures = await departuresOf(appId)
    expect(departures).toEqual([{ departureId: expect.stringMatching(/^\d+$/), subscriber: announced }])
    expect(announced?.announcedAt).toBeTypeOf('number')
    await subscribers.forgetDeparture(departures[0]?.departureId ?? '')
    expect(await departuresOf(appId)).toEqual([])
  })

  test('one that was never announced leaves a departure that says so, and one that is not there none', async () => {
    const [network, appId] = [await createNetwork(), await createApp()]
    const made = await put(network, appId)
    expect(await subscribers.remove(appId, alice)).toBe(true)
    expect(await subscribers.remove(appId, alice)).toBe(false)
    expect((await departuresOf(appId)).map(({ subscriber }) => subscriber)).toEqual([made])
  })

  test('departures come in the order in which they happened; the assignment after them waits', async () => {
    const [network, appId] = [await createNetwork(), await createApp()]
    for (const subscriberNumber of ['+15550101', '+15550102', '+15550103']) {
      await put(network, appId, { subscriberNumber })
      await subscribers.remove(appId, alice)
    }
    await put(network, appId, { subscriberNumber: '+15550104' })
    const departures = await departuresOf(appId)
    expect(departures.map(({ subscriber }) => subscriber.subscriberNumber)).toEqual([
      '+15550101',
      '+15550102',
      '+15550103',
    ])
    for (const { departureId } of departures) {
      expect(await unannouncedOf(appId)).toEqual([])
      await subscribers.forgetDeparture(departureId)
    }
    expect(await unannouncedOf(appId)).toMatchObject([{ subscriberNumber: '+15550104' }])
  })

  test('an assignment that moves to another network departs from the first, and is made later', async () => {
    const [from, to, appId] = [await createNetwork(), await createNetwork(), await createApp()]
    const first = await put(from, appId)
    const moved = await put(to, appId)
    expect(moved.createdAt).toBeGreaterThan(first.createdAt)
    expect((await departuresOf(appId)).map(({ subscriber }) => subscriber)).toEqual([first])
    await put(to, appId, { subscriberNumber: '+15550199' })
    expect(await departuresOf(appId)).toHaveLength(1)
  })

  test('of many PUTs to two networks at once, each that changed the network left one departure', async () => {
    const [one, two, appId] = [await createNetwork(), await createNetwork(), await createApp()]
    await Promise.all(Array.from({ length: 20 }, (_, index) => put(index % 2 === 0 ? one : two, appId)))
    const left = (await departuresOf(appId)).map(({ subscriber }) => subscriber.networkId)
    const stays = await subscribers.find(appId, alice)
    const all = [...left, stays?.networkId]
    expect(all.every((networkId, index) => index === 0 || networkId !== all[index - 1])).toBe(true)
  })

  test('an app that is removed takes its departures with it, and leaves none', async () => {
    const [network, appId, other] = [await createNetwork(), await createApp(), await createApp()]
    await put(network, other)
    await put(network, appId)
    await subscribers.remove(appId, alice)
    await put(network, appId)
    expect(await apps.remove(appId)).toBe(true)
    expect(await departuresOf(appId)).toEqual([])
    expect(await departuresOf(other)).toEqual([])
  })

  test('a network can be removed before the app was told', async () => {
    const [network, appId] = [await createNetwork(), await createApp()]
    await put(network, appId)
    await subscribers.remove(appId, alice)
    expect(await networks.remove(network.networkId)).toBe(true)
    expect(await departuresOf(appId)).toHaveLength(1)
  })

  test('removing apps and their subscribers at once never leaves one waiting for the other', async () => {
    const network = await createNetwork()
    for (let round = 0; round < 10; round += 1) {
      const appId = await createApp()
      await put(network, appId)
      const other = await createNetwork()
      const settled = await Promise.allSettled([
        subscribers.remove(appId, alice),
        put(other, appId),
        apps.remove(appId),
      ])
      const failures = settled.filter((result) => result.status === 'rejected').map(({ reason }) => reason.code)
      expect(failures.filter((code) => code !== 'app_not_found')).toEqual([])
    }
  })
})
