import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ApiRig } from '../../test/support/api-rig.ts'
import type { RigTenant } from '../../test/support/api-rig.ts'
import { AppClient } from '../../test/support/app-client.ts'
import { DeliveryBook, failedAttempt, TAKEN_AT } from '../../test/support/delivery-book.ts'
import { until } from '../../test/support/until.ts'

let rig: ApiRig
let tenant: RigTenant
let app: AppClient
let book: DeliveryBook
let webhookId: string

beforeAll(async () => {
  rig = await ApiRig.start()
  tenant = await rig.addTenant()
  app = new AppClient(rig, tenant)
  book = await DeliveryBook.open(app)
  ;({ webhookId } = book)
})
afterAll(() => rig.stop())

const asApp = (method: string, suffix: string, body?: unknown) => app.request(method, suffix, body)
const record = (delivery: Parameters<DeliveryBook['record']>[0]) => book.record(delivery)
const pendingOf = async (id: string) => Object(Object((await asApp('GET', `/webhooks/${id}`)).body).status).pending

describe('a replay', () => {
  it('of one delivery puts it back into a lane and wakes it', async () => {
    const id = await record({ callId: 'again', end: 'expired' })
    const before = await pendingOf(webhookId)
    rig.woken.length = 0
    expect(await asApp('POST', `/deliveries/${id}/replay`)).toMatchObject({
      status: 200,
      body: { matched: 1, replayed: 1, truncated: false, dry_run: false },
    })
    expect(await pendingOf(webhookId)).toBe(before + 1)
    expect(rig.woken).toMatchObject([{ lane: { appId: tenant.appId, endpointId: webhookId } }])
  })

  it('of one that is on its way is a 409', async () => {
    const id = await record({ attempts: [failedAttempt()] })
    expect(await asApp('POST', `/deliveries/${id}/replay`)).toMatchObject({
      status: 409,
      body: { code: 'delivery_pending' },
    })
  })

  it('of one delivery counts among the five of an app that may be under way', async () => {
    const ids = await Promise.all(Array.from({ length: 6 }, (_, i) => record({ callId: `held ${i}`, end: 'expired' })))
    const [first, ...others] = ids
    const { wake } = rig
    const held = Promise.withResolvers<void>()
    let waiting = 0
    rig.wake = () => {
      waiting += 1
      return held.promise
    }
    try {
      const replays = others.map((id) => asApp('POST', `/deliveries/${id}/replay`))
      await until('five replays', () => waiting === 5)
      const refused = { status: 429, body: { code: 'too_many_requests' } }
      expect(await asApp('POST', `/deliveries/${first}/replay`)).toMatchObject(refused)
      expect(await asApp('POST', `/webhooks/${webhookId}/replay`)).toMatchObject(refused)
      held.resolve()
      expect((await Promise.all(replays)).map(({ status }) => status)).toEqual([200, 200, 200, 200, 200])
    } finally {
      held.resolve()
      rig.wake = wake
    }
    expect((await asApp('POST', `/deliveries/${first}/replay`)).status).toBe(200)
  })

  it('to a webhook that is disabled or deleted is refused', async () => {
    const disabled = await app.register()
    const id = await record({ webhook: disabled, end: 'dropped' })
    await asApp('PATCH', `/webhooks/${disabled}`, { enabled: false })
    const refused = { status: 409, body: { code: 'webhook_disabled' } }
    expect(await asApp('POST', `/deliveries/${id}/replay`)).toMatchObject(refused)
    expect(await asApp('POST', `/webhooks/${disabled}/replay`)).toMatchObject(refused)
    expect(await asApp('POST', `/webhooks/${disabled}/replay`, { dry_run: true })).toMatchObject({
      status: 200,
      body: { matched: 1, replayed: 0 },
    })
    await asApp('DELETE', `/webhooks/${disabled}`)
    const gone = { status: 404, body: { code: 'webhook_not_found' } }
    expect(await asApp('POST', `/deliveries/${id}/replay`)).toMatchObject(gone)
    expect(await asApp('POST', `/webhooks/${disabled}/replay`)).toMatchObject(gone)
    expect((await asApp('GET', `/deliveries/${id}`)).status).toBe(200)
  })

  it('takes what failed unless told otherwise; a dry run only counts', async () => {
    const webhook = await app.register()
    const since = TAKEN_AT + 4_000_000
    const on = (more: Parameters<typeof record>[0]) => record({ webhook, at: since, ...more })
    await on({ end: 'expired', attempts: [failedAttempt({ outcome: 'timeout' })] })
    await on({ end: 'parked', callId: 'callhalf-2:0', type: 'call.active', attempts: [failedAttempt()] })
    await on({ end: 'dropped', callId: 'callhalf-2:0', type: 'call.released' })
    await on({ end: 'superseded', type: 'call.held' })
    await on({ end: 'delivered', attempts: [failedAttempt({ outcome: 'delivered', status: 200 })] })
    await on({})
    await on({ end: 'expired', at: since + 1_000 })
    const counted: readonly (readonly [object | undefined, number])[] = [
      [undefined, 4],
      [{ since, until: since + 1_000 }, 3],
      [{ call_id: 'callhalf-2:0' }, 2],
      [{ event_type: 'call.ringing' }, 2],
      [{ statuses: ['delivered', 'superseded'] }, 2],
      [{ outcome: 'timeout' }, 1],
      [{ never_attempted: true }, 2],
      [{ never_attempted: false }, 4],
      [{ statuses: ['parked'], event_type: 'call.released' }, 0],
    ]
    for (const [filter, matched] of counted) {
      const { body } = await asApp('POST', `/webhooks/${webhook}/replay`, { ...filter, dry_run: true })
      expect([filter, body]).toEqual([filter, { matched, replayed: 0, truncated: false, dry_run: true }])
    }
    expect(await pendingOf(webhook)).toBe(0)
    expect((await asApp('POST', `/webhooks/${webhook}/replay`, { limit: 3, dry_run: true })).body).toEqual({
      matched: 3,
      replayed: 0,
      truncated: true,
      dry_run: true,
    })
    expect((await asApp('POST', `/webhooks/${webhook}/replay`, { limit: 3 })).body).toEqual({
      matched: 3,
      replayed: 3,
      truncated: true,
      dry_run: false,
    })
    expect(await pendingOf(webhook)).toBe(3)
  })

  it.each([
    [{ limit: 0 }, 'limit'],
    [{ limit: 10_001 }, 'limit'],
    [{ statuses: [] }, 'statuses'],
    [{ statuses: ['pending'] }, 'statuses.0'],
    [{ outcome: 'bad_luck' }, 'outcome'],
    [{ event_type: 'call' }, 'event_type'],
    [{ since: '2026-01-01' }, 'since'],
    [{ until: -1 }, 'until'],
    [{ dry_run: 'yes' }, 'dry_run'],
    [{ webhook_id: 'x' }, 'webhook_id'],
  ])('by %j is a 400 naming %s, and nothing is replayed', async (body, field) => {
    const before = await pendingOf(webhookId)
    expect(await asApp('POST', `/webhooks/${webhookId}/replay`, body)).toMatchObject({
      status: 400,
      body: { code: 'invalid_request', errors: [{ field }] },
    })
    expect(await pendingOf(webhookId)).toBe(before)
  })
})
