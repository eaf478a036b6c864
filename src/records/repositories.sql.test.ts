import { sql } from 'kysely'
import * as v from 'valibot'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ENDPOINT_DEFAULTS, type NewEndpoint } from '../core/endpoint.ts'
import { ShardSchema, toAppId, toEndpointId, toNetworkId, toSubscriberId, type AppId, type Shard } from '../core/ids.ts'
import type { Network } from '../core/network.ts'
import { silentLogger } from '../core/logger.ts'
import { STORES, startTestRecords, type TestRecords } from '../../test/support/records.ts'
import { Apps } from './apps.ts'
import { RecordsDirectory } from './directory.ts'
import { Endpoints } from './endpoints.ts'
import { Networks } from './networks.ts'
import { Subscribers } from './subscribers.ts'

const EAST = v.parse(ShardSchema, 'east')
const WEST = v.parse(ShardSchema, 'west')
const NOWHERE = '00000000-0000-4000-8000-000000000000'

describe.each(STORES)('repositories on %s', (store) => {
  let opened: TestRecords
  let directory: RecordsDirectory
  let networks: Networks
  let apps: Apps
  let subscribers: Subscribers
  let endpoints: Endpoints

  beforeAll(async () => {
    opened = await startTestRecords(store)
    directory = new RecordsDirectory({ records: opened.records, clock: opened.clock, log: silentLogger })
    await directory.start()
    networks = new Networks(opened.records, directory)
    apps = new Apps(opened.records, directory)
    subscribers = new Subscribers(opened.records, directory)
    endpoints = new Endpoints(opened.records, directory)
  })
  afterAll(async () => {
    await directory?.stop()
    await opened?.stop()
  })

  const createNetwork = (change: { readonly shard?: Shard; readonly secrets?: Record<string, string> } = {}) =>
    networks.create({
      name: 'lab',
      shard: change.shard ?? EAST,
      adapter: 'broadsoft',
      config: { xsp: ['https://xsp.example.net'], subscribe: 'user' },
      secrets: change.secrets ?? { password: 'p4ss', username: 'admin@example.net' },
    })
  const createApp = async (shard = EAST) => (await apps.create({ name: 'crm', shard })).app
  const putSubscriber = async (network: Network, appId: string, id = 'alice@example.net') =>
    subscribers.put({
      appId: toAppId(appId),
      networkId: network.networkId,
      subscriberId: toSubscriberId(id),
      subscriberNumber: '+15550100',
    })

  test('a network is found as it was created, with a channel set id and without its secrets', async () => {
    const network = await createNetwork()
    expect(network).toMatchObject({ name: 'lab', shard: 'east', adapter: 'broadsoft' })
    expect(network.config).toEqual({ xsp: ['https://xsp.example.net'], subscribe: 'user' })
    expect(network.channelSetId).toMatch(/^callhalf-[0-9a-f-]{36}$/)
    expect(network.createdAt).toBe(network.updatedAt)
    expect(await networks.find(network.networkId)).toEqual(network)
    expect(await networks.list()).toContainEqual(network)
    expect(await networks.find(toNetworkId(NOWHERE))).toBeUndefined()
    expect(JSON.stringify(network)).not.toContain('p4ss')
    expect(await networks.secretsOf(network.networkId)).toEqual({ password: 'p4ss', username: 'admin@example.net' })
  })

  test('a changed network keeps its channel set id and the secrets that were not named', async () => {
    const network = await createNetwork()
    opened.clock.advance(1_000)
    const changed = await networks.update(network.networkId, {
      name: 'production',
      config: { xsp: [] },
      secrets: { password: 'new', token: 't' },
    })
    expect(changed).toEqual({ ...network, name: 'production', config: { xsp: [] }, updatedAt: changed?.updatedAt })
    expect(changed?.updatedAt).toBeGreaterThan(network.updatedAt)
    expect(await networks.secretsOf(network.networkId)).toEqual({
      password: 'new',
      token: 't',
      username: 'admin@example.net',
    })
    expect(await networks.update(toNetworkId(NOWHERE), { name: 'x' })).toBeUndefined()
  })

  test('a network is removed with its secrets, but not while subscribers belong to it', async () => {
    const network = await createNetwork()
    const app = await createApp()
    await putSubscriber(network, app.appId)
    await expect(networks.remove(network.networkId)).rejects.toMatchObject({ code: 'in_use' })
    await subscribers.remove(app.appId, toSubscriberId('alice@example.net'))
    expect(await networks.remove(network.networkId)).toBe(true)
    expect(await networks.remove(network.networkId)).toBe(false)
    expect(await networks.secretsOf(network.networkId)).toEqual({})
  })

  test('a first PUT creates, a second replaces and keeps what is announced', async () => {
    const network = await createNetwork()
    const app = await createApp()
    const first = await putSubscriber(network, app.appId)
    expect(first.created).toBe(true)
    expect(first.subscriber.announcedAt).toBeUndefined()
    await subscribers.markAnnounced(first.subscriber)
    const second = await subscribers.put({
      ...first.subscriber,
      subscriberNumber: '+15550199',
      subscriberName: 'Alice',
    })
    expect(second.created).toBe(false)
    expect(second.subscriber).toMatchObject({ subscriberNumber: '+15550199', subscriberName: 'Alice' })
    expect(second.subscriber.createdAt).toBe(first.subscriber.createdAt)
    expect(second.subscriber.announcedAt).toBeTypeOf('number')
    expect(await subscribers.find(app.appId, first.subscriber.subscriberId)).toEqual(second.subscriber)
    const third = await putSubscriber(network, app.appId)
    expect(third.subscriber).not.toHaveProperty('subscriberName')
  })

  test('of many first PUTs at once exactly one creates', async () => {
    const network = await createNetwork()
    const app = await createApp()
    const all = await Promise.all(Array.from({ length: 20 }, () => putSubscriber(network, app.appId)))
    expect(all.filter(({ created }) => created)).toHaveLength(1)
  })

  test('an assignment that moves to another network is announced again', async () => {
    const [from, to] = [await createNetwork(), await createNetwork()]
    const app = await createApp()
    const { subscriber } = await putSubscriber(from, app.appId)
    await subscribers.markAnnounced(subscriber)
    const moved = await putSubscriber(to, app.appId)
    expect(moved.created).toBe(false)
    expect(moved.subscriber.networkId).toBe(to.networkId)
    expect(moved.subscriber.announcedAt).toBeUndefined()
    // The announcement of the old assignment comes late and must not count for the new one.
    await subscribers.markAnnounced(subscriber)
    for (const { departureId } of await subscribers.departures(1_000)) await subscribers.forgetDeparture(departureId)
    expect((await subscribers.unannounced(1_000)).map((found) => found.appId)).toContain(app.appId)
  })

  test('assigning across shards, to no network or to no app is refused', async () => {
    const app = await createApp(EAST)
    const west = await createNetwork({ shard: WEST })
    const east = await createNetwork({ shard: EAST })
    await expect(putSubscriber(west, app.appId)).rejects.toMatchObject({ code: 'shard_conflict' })
    await expect(putSubscriber({ ...east, networkId: toNetworkId(NOWHERE) }, app.appId)).rejects.toMatchObject({
      code: 'network_not_found',
    })
    await expect(putSubscriber(east, NOWHERE)).rejects.toMatchObject({ code: 'app_not_found' })
  })

  test('the database itself refuses an assignment across shards', async () => {
    const app = await createApp(EAST)
    const west = await createNetwork({ shard: WEST })
    const insert = opened.records.query((db) =>
      db
        .insertInto('subscribers')
        .values({
          app_id: app.appId,
          subscriber_id: toSubscriberId('x@example.net'),
          network_id: west.networkId,
          shard: EAST,
          subscriber_number: '+15550100',
          subscriber_name: null,
          subscriber_account_id: null,
          created_at: new Date(),
          announced_at: null,
        })
        .execute(),
    )
    await expect(insert).rejects.toMatchObject({ code: 'network_not_found' })
  })

  test('pages of subscribers come in byte order of the id, whatever the collation', async () => {
    const network = await createNetwork()
    const app = await createApp()
    for (const id of ['b@x', 'B@x', 'ä@x', 'a_b@x', 'a-b@x', 'a@x']) await putSubscriber(network, app.appId, id)
    const first = await subscribers.list(app.appId, { limit: 4 })
    expect(first.map((found) => found.subscriberId)).toEqual(['B@x', 'a-b@x', 'a@x', 'a_b@x'])
    const rest = await subscribers.list(app.appId, { after: toSubscriberId('a_b@x'), limit: 4 })
    expect(rest.map((found) => found.subscriberId)).toEqual(['b@x', 'ä@x'])
  })

  test('a removed app takes its keys, assignments and endpoints with it', async () => {
    const network = await createNetwork()
    const { app, key } = await apps.create({ name: 'crm', shard: EAST })
    await putSubscriber(network, app.appId)
    const endpoint = await endpoints.create(newEndpoint(app.appId))
    expect(await apps.remove(app.appId)).toBe(true)
    expect(await apps.remove(app.appId)).toBe(false)
    expect(await apps.find(app.appId)).toBeUndefined()
    expect(await apps.authenticate(key.apiKey)).toBeUndefined()
    expect(await subscribers.list(app.appId, { limit: 9 })).toEqual([])
    expect(await endpoints.list(app.appId)).toEqual([])
    expect(await endpoints.credentialsOf(endpoint.endpointId)).toBeUndefined()
    expect(await networks.remove(network.networkId)).toBe(true)
  })

  test('an API key is right, wrong by one character, revoked, or not a key at all', async () => {
    const { app, key } = await apps.create({ name: 'crm', shard: EAST })
    expect(key.apiKey).toMatch(/^ck_[0-9a-f]{16}_[A-Za-z0-9_-]{43}$/)
    expect(key.apiKey.startsWith(key.prefix)).toBe(true)
    expect(await apps.authenticate(key.apiKey)).toEqual({ appId: app.appId, keyId: key.keyId })
    const other = key.apiKey.endsWith('A') ? 'B' : 'A'
    expect(await apps.authenticate(key.apiKey.slice(0, -1) + other)).toBeUndefined()
    expect(await apps.authenticate(`ck_0123456789abcdef_${'A'.repeat(43)}`)).toBeUndefined()
    for (const text of ['', 'Bearer', `${key.apiKey} `, key.prefix])
      expect(await apps.authenticate(text)).toBeUndefined()

    const second = await apps.issueKey(app.appId, 'ci')
    expect(await apps.authenticate(second.apiKey)).toEqual({ appId: app.appId, keyId: second.keyId })
    expect(await apps.revokeKey(app.appId, key.keyId)).toBe(true)
    expect(await apps.revokeKey(app.appId, key.keyId)).toBe(false)
    expect(await apps.hasKey({ appId: app.appId, keyId: key.keyId })).toBe(false)
    expect(await apps.hasKey({ appId: app.appId, keyId: second.keyId })).toBe(true)
    expect(await apps.authenticate(key.apiKey)).toBeUndefined()
    expect(await apps.authenticate(second.apiKey)).toEqual({ appId: app.appId, keyId: second.keyId })
    expect(await apps.listKeys(app.appId)).toEqual([
      { keyId: second.keyId, appId: app.appId, name: 'ci', prefix: second.prefix, createdAt: second.createdAt },
    ])
    await expect(apps.issueKey(toAppId(NOWHERE), undefined)).rejects.toMatchObject({ code: 'app_not_found' })
  })

  test("an app cannot revoke another app's key", async () => {
    const [mine, theirs] = [
      await apps.create({ name: 'a', shard: EAST }),
      await apps.create({ name: 'b', shard: EAST }),
    ]
    expect(await apps.revokeKey(mine.app.appId, theirs.key.keyId)).toBe(false)
    expect(await apps.hasKey({ appId: theirs.app.appId, keyId: theirs.key.keyId })).toBe(true)
    expect(await apps.hasKey({ appId: mine.app.appId, keyId: theirs.key.keyId })).toBe(false)
  })

  test('an app has 20 endpoints at most, however many are created at once', async () => {
    const { appId } = await createApp()
    const create = () => endpoints.create(newEndpoint(appId))
    const made = await Promise.allSettled(Array.from({ length: 105 }, create))
    expect(made.filter(({ status }) => status === 'fulfilled')).toHaveLength(20)
    await expect(create()).rejects.toMatchObject({ code: 'too_many_webhooks', fields: { max: 20 } })
    const [first] = await endpoints.list(appId)
    expect(await endpoints.remove(appId, first?.endpointId ?? toEndpointId('none'))).toBe(true)
    await create()
    expect(await endpoints.list(appId)).toHaveLength(20)
    await apps.remove(appId)
  })

  test('no secret stands in any table', async () => {
    const network = await createNetwork({ secrets: { password: 'correct-horse-battery' } })
    const { app, key } = await apps.create({ name: 'crm', shard: EAST })
    const { endpointId } = await endpoints.create(
      newEndpoint(app.appId, {
        secret: 'whsec_bmV2ZXItaW4tY2xlYXI',
        headers: { 'x-tenant': 'header-value-of-theirs' },
        signatures: ['v1', 'v1a'],
        asymmetric: { privateKey: 'whsk_cHJpdmF0ZS1rZXk', publicKey: 'whpk_cHVibGlj' },
      }),
    )
    const dump = await dumpTables(opened)
    // The dump does hold these rows: what is public in them is there.
    for (const text of [network.networkId, key.prefix, endpointId, 'x-tenant', 'whpk_cHVibGlj']) {
      expect(dump).toContain(text)
    }
    const keySecret = key.apiKey.slice(key.prefix.length + 1)
    const ofEndpoint = ['bmV2ZXItaW4tY2xlYXI', 'never-in-clear', 'cHJpdmF0ZS1rZXk', 'header-value-of-theirs']
    for (const secret of ['correct-horse-battery', keySecret, ...ofEndpoint]) {
      expect(dump).not.toContain(secret)
      expect(dump).not.toContain(Buffer.from(secret).toString('base64url'))
      expect(dump).not.toContain(Buffer.from(secret).toString('hex'))
    }
  })

  test('a secret moved to another row is not readable there', async () => {
    const [one, two] = [
      await createNetwork({ secrets: { password: 'one' } }),
      await createNetwork({ secrets: { password: 'two' } }),
    ]
    await opened.records.query((db) =>
      sql`update network_secrets set value = (select value from network_secrets where network_id = ${one.networkId})
        where network_id = ${two.networkId}`.execute(db),
    )
    expect(await networks.secretsOf(one.networkId)).toEqual({ password: 'one' })
    await expect(networks.secretsOf(two.networkId)).rejects.toMatchObject({ code: 'internal' })
  })
})

const newEndpoint = (appId: AppId, change: Partial<NewEndpoint> = {}): NewEndpoint => ({
  appId,
  url: 'https://hooks.example.net/1',
  ...ENDPOINT_DEFAULTS,
  enabled: true,
  verified: true,
  secret: 'whsec_bGVha2Vk',
  ...change,
})

/** Every row of every table of ours as text. */
async function dumpTables({ records }: TestRecords): Promise<string> {
  const { rows: tables } = await records.query((db) =>
    sql<{
      name: string
    }>`select table_name as name from information_schema.tables where table_schema = 'public'`.execute(db),
  )
  const dumps = await Promise.all(
    tables.map(async ({ name }) => {
      const { rows } = await records.query((db) =>
        sql<{ row: string }>`select t::text as row from ${sql.table(name)} t`.execute(db),
      )
      return rows.map(({ row }) => row).join('\n')
    }),
  )
  return dumps.join('\n')
}
