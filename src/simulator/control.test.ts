import { once } from 'node:events'
import { Agent, get as httpGet } from 'node:http'
import { afterEach, describe, expect, onTestFinished, test } from 'vitest'
import { silentLogger } from '../core/logger.ts'
import {
  ADMINISTRATOR,
  acknowledge,
  ask,
  control,
  eventually,
  openChannel,
  subscribe,
} from '../../test/support/xsi-client.ts'
import type { RawChannel } from '../../test/support/xsi-client.ts'
import type { LedgerEntry, LedgerSummary } from './ledger.ts'
import type { LoadProgress } from './load.ts'
import type { SimulatorSettings } from './settings.ts'
import { Simulator } from './simulator.ts'

const running: Simulator[] = []
const channels: RawChannel[] = []

afterEach(async () => {
  for (const channel of channels.splice(0)) channel.close()
  for (const simulator of running.splice(0)) await simulator.stop(AbortSignal.timeout(1_000))
})

async function start(settings: Partial<SimulatorSettings> = {}) {
  const simulator = new Simulator({ ...ADMINISTRATOR, log: silentLogger, settings })
  running.push(simulator)
  await simulator.start()
  const [url = ''] = simulator.xspUrls
  const api = simulator.controlUrl
  return { url, api }
}

async function open(url: string): Promise<RawChannel> {
  const channel = await openChannel(url)
  channels.push(channel)
  return channel
}

const addAnn = (api: string) =>
  control(`${api}/users`, 'POST', { user_id: 'ann@example.net', number: '+15551230001', extension: '1001' })

describe('users', () => {
  test('10,000 users are made in one request, listed and deleted', async () => {
    const { api } = await start()
    const made = await control<{ count: number; users: unknown[] }>(`${api}/users`, 'POST', {
      count: 10_000,
      prefix: 'agent',
      domain: 'example.org',
    })
    expect([made.status, made.body.count]).toEqual([201, 10_000])
    expect(made.body.users[9_999]).toEqual({ user_id: 'agent10000@example.org', number: '+15550010000' })
    expect((await control(`${api}/users/agent7@example.org`, 'DELETE')).status).toBe(204)
    const list = await control<{ users: unknown[] }>(`${api}/users`, 'GET')
    expect(list.body.users).toHaveLength(9_999)
  })

  test('deleting a user releases the calls, ends subscriptions with an event and channels as UserDeleted', async () => {
    const { url, api } = await start()
    await addAnn(api)
    const channel = await open(url)
    await subscribe(url, '/user/ann@example.net')
    await control(`${api}/users/ann@example.net/incoming-calls`, 'POST', { from: '+15557770000' })
    expect((await control(`${api}/users/ann@example.net`, 'DELETE')).status).toBe(204)
    await channel.event('SubscriptionTerminatedEvent')
    expect(channel.events.map((event) => event.type)).toEqual([
      'CallSubscriptionEvent',
      'CallReceivedEvent',
      'CallReleasedEvent',
      'SubscriptionTerminatedEvent',
    ])
    expect((await control(`${api}/users/ann@example.net`, 'DELETE')).status).toBe(404)
    expect((await control<{ calls: unknown[] }>(`${api}/calls`, 'GET')).body.calls).toEqual([])
  })
})

describe('bad input', () => {
  test.each([
    ['POST', '/users', { user_id: 'ann@example.net' }, 'number'],
    ['POST', '/users', { user_id: 'a/b', number: '+15551230001' }, 'user_id'],
    ['POST', '/users', { count: 0 }, 'count'],
    ['PUT', '/settings', { ackTimeoutMs: -1 }, 'ackTimeoutMs'],
    ['PUT', '/settings', { nothing: 1 }, 'nothing'],
    ['PUT', '/faults', { split: { mode: 'bytes', max_bytes: 0 } }, 'split.max_bytes'],
    ['PUT', '/faults', { http_burst: { status: 200, count: 1 } }, 'http_burst.status'],
    ['POST', '/load', { calls_per_second: 0, seconds: 1 }, 'calls_per_second'],
    ['POST', '/failover', { resync: 'yes' }, 'resync'],
    ['GET', '/ledger?limit=x', undefined, 'limit'],
  ])('%s %s with %j is 400 and names %s', async (method, path, body, field) => {
    const { api } = await start()
    const reply = await control<{ errors: { field: string }[]; code: string }>(api + path, method, body)
    expect([reply.status, reply.body.errors[0]?.field, reply.body.code]).toEqual([400, field, 'invalid_request'])
  })

  test('text that is no JSON, unknown things and taken ids have their own codes', async () => {
    const { api } = await start()
    await addAnn(api)
    expect((await ask(`${api}/users`, { method: 'POST', body: '{' })).text).toContain('"code":"malformed_json"')
    expect((await control(`${api}/nothing`, 'GET')).status).toBe(404)
    expect((await control(`${api}/ledger`, 'POST')).status).toBe(405)
    expect((await control(`${api}/calls/none/remote/answer`, 'POST')).status).toBe(404)
    expect((await control(`${api}/channels/none/drop`, 'POST')).status).toBe(404)
    expect((await addAnn(api)).status).toBe(409)
    expect((await control(`${api}/healthz`, 'GET')).status).toBe(200)
  })
})

describe('settings and faults', () => {
  test('a PUT of settings changes the named ones; a PUT of faults replaces all, a DELETE ends them', async () => {
    const { api } = await start({ noAnswerMs: 1_234 })
    const changed = await control<SimulatorSettings>(`${api}/settings`, 'PUT', { ackTimeoutMs: 77 })
    expect([changed.body.ackTimeoutMs, changed.body.noAnswerMs, changed.body.eventTimeoutMs]).toEqual([
      77, 1_234, 30_000,
    ])
    await control(`${api}/faults`, 'PUT', { delay_ms: 5, half_open: true })
    const replaced = await control<{ delay_ms: number; half_open: boolean }>(`${api}/faults`, 'PUT', { delay_ms: 6 })
    expect([replaced.body.delay_ms, replaced.body.half_open]).toEqual([6, false])
    expect((await control<{ delay_ms: number }>(`${api}/faults`, 'DELETE')).body.delay_ms).toBe(0)
  })

  test('another idle time holds for the next requests, on connections that are open already, too', async () => {
    const { url, api } = await start({ keepAliveTimeoutMs: 60_000 })
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    onTestFinished(() => agent.destroy())
    const get = async () => {
      const request = httpGet(`${url}/nothing`, { agent })
      const [response] = await once(request, 'response')
      response.resume()
      await once(response, 'end')
      return request
    }
    const { socket } = await get()
    await control(`${api}/settings`, 'PUT', { keepAliveTimeoutMs: 50 })
    expect((await get()).reusedSocket).toBe(true)
    await eventually(() => socket?.destroyed === true, 'the connection to be closed')
  })
})

describe('channels and subscriptions', () => {
  test('a channel is terminated with any reason or dropped without one; a subscription is ended by the operator', async () => {
    const { url, api } = await start()
    await addAnn(api)
    const first = await open(url)
    const list = await control<{ channels: { channel_id: string; xsp_index: number }[] }>(`${api}/channels`, 'GET')
    expect(list.body.channels).toMatchObject([{ channel_id: first.channelId, xsp_index: 0, priority: 1, weight: 50 }])
    await control(`${api}/channels/${first.channelId}/terminate`, 'POST', { reason: 'UserDeleted' })
    await eventually(() => first.isClosed, 'the end')
    expect(first.documents.at(-1)).toBe(
      `<?xml version="1.0" encoding="UTF-8"?><xsi:Event xmlns:xsi="http://schema.broadsoft.com/xsi" xmlns:xsi1="http://www.w3.org/2001/XMLSchema-instance" xsi1:type="xsi:ChannelTerminatedEvent"><xsi:channelId>${first.channelId}</xsi:channelId><xsi:reason>UserDeleted</xsi:reason></xsi:Event>`,
    )
    const second = await open(url)
    await control(`${api}/channels/${second.channelId}/drop`, 'POST')
    await eventually(() => second.isClosed, 'the drop')
    expect(second.documents).toHaveLength(1)
    const third = await open(url)
    const { subscriptionId } = await subscribe(url, '/user/ann@example.net')
    expect((await control(`${api}/subscriptions/${subscriptionId}`, 'DELETE')).status).toBe(204)
    await third.event('SubscriptionTerminatedEvent')
    expect((await control<{ subscriptions: unknown[] }>(`${api}/subscriptions`, 'GET')).body.subscriptions).toEqual([])
  })
})

describe('failover', () => {
  test('drops all calls silently, and with resync every watcher is told the new state', async () => {
    const { url, api } = await start()
    await addAnn(api)
    const channel = await open(url)
    await subscribe(url, '/user/ann@example.net')
    await subscribe(url, '/system')
    const ring = () => control(`${api}/users/ann@example.net/incoming-calls`, 'POST', { from: '+15557770000' })
    await ring()
    await channel.event('CallReceivedEvent', 2)
    const silent = await control<{ dropped_calls: number }>(`${api}/failover`, 'POST')
    expect(silent.body.dropped_calls).toBe(1)
    await ring()
    await channel.event('CallReceivedEvent', 4)
    await control(`${api}/failover`, 'POST', { resync: true })
    const resync = await channel.event('CallSubscriptionResyncEvent', 2)
    expect(resync.document).toContain(
      '<xsi:eventData xsi1:type="xsi:CallSubscriptionResyncEvent"><xsi:hookStatus>On-Hook',
    )
    expect(channel.events.some((event) => event.type === 'CallReleasedEvent')).toBe(false)
  })
})

describe('ledger', () => {
  test('tells of each event its ids, type, state, emissions and acknowledgement, page by page', async () => {
    const { url, api } = await start()
    await addAnn(api)
    const channel = await open(url)
    const { subscriptionId } = await subscribe(url, '/user/ann@example.net')
    await channel.event('CallSubscriptionEvent')
    const call = await control<{ call_id: string }>(`${api}/users/ann@example.net/incoming-calls`, 'POST', {
      from: '1',
    })
    const event = await channel.event('CallReceivedEvent')
    await acknowledge(url, event.id)
    type Page = { entries: LedgerEntry[]; next: number }
    const first = await control<Page>(`${api}/ledger?limit=1`, 'GET')
    expect(first.body.entries.map((entry) => entry.type)).toEqual(['CallSubscriptionEvent'])
    const second = await control<Page>(`${api}/ledger?after=${first.body.next}`, 'GET')
    expect(second.body.entries).toMatchObject([
      {
        event_id: event.id,
        subscription_id: subscriptionId,
        sequence_number: 2,
        user_id: 'ann@example.net',
        call_id: call.body.call_id,
        type: 'CallReceivedEvent',
        state: 'Alerting',
        emissions: [{ channel_id: channel.channelId }],
        ack_status: 200,
        expired_at: null,
        expired_reason: null,
      },
    ])
    expect((await control<Page>(`${api}/ledger?after=${second.body.next}`, 'GET')).body).toEqual({
      entries: [],
      next: 2,
    })
    const summary = await control<LedgerSummary>(`${api}/ledger/summary`, 'GET')
    expect(summary.body).toMatchObject({ events: 2, emissions: 2, acked: 1, refused: 0, expired: 0, pending: 1 })
    await control(`${api}/ledger`, 'DELETE')
    expect((await control<Page>(`${api}/ledger`, 'GET')).body).toEqual({ entries: [], next: 2 })
  })
})

describe('load', () => {
  test('an open loop plays every scheduled call to its end, and every event is acknowledged', async () => {
    const { url, api } = await start()
    await control(`${api}/users`, 'POST', { count: 50 })
    const channel = await open(url)
    await subscribe(url, '/system')
    const started = await control<{ load_id: string }>(`${api}/load`, 'POST', {
      calls_per_second: 100,
      seconds: 0.5,
      call_ms: 200,
      answer_ratio: 1,
      hold_ratio: 0,
    })
    expect(started.status).toBe(202)
    const done = await eventually(async () => {
      const { body } = await control<LoadProgress>(`${api}/load/${started.body.load_id}`, 'GET')
      return body.done && body
    }, 'the end of the load')
    expect(done).toMatchObject({ scheduled: 50, started: 50, finished: 50, failed: 0 })
    // Each user has one call: received, off hook, answered, released, on hook.
    await eventually(() => channel.events.length === 250, '250 events')
    for (const event of channel.events) await acknowledge(url, event.id)
    const summary = await control<LedgerSummary>(`${api}/ledger/summary`, 'GET')
    expect(summary.body).toMatchObject({ events: 250, acked: 250, pending: 0, expired: 0 })
    expect(summary.body.by_type).toEqual({
      CallReceivedEvent: 50,
      HookStatusEvent: 100,
      CallAnsweredEvent: 50,
      CallReleasedEvent: 50,
    })
  })

  test('a load without users is refused, an unknown one not found', async () => {
    const { api } = await start()
    expect((await control(`${api}/load`, 'POST', { calls_per_second: 1, seconds: 1 })).status).toBe(400)
    expect((await control(`${api}/load/none`, 'GET')).status).toBe(404)
  })
})
