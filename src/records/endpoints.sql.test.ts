import { sql } from 'kysely'
import * as v from 'valibot'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { ENDPOINT_DEFAULTS, type NewEndpoint } from '../core/endpoint.ts'
import { ShardSchema, toAppId, toEndpointId, toSubscriberId, type AppId } from '../core/ids.ts'
import { silentLogger } from '../core/logger.ts'
import { STORES, startTestRecords, type TestRecords } from '../../test/support/records.ts'
import { Apps } from './apps.ts'
import { RecordsDirectory } from './directory.ts'
import { Endpoints } from './endpoints.ts'

const SHARD = v.parse(ShardSchema, 's1')
const NOBODY = toAppId('00000000-0000-4000-8000-000000000000')
const KEY_PAIR = { privateKey: 'whsk_b25l', publicKey: 'whpk_b25l' }
const OTHER_KEY_PAIR = { privateKey: 'whsk_dHdv', publicKey: 'whpk_dHdv' }

describe.each(STORES)('endpoints on %s', (store) => {
  let opened: TestRecords
  let directory: RecordsDirectory
  let apps: Apps
  let endpoints: Endpoints
  let appId: AppId

  beforeAll(async () => {
    opened = await startTestRecords(store)
    directory = new RecordsDirectory({ records: opened.records, clock: opened.clock, log: silentLogger })
    await directory.start()
    apps = new Apps(opened.records, directory)
    endpoints = new Endpoints(opened.records, directory)
  })
  afterAll(async () => {
    await directory?.stop()
    await opened?.stop()
  })
  beforeEach(async () => {
    appId = (await apps.create({ name: 'crm', shard: SHARD })).app.appId
  })

  const create = (change: Partial<NewEndpoint> = {}) =>
    endpoints.create({
      appId,
      url: 'https://hooks.example.net/1',
      ...ENDPOINT_DEFAULTS,
      enabled: true,
      verified: true,
      secret: 'whsec_b25l',
      ...change,
    })

  test('an endpoint with everything is found as it was created, its header values apart', async () => {
    const settings = {
      failoverUrl: 'https://spare.example.net/1',
      description: 'CRM',
      metadata: { team: "it's ours" },
      eventTypes: ['call.*', 'order.completed'],
      subscriberIds: [toSubscriberId('alice@example.net')],
      directions: ['incoming' as const],
      policies: { 'call.ringing': { ttlMs: 20_000, delaysMs: [100, 200] } },
      orderHoldMs: 0,
      coalesce: true,
      maxInFlight: 25,
      ratePerSecond: 50,
      signatures: ['v1', 'v1a'] as const,
      caCertificates: '-----BEGIN CERTIFICATE-----',
    }
    const endpoint = await create({ ...settings, headers: { 'x-b': '2', 'x-a': 'ü' }, asymmetric: KEY_PAIR })
    expect(endpoint).toEqual({
      ...settings,
      endpointId: endpoint.endpointId,
      appId,
      url: 'https://hooks.example.net/1',
      enabled: true,
      verified: true,
      headerNames: ['x-b', 'x-a'],
      publicKey: 'whpk_b25l',
      createdAt: endpoint.createdAt,
      updatedAt: endpoint.createdAt,
    })
    expect(await endpoints.find(appId, endpoint.endpointId)).toEqual(endpoint)
    expect(await endpoints.list(appId)).toEqual([endpoint])
    expect(await endpoints.credentialsOf(endpoint.endpointId)).toEqual({
      secrets: ['whsec_b25l', 'whsk_b25l'],
      headers: { 'x-b': '2', 'x-a': 'ü' },
      url: 'https://hooks.example.net/1',
      failoverUrl: settings.failoverUrl,
    })
    const { description: _description, metadata: _metadata, ...delivered } = settings
    expect(directory.endpointsOf(appId)).toEqual([
      {
        ...delivered,
        endpointId: endpoint.endpointId,
        app: { appId, shard: 's1' },
        url: 'https://hooks.example.net/1',
        enabled: true,
        verified: true,
      },
    ])
  })

  test('null takes away each optional setting, and what is not named stays', async () => {
    const { endpointId, ...before } = await create({
      failoverUrl: 'https://spare.example.net/1',
      description: 'CRM',
      metadata: { a: 'b' },
      eventTypes: ['call.*'],
      subscriberIds: [],
      directions: [],
      policies: {},
      ratePerSecond: 5,
      caCertificates: 'pem',
      headers: { 'x-a': '1' },
    })
    opened.clock.advance(1_000)
    const changed = await endpoints.update(appId, endpointId, {
      failoverUrl: null,
      description: null,
      metadata: null,
      eventTypes: null,
      subscriberIds: null,
      directions: null,
      policies: null,
      ratePerSecond: null,
      caCertificates: null,
      headers: {},
    })
    expect(changed).toEqual({
      endpointId,
      appId,
      url: 'https://hooks.example.net/1',
      ...ENDPOINT_DEFAULTS,
      enabled: true,
      verified: true,
      headerNames: [],
      createdAt: before.createdAt,
      updatedAt: changed?.updatedAt,
    })
    expect(changed?.updatedAt).toBeGreaterThan(before.updatedAt)
    expect(await endpoints.credentialsOf(endpointId)).toEqual({
      secrets: ['whsec_b25l'],
      headers: {},
      url: 'https://hooks.example.net/1',
    })
    const again = await endpoints.update(appId, endpointId, {
      orderHoldMs: 5,
      coalesce: true,
      maxInFlight: 2,
      subscriberIds: [toSubscriberId('bob@example.net')],
      headers: { 'x-c': '3' },
    })
    expect(again).toMatchObject({ orderHoldMs: 5, coalesce: true, maxInFlight: 2, headerNames: ['x-c'] })
    expect(again?.subscriberIds).toEqual(['bob@example.net'])
  })

  test('a change because of a URL is made only while the endpoint has it', async () => {
    const failoverUrl = 'https://spare.example.net/1'
    const { endpointId, url } = await create({ failoverUrl })
    const retire = (onlyIfUrl: string) => endpoints.update(appId, endpointId, { enabled: false, onlyIfUrl })
    const before = await endpoints.find(appId, endpointId)
    expect(await retire('https://old.example.net/')).toEqual(before)
    expect(await endpoints.find(appId, endpointId)).toEqual(before)
    expect(await retire(failoverUrl)).toMatchObject({ enabled: false, disabledReason: 'requested' })
    await endpoints.update(appId, endpointId, { enabled: true, failoverUrl: null })
    expect(await retire(failoverUrl)).toMatchObject({ enabled: true })
    expect(await retire(url)).toMatchObject({ enabled: false })
  })

  test('only its own app finds, changes, rotates or removes an endpoint', async () => {
    const { endpointId } = await create()
    const stranger = (await apps.create({ name: 'other', shard: SHARD })).app.appId
    expect(await endpoints.find(stranger, endpointId)).toBeUndefined()
    expect(await endpoints.update(stranger, endpointId, { enabled: false })).toBeUndefined()
    expect(await endpoints.rotateSecrets(stranger, endpointId, { secret: 'whsec_eA', graceMs: 1 })).toBeUndefined()
    expect(await endpoints.remove(stranger, endpointId)).toBe(false)
    expect(await endpoints.remove(appId, endpointId)).toBe(true)
    expect(await endpoints.remove(appId, endpointId)).toBe(false)
    expect(await endpoints.credentialsOf(endpointId)).toBeUndefined()
    await expect(create({ appId: NOBODY })).rejects.toMatchObject({ code: 'app_not_found' })
    const missing = toEndpointId(NOBODY)
    expect(await endpoints.rotateSecrets(appId, missing, { secret: 'whsec_eA', graceMs: 1 })).toBeUndefined()
  })

  test('an endpoint that is not enabled says why, and forgets it when it is enabled', async () => {
    const { endpointId, ...made } = await create({ enabled: false })
    expect(made).toMatchObject({ enabled: false, disabledReason: 'requested' })
    const enabled = await endpoints.update(appId, endpointId, { enabled: true })
    expect(enabled).not.toHaveProperty('disabledReason')
    const failing = await endpoints.update(appId, endpointId, { enabled: false, disabledReason: 'failing' })
    expect(failing).toMatchObject({ enabled: false, disabledReason: 'failing' })
    expect(await endpoints.update(appId, endpointId, { description: 'x' })).toMatchObject({ disabledReason: 'failing' })
    expect(await endpoints.update(appId, endpointId, { enabled: false })).toMatchObject({ disabledReason: 'requested' })
  })

  test('a new URL or failover makes an endpoint unverified, and the directory hold it for disabled', async () => {
    const { endpointId } = await create({ failoverUrl: 'https://spare.example.net/1' })
    const verifiedAfter = async (change: Parameters<Endpoints['update']>[2]) =>
      (
        await endpoints
          .update(appId, endpointId, { verified: true })
          .then(() => endpoints.update(appId, endpointId, change))
      )?.verified
    expect(await verifiedAfter({ url: 'https://hooks.example.net/1' })).toBe(true)
    expect(await verifiedAfter({ failoverUrl: null })).toBe(true)
    expect(await verifiedAfter({ failoverUrl: 'https://other.example.net/' })).toBe(false)
    expect(await verifiedAfter({ url: 'https://hooks.example.net/2', verified: true })).toBe(true)
    expect(await verifiedAfter({ url: 'https://hooks.example.net/3' })).toBe(false)
    expect(directory.endpointsOf(appId)).toMatchObject([{ enabled: false, url: 'https://hooks.example.net/3' }])
    expect(await endpoints.find(appId, endpointId)).toMatchObject({ enabled: true, verified: false })
  })

  test('a rotated secret signs first and those before it for the grace time, which never grows', async () => {
    const { endpointId } = await create()
    const secrets = async () => (await endpoints.credentialsOf(endpointId))?.secrets
    const rotate = async (secret: string, graceMs: number) => {
      opened.clock.advance(1)
      return endpoints.rotateSecrets(appId, endpointId, { secret, graceMs })
    }
    expect(await rotate('whsec_dHdv', 60_000)).toMatchObject({ endpointId })
    expect(await secrets()).toEqual(['whsec_dHdv', 'whsec_b25l'])
    opened.clock.advance(30_000)
    await rotate('whsec_dGhyZWU', 60_000)
    expect(await secrets()).toEqual(['whsec_dGhyZWU', 'whsec_dHdv', 'whsec_b25l'])
    opened.clock.advance(30_001)
    expect(await secrets()).toEqual(['whsec_dGhyZWU', 'whsec_dHdv'])
    await rotate('whsec_Zm91cg', 0)
    expect(await secrets()).toEqual(['whsec_Zm91cg'])
    const { rows } = await opened.records.query((db) =>
      sql<{ count: number }>`select count(*) as count from endpoint_secrets
        where endpoint_id = ${endpointId}`.execute(db),
    )
    expect(rows).toEqual([{ count: 1 }])
  })

  test('however often it is rotated, an endpoint has five secrets of a kind at most', async () => {
    const { endpointId } = await create()
    for (let n = 1; n <= 8; n += 1) {
      opened.clock.advance(1)
      await endpoints.rotateSecrets(appId, endpointId, { secret: `whsec_${n}`, graceMs: 60_000 })
    }
    expect((await endpoints.credentialsOf(endpointId))?.secrets).toEqual([
      'whsec_8',
      'whsec_7',
      'whsec_6',
      'whsec_5',
      'whsec_4',
    ])
  })

  test('each kind of secret rotates by itself, and a key pair takes its public key along', async () => {
    const { endpointId } = await create({ signatures: ['v1', 'v1a'], asymmetric: KEY_PAIR })
    opened.clock.advance(1)
    await endpoints.rotateSecrets(appId, endpointId, { secret: 'whsec_dHdv', graceMs: 0 })
    expect((await endpoints.credentialsOf(endpointId))?.secrets.toSorted()).toEqual(['whsec_dHdv', 'whsk_b25l'])
    opened.clock.advance(1)
    const rotation = { secret: 'whsec_dGhyZWU', asymmetric: OTHER_KEY_PAIR, graceMs: 60_000 }
    expect(await endpoints.rotateSecrets(appId, endpointId, rotation)).toMatchObject({ publicKey: 'whpk_dHdv' })
    const { secrets } = (await endpoints.credentialsOf(endpointId)) ?? { secrets: [] }
    expect(secrets.filter((secret) => secret.startsWith('whsk_'))).toEqual(['whsk_dHdv', 'whsk_b25l'])
    expect(secrets.filter((secret) => secret.startsWith('whsec_'))).toEqual(['whsec_dGhyZWU', 'whsec_dHdv'])
  })

  test('an endpoint signs with the secrets of its schemes only, and gets a key pair once', async () => {
    const { endpointId } = await create()
    const both = { signatures: ['v1', 'v1a'] as const, asymmetric: KEY_PAIR }
    await expect(endpoints.update(appId, endpointId, { signatures: ['v1a'] })).rejects.toMatchObject({
      code: 'internal',
    })
    expect(await endpoints.update(appId, endpointId, both)).toMatchObject({ publicKey: 'whpk_b25l' })
    const again = { signatures: ['v1a'] as const, asymmetric: OTHER_KEY_PAIR }
    expect(await endpoints.update(appId, endpointId, again)).toMatchObject({ publicKey: 'whpk_b25l' })
    expect((await endpoints.credentialsOf(endpointId))?.secrets).toEqual(['whsk_b25l'])
    await endpoints.update(appId, endpointId, { signatures: ['v1'] })
    expect((await endpoints.credentialsOf(endpointId))?.secrets).toEqual(['whsec_b25l'])
    expect(await endpoints.update(appId, endpointId, { signatures: ['v1a'] })).toMatchObject({ signatures: ['v1a'] })
  })

  test('header values moved to another endpoint are not readable there', async () => {
    const [one, two] = [await create({ headers: { 'x-a': '1' } }), await create({ headers: { 'x-a': '2' } })]
    await opened.records.query((db) =>
      sql`update endpoints set headers = (select headers from endpoints where endpoint_id = ${one.endpointId})
        where endpoint_id = ${two.endpointId}`.execute(db),
    )
    await expect(endpoints.credentialsOf(two.endpointId)).rejects.toMatchObject({ code: 'internal' })
  })

  test('all endpoints come in pages, newest first, of all apps or of one', async () => {
    await opened.records.query((db) => sql`delete from endpoints`.execute(db))
    const other = (await apps.create({ name: 'other', shard: SHARD })).app.appId
    const made: string[] = []
    for (const owner of [appId, other, appId, other, appId]) {
      opened.clock.advance(1)
      made.unshift((await create({ appId: owner })).endpointId)
    }
    const first = await endpoints.listAll({ limit: 2 })
    const second = await endpoints.listAll({ limit: 2, cursor: first.cursor ?? '' })
    const third = await endpoints.listAll({ limit: 2, cursor: second.cursor ?? '' })
    const pages = [first, second, third].map((page) => page.endpoints.map((found) => found.endpointId))
    expect(pages).toEqual([made.slice(0, 2), made.slice(2, 4), made.slice(4)])
    expect(third).not.toHaveProperty('cursor')
    const own = await endpoints.listAll({ limit: 9, appId: other })
    expect(own.endpoints.map((found) => found.endpointId)).toEqual([made[1], made[3]])
    await expect(endpoints.listAll({ limit: 2, cursor: 'x' })).rejects.toMatchObject({ code: 'invalid_request' })
  })
})
