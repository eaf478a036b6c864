import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ApiRig } from '../../test/support/api-rig.ts'
import type { RigTenant } from '../../test/support/api-rig.ts'
import { AppClient } from '../../test/support/app-client.ts'
import { DeliveryBook, failedAttempt, TAKEN_AT } from '../../test/support/delivery-book.ts'
import { until } from '../../test/support/until.ts'
import type { AttemptRecord } from '../core/delivery-record.ts'

let rig: ApiRig
let tenant: RigTenant
let app: AppClient
let book: DeliveryBook
let other: RigTenant
let webhookId: string
let secondId: string

beforeAll(async () => {
  rig = await ApiRig.start()
  tenant = await rig.addTenant()
  app = new AppClient(rig, tenant)
  book = await DeliveryBook.open(app)
  ;({ webhookId } = book)
  other = await rig.addTenant()
  secondId = await app.register()
})
afterAll(() => rig.stop())

const asApp = (method: string, suffix: string, body?: unknown) => app.request(method, suffix, body)
const record = (delivery: Parameters<DeliveryBook['record']>[0]) => book.record(delivery)
const idsIn = (body: unknown): readonly string[] =>
  Object(body).deliveries.map((delivery: { readonly delivery_id: string }) => delivery.delivery_id)

/** One that came to nothing before it was connected. */
const unconnected = (outcome: AttemptRecord['outcome']): AttemptRecord => ({
  number: 1,
  startedAt: TAKEN_AT,
  target: 'primary',
  outcome,
  timing: { dnsMs: 2, totalMs: 3 },
  remoteAddress: '10.0.0.7',
})

describe('a delivery', () => {
  it('is shown with its payload as an object and each attempt with its timing', async () => {
    const attempts = [
      failedAttempt(),
      failedAttempt({ number: 2, outcome: 'delivered', status: 200, startedAt: TAKEN_AT + 300 }),
    ]
    const id = await record({ attempts, end: 'delivered' })
    const shown = {
      delivery_id: id,
      app_id: tenant.appId,
      webhook_id: webhookId,
      event_type: 'call.ringing',
      class: 'act_now',
      call_id: 'callhalf-1:0',
      subscriber_id: tenant.subscriberId,
      sequence_number: '3',
      position: `1700000000000000:${book.offset}`,
      occurred_at: TAKEN_AT - 5,
      created_at: TAKEN_AT,
      expires_at: TAKEN_AT + 30_000,
      status: 'delivered',
      attempt_count: 2,
      last_outcome: 'delivered',
      last_status: 200,
      last_attempt_at: TAKEN_AT + 300,
      ended_at: TAKEN_AT + 1_000,
      replay_count: 0,
    }
    const timing = { dns_ms: 1.5, connect_ms: 10, tls_ms: 20, first_byte_ms: 30, total_ms: 62 }
    const first = {
      number: 1,
      started_at: TAKEN_AT + 20,
      target: 'primary',
      outcome: 'http_status',
      status: 503,
      timing,
      remote_address: '93.184.215.14',
      reused: false,
      response: 'try again',
    }
    const found = await asApp('GET', `/deliveries/${id}`)
    expect(found.status).toBe(200)
    expect(found.body).toEqual({
      ...shown,
      payload: { call_id: 'callhalf-1:0', event: 'call.ringing', timestamp: TAKEN_AT - 5 },
      attempts: [first, { ...first, number: 2, started_at: TAKEN_AT + 300, outcome: 'delivered', status: 200 }],
    })
    expect((await asApp('GET', '/deliveries?limit=1')).body).toMatchObject({ deliveries: [shown] })
  })

  it('names no address that an attempt was not connected to', async () => {
    const outcomes = ['blocked_address', 'connect_refused', 'timeout', 'dns_error'] as const
    for (const outcome of outcomes) {
      const id = await record({ attempts: [unconnected(outcome)], end: 'expired' })
      const { body } = await asApp('GET', `/deliveries/${id}`)
      expect(body).toMatchObject({ attempts: [{ outcome, timing: { dns_ms: 2, total_ms: 3 } }] })
      expect(JSON.stringify(body)).not.toContain('10.0.0.7')
    }
  })

  it("of another app, or one that never was, is not there; another's webhook neither", async () => {
    const id = await record({ end: 'expired' })
    const notFound = { status: 404, body: { code: 'delivery_not_found' } }
    for (const [method, path] of [
      ['GET', `/deliveries/${id}`],
      ['POST', `/deliveries/${id}/replay`],
    ] as const) {
      expect(await rig.request(method, `/apps/${other.appId}${path}`, { key: other.key })).toMatchObject(notFound)
      expect((await rig.request(method, `/apps/${tenant.appId}${path}`, { key: other.key })).status).toBe(404)
      expect((await rig.request(method, `/apps/${tenant.appId}${path}`)).status).toBe(401)
    }
    expect(await asApp('GET', '/deliveries/msg_unknown')).toMatchObject(notFound)
    expect(await asApp('GET', `/deliveries/${'m'.repeat(65)}`)).toMatchObject({ status: 400 })
    const listed = await rig.request('GET', `/apps/${other.appId}/deliveries?webhook_id=${webhookId}`, {
      key: other.key,
    })
    expect(listed.body).toEqual({ deliveries: [] })
  })
})

describe('lists', () => {
  it('filter by webhook, call, type, status, outcome and time', async () => {
    const at = TAKEN_AT + 1_000_000
    const own = { callId: 'half/1?ü&x=%', at }
    const ringing = await record({ ...own, attempts: [failedAttempt()] })
    const active = await record({
      ...own,
      at: at + 1,
      type: 'call.active',
      attempts: [failedAttempt({ outcome: 'timeout' })],
      end: 'expired',
    })
    const ended = await record({ ...own, at: at + 2, type: 'call.released', webhook: secondId, end: 'parked' })
    const order = await record({ callId: 'order', at: at + 3, type: 'order.completed', end: 'dropped' })
    const since = `since=${at}`
    const call = `call_id=${encodeURIComponent(own.callId)}`
    const expected: readonly (readonly [string, readonly string[]])[] = [
      [`?${since}`, [order, ended, active, ringing]],
      [`?${call}`, [ended, active, ringing]],
      [`?${since}&webhook_id=${webhookId}`, [order, active, ringing]],
      [`?${since}&event_type=call.active`, [active]],
      [`?${since}&event_type=call.*`, [ended, active, ringing]],
      [`?${since}&event_type=order.*`, [order]],
      [`?${since}&status=pending`, [ringing]],
      [`?${since}&status=expired,dropped`, [order, active]],
      [`?${since}&outcome=timeout`, [active]],
      [`?since=${at + 1}&until=${at + 3}`, [ended, active]],
      [`?${call}&${since}&status=parked&event_type=call.released&webhook_id=${secondId}`, [ended]],
      [`?${call}&status=superseded`, []],
    ]
    for (const [query, ids] of expected) {
      expect([query, idsIn((await asApp('GET', `/deliveries${query}`)).body)]).toEqual([query, ids])
    }
    const ofSecond = await asApp('GET', `/webhooks/${secondId}/deliveries?${since}`)
    expect(idsIn(ofSecond.body)).toEqual([ended])
  })

  it('come in pages that lead to each other and leave nothing out', async () => {
    const at = TAKEN_AT + 2_000_000
    const ids: string[] = []
    // Two of the same millisecond, so that the page ends between them.
    for (const later of [0, 1, 1, 2, 3]) ids.push(await record({ callId: 'paged', at: at + later, end: 'expired' }))
    for (const path of ['/deliveries', `/webhooks/${webhookId}/deliveries`]) {
      const seen: string[] = []
      let cursor: string | undefined
      do {
        const { body } = await asApp(
          'GET',
          `${path}?call_id=paged&limit=2${cursor === undefined ? '' : `&cursor=${cursor}`}`,
        )
        seen.push(...idsIn(body))
        ;({ cursor } = Object(body))
      } while (cursor !== undefined)
      expect(seen).toHaveLength(5)
      expect(new Set(seen)).toEqual(new Set(ids))
      expect([seen[0], seen[4]]).toEqual([ids[4], ids[0]])
    }
  })

  it.each([
    'limit=0',
    'limit=201',
    'limit=ten',
    'status=lost',
    'status=pending,',
    'outcome=bad_luck',
    'event_type=*',
    'event_type=call.exploded',
    'since=yesterday',
    'until=-1',
    'cursor=made-up',
    'page=2',
    'app_id=x',
    'call_id=',
  ])('%s is a 400 naming the field', async (query) => {
    const field = query.slice(0, query.indexOf('='))
    const invalid = { status: 400, body: { code: 'invalid_request', errors: [{ field }] } }
    expect(await asApp('GET', `/deliveries?${query}`)).toMatchObject(invalid)
    expect(await asApp('GET', `/webhooks/${webhookId}/deliveries?${query}`)).toMatchObject(invalid)
    expect((await rig.admin('GET', `/admin/deliveries?${query}`)).status).toBe(query === 'app_id=x' ? 200 : 400)
  })

  it('of all apps are for the admin only', async () => {
    const theirs = await new AppClient(rig, other).register()
    const at = TAKEN_AT + 3_000_000
    const [mine, foreign] = [await record({ at }), await record({ of: other, webhook: theirs, at: at + 1 })]
    const list = async (query: string) => idsIn((await rig.admin('GET', `/admin/deliveries?since=${at}${query}`)).body)
    expect(await list('')).toEqual([foreign, mine])
    expect(await list(`&app_id=${other.appId}`)).toEqual([foreign])
    expect(await list(`&webhook_id=${webhookId}`)).toEqual([mine])
    expect((await rig.request('GET', '/admin/deliveries', { key: tenant.key })).status).toBe(401)
    expect(idsIn((await asApp('GET', `/deliveries?since=${at}`)).body)).toEqual([mine])
  })
})

describe('requests of one app for its deliveries', () => {
  it('run three at a time and up to twenty are taken, so that those of other apps are not kept from the database', async () => {
    const { deliveries } = rig
    const list = deliveries.list.bind(deliveries)
    const find = deliveries.find.bind(deliveries)
    const held = Promise.withResolvers<void>()
    const asked: unknown[] = []
    const hold = async (appId: unknown) => {
      asked.push(appId)
      await held.promise
    }
    deliveries.list = async (filter, page) => {
      await hold(filter.appId)
      return list(filter, page)
    }
    deliveries.find = async (appId, id) => {
      await hold(appId)
      return find(appId, id)
    }
    try {
      const id = await record({ end: 'expired' })
      const paths = ['/deliveries', `/webhooks/${webhookId}/deliveries`, `/deliveries/${id}`]
      const taken = Array.from({ length: 20 }, () => asApp('GET', '/deliveries'))
      await until('three of them', () => asked.length === 3)
      const refused = { status: 429, body: { code: 'too_many_requests' } }
      for (const path of paths) expect(await asApp('GET', path)).toMatchObject(refused)
      const another = rig.request('GET', `/apps/${other.appId}/deliveries`, { key: other.key })
      await until("the other app's", () => asked.length === 4)
      expect(asked).toEqual([tenant.appId, tenant.appId, tenant.appId, other.appId])
      held.resolve()
      expect((await Promise.all([another, ...taken])).map(({ status }) => status)).toEqual(
        Array.from({ length: 21 }, () => 200),
      )
    } finally {
      held.resolve()
      Object.assign(deliveries, { list, find })
    }
    expect((await asApp('GET', '/deliveries')).status).toBe(200)
  })
})
