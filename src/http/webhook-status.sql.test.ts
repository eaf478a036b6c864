import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ApiRig } from '../../test/support/api-rig.ts'
import type { RigTenant } from '../../test/support/api-rig.ts'
import { AppClient, HOOK_URL } from '../../test/support/app-client.ts'
import { textField } from '../../test/support/checked-request.ts'
import { GatewayError } from '../core/errors.ts'
import { toAppId, toEndpointId } from '../core/ids.ts'
import { eventIdOf, formatToken } from '../webhooks/delivery.ts'

let rig: ApiRig
let tenant: RigTenant
let other: RigTenant
let app: AppClient

beforeAll(async () => {
  rig = await ApiRig.start()
  tenant = await rig.addTenant()
  other = await rig.addTenant()
  app = new AppClient(rig, tenant)
})
afterAll(() => rig.stop())

const asApp = (method: string, suffix: string, body?: unknown) => app.request(method, suffix, body)
const withWebhook = (...of: Parameters<AppClient['withWebhook']>) => app.withWebhook(...of)

describe('status', () => {
  const rules = { slots: 10, orderHoldMs: 10_000, coalesce: false }

  /** What a dispatcher does with an event that the receiver does not take. */
  async function failOnce(webhookId: string, pausedUntil?: number): Promise<void> {
    const ref = { appId: toAppId(tenant.appId), endpointId: toEndpointId(webhookId) }
    const now = rig.now
    await rig.withDeliveryStore(async (store) => {
      const cursor = (await store.cursors(ref.appId)).get(ref.endpointId)
      if (cursor === undefined) throw new Error('the webhook was not started')
      const position = { epoch: cursor.epoch, offset: cursor.offset + 1 }
      const eventId = eventIdOf(ref.appId, position)
      const pending = { eventId, class: 'record', takenAt: now, expiresAt: now + 60_000, attemptsBefore: 0 } as const
      const token = formatToken({ ...pending, isReplay: false, sequence: '1' })
      const lane = { ...ref, orderKey: `call ${position.offset}` }
      const event = { eventId, type: 'call.released', about: { occurredAt: now }, payload: '{}' }
      const wanted = [{ endpointId: ref.endpointId, rules, wanted: [{ place: 0, token }] }]
      const events = [{ ...event, position, orderKey: lane.orderKey }]
      await store.take({ appId: ref.appId, events, last: position, endpoints: wanted }, now)
      expect(await store.begin(lane, { owner: 'test', fresh: true, now, rules })).toMatchObject({ kind: 'due' })
      const attempt = {
        number: 1,
        startedAt: now,
        target: 'primary',
        outcome: 'timeout',
        timing: { totalMs: 5 },
      } as const
      const attempts = [{ attemptId: `of ${position.offset}`, deliveryId: 'msg_1', attempt }]
      const turn = { owner: 'test', token, due: now + 5_000, attempts, failed: true, now, rules }
      await store.postpone(lane, { ...turn, ...(pausedUntil !== undefined && { pausedUntil }) })
    })
  }

  it('says what is pending, since when nothing arrives and until when nothing is to be sent', async () => {
    await withWebhook({}, async (id) => {
      const [since, until] = [rig.now, rig.now + 60_000]
      await failOnce(id, until)
      const status = { breaker: 'closed', pending: 1, in_flight: 0, paused_until: until }
      const found = await asApp('GET', `/webhooks/${id}`)
      expect(found.body).toMatchObject({ status: { ...status, failing_since: expect.any(Number) } })
      const { failing_since: failingSince } = Object(Object(found.body).status)
      expect(failingSince - since).toBeLessThan(5_000)
      expect(failingSince - since).toBeGreaterThanOrEqual(0)
      expect((await asApp('GET', '/webhooks')).body).toMatchObject([{ webhook_id: id, status }])
      rig.advance(120_000)
      expect(Object((await asApp('GET', `/webhooks/${id}`)).body).status).not.toHaveProperty('paused_until')
    })
  })

  it('enabling again, or another URL, forgets the failures; any other change does not', async () => {
    await withWebhook({}, async (id) => {
      const isFailing = async () =>
        Object.hasOwn(Object((await asApp('GET', `/webhooks/${id}`)).body).status, 'failing_since')
      await failOnce(id)
      await asApp('PATCH', `/webhooks/${id}`, { description: 'still failing', enabled: true, url: HOOK_URL })
      expect(await isFailing()).toBe(true)
      // As the gateway disables it.
      await rig.endpoints.update(toAppId(tenant.appId), toEndpointId(id), { enabled: false, disabledReason: 'failing' })
      expect(await isFailing()).toBe(true)
      const enabled = await asApp('PATCH', `/webhooks/${id}`, { enabled: true })
      expect(enabled.body).not.toHaveProperty('disabled_reason')
      expect(await isFailing()).toBe(false)
      await failOnce(id)
      await asApp('PATCH', `/webhooks/${id}`, { url: 'https://hooks.example.net/other' })
      expect(await isFailing()).toBe(false)
    })
  })

  it('when the failures cannot be forgotten the webhook stays disabled', async () => {
    await withWebhook({ enabled: false }, async (id) => {
      const { resetFailures } = rig
      rig.resetFailures = () => Promise.reject(new GatewayError('store_unavailable'))
      expect((await asApp('PATCH', `/webhooks/${id}`, { enabled: true })).status).toBe(503)
      rig.resetFailures = resetFailures
      expect((await asApp('GET', `/webhooks/${id}`)).body).toMatchObject({ enabled: false })
    })
  })

  it('is left out while the store does not answer, and the webhook is shown all the same', async () => {
    await withWebhook({}, async (id) => {
      const { webhookStatus } = rig
      rig.webhookStatus = () => Promise.reject(new GatewayError('store_unavailable'))
      const answers = [await asApp('GET', `/webhooks/${id}`), await asApp('GET', '/webhooks')]
      const all = await rig.admin('GET', '/admin/webhooks')
      rig.webhookStatus = webhookStatus
      expect(answers.map(({ status }) => status)).toEqual([200, 200])
      expect(answers[0]?.body).toMatchObject({ webhook_id: id })
      expect(answers[0]?.body).not.toHaveProperty('status')
      expect(all).toMatchObject({ status: 200, body: { webhooks: [{ webhook_id: id }] } })
    })
  })

  it('one that is disabled has nothing pending and no place in the log from then on, so it can only start anew', async () => {
    await withWebhook({}, async (id) => {
      await failOnce(id)
      await asApp('PATCH', `/webhooks/${id}`, { enabled: false })
      expect((await asApp('GET', `/webhooks/${id}`)).body).toMatchObject({ status: { pending: 0 } })
      const cursors = await rig.withDeliveryStore((store) => store.cursors(toAppId(tenant.appId)))
      expect(cursors.has(toEndpointId(id))).toBe(false)
    })
  })

  it('a disabled webhook is started when it is enabled, at the top of the log', async () => {
    await withWebhook({ enabled: false }, async (id) => {
      const started = () =>
        rig.withDeliveryStore(async (store) => (await store.cursors(toAppId(tenant.appId))).has(toEndpointId(id)))
      expect(await started()).toBe(false)
      await asApp('PATCH', `/webhooks/${id}`, { enabled: true })
      expect(await started()).toBe(true)
    })
  })
})

describe('the webhooks of all apps', () => {
  it('are listed for the admin in pages that lead to each other, and for nobody else', async () => {
    const third = await rig.addTenant()
    const ids: string[] = []
    for (const { appId, key } of [other, third, other]) {
      ids.push(
        textField(await rig.request('POST', `/apps/${appId}/webhooks`, { key, body: { url: HOOK_URL } }), 'webhook_id'),
      )
      rig.advance(10)
    }
    const first = await rig.admin('GET', '/admin/webhooks?limit=2')
    expect(first.body).toMatchObject({
      webhooks: [
        { webhook_id: ids[2], app_id: other.appId, status: { breaker: 'closed' } },
        { webhook_id: ids[1], app_id: third.appId },
      ],
    })
    const second = await rig.admin('GET', `/admin/webhooks?limit=2&cursor=${textField(first, 'cursor')}`)
    expect(second.body).toMatchObject({ webhooks: [{ webhook_id: ids[0] }] })
    expect(second.body).not.toHaveProperty('cursor')
    const ofThird = await rig.admin('GET', `/admin/webhooks?app_id=${third.appId}`)
    expect(Object(ofThird.body).webhooks).toMatchObject([{ webhook_id: ids[1] }])
    for (const query of ['limit=0', 'limit=201', 'limit=x', 'cursor=made-up', 'page=2']) {
      expect([query, (await rig.admin('GET', `/admin/webhooks?${query}`)).status]).toEqual([query, 400])
    }
    expect((await rig.request('GET', '/admin/webhooks', { key: tenant.key })).status).toBe(401)
    await Promise.all([
      rig.admin('DELETE', `/apps/${other.appId}/webhooks/${ids[0]}`),
      rig.admin('DELETE', `/apps/${third.appId}/webhooks/${ids[1]}`),
      rig.admin('DELETE', `/apps/${other.appId}/webhooks/${ids[2]}`),
    ])
  })
})
