import { expect, test } from 'vitest'
import { BroadsoftRig } from '../../test/support/broadsoft-rig.ts'
import type { Instance } from '../../test/support/broadsoft-rig.ts'
import { untilHolds } from '../../test/support/until.ts'
import { GatewayError } from '../core/errors.ts'
import { toCallId, toSubscriberId } from '../core/ids.ts'

const USER_1 = 'user1@example.net'
const USER_2 = 'user2@example.net'
const SLOW = 20_000

// Each has a network and instances of its own, and mostly waits: they run at the same time.

/** Has the sink wait for `store` before it stores what comes; `reached` is when something has come. */
function holdStore({ sink }: Instance) {
  const { promise: held, resolve: store } = Promise.withResolvers<void>()
  const { promise: reached, resolve: reach } = Promise.withResolvers<void>()
  sink.beforeStore = async () => {
    reach()
    await held
  }
  return { reached, store }
}

const untilReady = ({ adapter }: Instance) =>
  untilHolds(() => {
    expect(adapter.isReady()).toBe(true)
    expect(adapter.subscriptions()).toMatchObject({ stale: 0, failed: [] })
  })

test.concurrent('every wanted subscriber gets a snapshot, and then the adapter is ready', async () => {
  await using rig = await BroadsoftRig.start()
  const instance = await rig.startAdapter()
  expect(instance.adapter.isReady()).toBe(false)
  await untilReady(instance)
  expect(instance.sink.stale[0]).toEqual([USER_1, USER_2])
  expect(instance.sink.snapshotsOf(USER_1).length).toBe(1)
  expect(instance.sink.snapshotsOf(USER_2).length).toBe(1)
  expect(instance.adapter.subscriptions()).toEqual({ wanted: 2, active: 2, stale: 0, failed: [] })
  const [channel] = instance.adapter.channels()
  expect(channel).toMatchObject({ state: 'open', node: new URL(rig.simulator.xspUrls[0] ?? '').host, attempts: 0 })
  expect(await instance.metric('callhalf_channels_open')).toBe(1)
  expect(await instance.metric('callhalf_network_subscribers', { state: 'active' })).toBe(2)
})

test.concurrent('a call is observed in order under the channel’s fence and its events are answered 200', async () => {
  await using rig = await BroadsoftRig.start()
  const instance = await rig.startAdapter()
  await untilReady(instance)
  const callId = await rig.ring(USER_1)
  await rig.control('POST', `/calls/${callId}/local/answer`)
  await rig.control('POST', `/calls/${callId}/remote/hangup`)
  await untilHolds(() => expect(instance.sink.statesOf(USER_1)).toEqual(['ringing', 'active', 'released']))
  await untilHolds(async () => expect((await rig.ledger()).map(({ ack_status: status }) => status)).not.toContain(null))
  expect(new Set((await rig.ledger()).map(({ ack_status: status }) => status))).toEqual(new Set([200]))
  const host = new URL(rig.simulator.xspUrls[0] ?? '').host
  expect(new Set(instance.sink.delivered.map(({ fence }) => fence.lease))).toEqual(new Set([`channel:${host}`]))
  expect(await instance.metric('callhalf_channel_events_total', { outcome: 'delivered' })).toBe(5)
  // Hook status is no call state.
  expect(await instance.metric('callhalf_channel_events_total', { outcome: 'ignored' })).toBe(2)
  await untilHolds(async () => expect(await instance.metric('callhalf_channel_acks_total', { status: '200' })).toBe(7))
})

test.concurrent('an event is acknowledged only once the sink has stored it', async () => {
  await using rig = await BroadsoftRig.start()
  const instance = await rig.startAdapter()
  await untilReady(instance)
  const { reached, store } = holdStore(instance)
  await rig.ring(USER_1)
  await reached
  // The other subscriber does not wait for this one, so an answer to this one would have come by now.
  instance.sink.beforeStore = async () => undefined
  await rig.ring(USER_2)
  await untilHolds(async () => expect(await ackOf(rig, USER_2)).toBe(200))
  expect(await ackOf(rig, USER_1)).toBe(null)
  store()
  await untilHolds(async () => expect(await ackOf(rig, USER_1)).toBe(200))
})

const ackOf = async (
  rig: BroadsoftRig,
  userId: string,
  type = 'CallReceivedEvent',
): Promise<number | null | undefined> =>
  (await rig.ledger(type)).find(({ user_id: user }) => user === userId)?.ack_status

test.concurrent(
  'an event that could not be stored is left unanswered and delivered again',
  { timeout: SLOW },
  async () => {
    await using rig = await BroadsoftRig.start({ settings: { ackTimeoutMs: 300 } })
    const instance = await rig.startAdapter()
    await untilReady(instance)
    let failures = 0
    instance.sink.beforeStore = async ({ body }) => {
      if (body.type !== 'calls' || failures > 0) return
      failures += 1
      throw new GatewayError('store_unavailable')
    }
    await rig.ring(USER_1)
    await untilHolds(async () => expect(await ackOf(rig, USER_1)).toBe(200))
    const [event] = await rig.ledger('CallReceivedEvent')
    expect(event?.emissions.length).toBe(2)
    expect(instance.sink.statesOf(USER_1)).toEqual(['ringing'])
    expect(await instance.metric('callhalf_channel_acks_total', { status: 'none' })).toBe(1)
    // The subscriber is confirmed anew besides.
    await untilHolds(() => expect(instance.sink.snapshotsOf(USER_1).length).toBe(2))
  },
)

test.concurrent('an event refused by the store because of the fence is sent to the next channel with 500', async () => {
  await using rig = await BroadsoftRig.start({ settings: { redeliveriesMax: 0 } })
  const instance = await rig.startAdapter()
  await untilReady(instance)
  instance.sink.beforeStore = async () => {
    throw new GatewayError('fenced')
  }
  await rig.ring(USER_1)
  await untilHolds(async () => expect(await ackOf(rig, USER_1)).toBe(500))
})

test.concurrent('an event that the sink fails on by a bug is answered, so that it does not cost the channel', async () => {
  await using rig = await BroadsoftRig.start()
  const instance = await rig.startAdapter()
  await untilReady(instance)
  instance.sink.beforeStore = async ({ body }) => {
    if (body.type === 'calls') throw new TypeError('a bug')
  }
  await rig.ring(USER_1)
  await untilHolds(async () => expect(await ackOf(rig, USER_1)).toBe(200))
  expect(await instance.metric('callhalf_channel_events_total', { outcome: 'failed' })).toBe(1)
})

test.concurrent('channels on two nodes stay alive: heartbeats and answers reach the node that holds the stream', async () => {
  await using rig = await BroadsoftRig.start({ xsps: 2, users: 20, settings: { eventTimeoutMs: 1000 } })
  const instance = await rig.startAdapter({ heartbeat_seconds: 0.25 })
  await untilReady(instance)
  await untilHolds(async () => expect((await rig.channels()).length).toBe(2))
  const before = await rig.channels()
  for (let user = 1; user <= 20; user += 1) await rig.ring(`user${user}@example.net`)
  await untilHolds(async () => {
    const now = await rig.channels()
    expect(now.map(({ channel_id: id }) => id)).toEqual(before.map(({ channel_id: id }) => id))
    for (const [index, channel] of now.entries()) {
      expect(channel.last_heartbeat_at - (before[index]?.opened_at ?? 0)).toBeGreaterThan(1500)
    }
  })
  const events = await rig.ledger()
  expect(new Set(events.map(({ ack_status: status }) => status))).toEqual(new Set([200]))
  expect(new Set(events.flatMap(({ emissions }) => emissions.map(({ channel_id: id }) => id))).size).toBe(2)
})

test.concurrent.each([
  ['NonResponsiveChannel', 'non_responsive_channel'],
  ['ExplicitDelete', 'explicit_delete'],
  ['Expired', 'expired'],
  ['UnknownChannel', 'unknown_channel'],
])(
  'a channel ended by the server with %s is opened again after a pause, and snapshots follow',
  { timeout: SLOW },
  async (reason, word) => {
    await using rig = await BroadsoftRig.start()
    const instance = await rig.startAdapter()
    await untilReady(instance)
    const [first] = await rig.channels()
    const endedAt = Date.now()
    await rig.control('POST', `/channels/${first?.channel_id}/terminate`, { reason })
    await untilHolds(() => expect(instance.adapter.channels()[0]).toMatchObject({ state: 'waiting', reason: word }))
    await untilHolds(() => expect(instance.adapter.channels()[0]?.state).toBe('open'))
    const [second] = await rig.channels()
    expect(second?.channel_id).not.toBe(first?.channel_id)
    expect((second?.opened_at ?? 0) - endedAt).toBeGreaterThanOrEqual(240)
    await untilReady(instance)
    expect(instance.sink.snapshotsOf(USER_1).length).toBe(2)
    expect(await instance.metric('callhalf_channel_ends_total', { reason: word })).toBe(1)
  },
)

test.concurrent.each([
  ['DuplicateChannelSet', 'duplicate_channel_set'],
  ['UserDeleted', 'user_deleted'],
])(
  'a channel ended by the server with %s is given up until an operator restarts it',
  { timeout: SLOW },
  async (reason, word) => {
    await using rig = await BroadsoftRig.start()
    const instance = await rig.startAdapter()
    await untilReady(instance)
    const [first] = await rig.channels()
    await rig.control('POST', `/channels/${first?.channel_id}/terminate`, { reason })
    await untilHolds(() => expect(instance.adapter.channels()[0]).toMatchObject({ state: 'stopped', reason: word }))
    expect(await instance.metric('callhalf_channel_stopped', { reason: word })).toBe(1)
    expect(rig.leases.holds(`channel:${instance.adapter.channels()[0]?.node}`)).toBe(true)
    instance.adapter.resynchronise(undefined, 'somebody')
    expect(instance.adapter.channels()[0]?.state).toBe('stopped')
    instance.adapter.restartChannels()
    await untilHolds(() => expect(instance.adapter.channels()[0]?.state).toBe('open'))
    expect(await instance.metric('callhalf_channel_stopped')).toBe(0)
    await untilReady(instance)
  },
)

test.concurrent(
  'a dropped socket is noticed, the calls are marked stale, and a snapshot tells what happened since',
  { timeout: SLOW },
  async () => {
    await using rig = await BroadsoftRig.start({ settings: { retentionWithoutChannelMs: 1 } })
    const instance = await rig.startAdapter()
    await untilReady(instance)
    const callId = await rig.ring(USER_1)
    await untilHolds(() => expect(instance.sink.statesOf(USER_1)).toEqual(['ringing']))
    const staleBefore = instance.sink.stale.length
    const [channel] = await rig.channels()
    await rig.control('POST', `/channels/${channel?.channel_id}/drop`)
    await rig.control('POST', `/calls/${callId}/remote/hangup`)
    await untilHolds(() => expect(instance.sink.stale.length).toBeGreaterThan(staleBefore))
    await untilReady(instance)
    expect(instance.sink.statesOf(USER_1)).toEqual(['ringing'])
    expect(instance.sink.snapshotsOf(USER_1).at(-1)?.body.calls).toEqual([])
  },
)

test.concurrent(
  'a stream that died half is ended although heartbeats are answered, and opened again',
  { timeout: SLOW },
  async () => {
    await using rig = await BroadsoftRig.start()
    const instance = await rig.startAdapter({ heartbeat_seconds: 0.25 })
    await untilReady(instance)
    const [first] = await rig.channels()
    await rig.control('PUT', '/faults', { half_open: true })
    await untilHolds(async () =>
      expect(await instance.metric('callhalf_channel_ends_total', { reason: 'silent' })).toBe(1),
    )
    await rig.control('DELETE', '/faults')
    await untilHolds(() => expect(instance.adapter.channels()[0]?.state).toBe('open'))
    const ids = (await rig.channels()).map(({ channel_id: id }) => id)
    expect(ids).not.toContain(first?.channel_id)
    expect(await instance.metric('callhalf_channel_heartbeat_failures_total')).toBe(0)
  },
)

test.concurrent(
  'refused credentials are tried once more, then everything stops until an operator says so',
  { timeout: SLOW },
  async () => {
    await using rig = await BroadsoftRig.start({ xsps: 2 })
    await rig.control('PUT', '/faults', { http_burst: { status: 401, count: 100 } })
    const instance = await rig.startAdapter()
    await untilHolds(() =>
      expect(instance.adapter.channels().map(({ state, reason }) => [state, reason])).toEqual([
        ['stopped', 'unauthorized'],
        ['stopped', 'unauthorized'],
      ]),
    )
    const command = { type: 'list', subscriberId: toSubscriberId(USER_1) } as const
    await expect(instance.adapter.execute(command, AbortSignal.timeout(1000))).rejects.toMatchObject({
      code: 'provider_unauthorized',
    })
    const { http_burst: burst } = await rig.control<{ http_burst: { count: number } }>('GET', '/faults')
    expect(burst.count).toBe(98)
    await rig.control('DELETE', '/faults')
    instance.adapter.restartChannels()
    await untilHolds(() => expect(instance.adapter.channels().map(({ state }) => state)).toEqual(['open', 'open']))
    await untilReady(instance)
  },
)

// By itself: it counts on heartbeats being answered in time.
test(
  'a short burst of 503 on heartbeats does not cost the channel, a lasting one does',
  { timeout: SLOW },
  async () => {
    await using rig = await BroadsoftRig.start()
    const instance = await rig.startAdapter({ heartbeat_seconds: 0.5 })
    await untilReady(instance)
    const [first] = await rig.channels()
    await rig.control('PUT', '/faults', { http_burst: { status: 503, count: 2, path_includes: 'heartbeat' } })
    await untilHolds(async () => expect(await instance.metric('callhalf_channel_heartbeat_failures_total')).toBe(2))
    const failedAt = Date.now()
    await untilHolds(async () => expect((await rig.channels())[0]?.last_heartbeat_at).toBeGreaterThan(failedAt))
    expect((await rig.channels()).map(({ channel_id: id }) => id)).toEqual([first?.channel_id])
    await rig.control('PUT', '/faults', { http_burst: { status: 503, count: 3, path_includes: 'heartbeat' } })
    // Without heartbeats there are no echoes: which of the two is noticed first is a matter of jitter.
    await untilHolds(async () => expect(await instance.metric('callhalf_channel_ends_total')).toBe(1))
    await untilHolds(() => expect(instance.adapter.channels()[0]?.state).toBe('open'))
  },
)

test.concurrent('a channel that is refused with Retry-After is not asked for before', async () => {
  await using rig = await BroadsoftRig.start()
  await rig.control('PUT', '/faults', {
    http_burst: { status: 503, count: 1, path_includes: 'async', retry_after_seconds: 2 },
  })
  const instance = await rig.startAdapter()
  await untilHolds(() => expect(instance.adapter.channels()[0]).toMatchObject({ state: 'waiting', reason: 'refused' }))
  const [channel] = instance.adapter.channels()
  expect((channel?.retryAt ?? 0) - (channel?.since ?? 0)).toBeGreaterThanOrEqual(1990)
  // The start does not wait for a network that cannot be reached.
  expect(instance.adapter.isReady()).toBe(true)
})

test.concurrent.each([['heartbeat'], ['eventresponse']])(
  'a 404 to a %s means that the node lost the channel: a new one is opened',
  { timeout: SLOW },
  async (path) => {
    await using rig = await BroadsoftRig.start()
    const instance = await rig.startAdapter({ heartbeat_seconds: 0.25 })
    await untilReady(instance)
    await rig.control('PUT', '/faults', { http_burst: { status: 404, count: 1, path_includes: path } })
    await rig.ring(USER_1)
    await untilHolds(async () =>
      expect(await instance.metric('callhalf_channel_ends_total', { reason: 'channel_gone' })).toBe(1),
    )
    await untilHolds(() => expect(instance.adapter.channels()[0]?.state).toBe('open'))
  },
)

test.concurrent('a channel is renewed at half of the lifetime that was granted', { timeout: SLOW }, async () => {
  await using rig = await BroadsoftRig.start({ settings: { grantedExpiresSeconds: 2, channelExpiresMinSeconds: 1 } })
  const instance = await rig.startAdapter()
  await untilReady(instance)
  const [first] = await rig.channels()
  const firstEnd = first?.expires_at ?? 0
  await untilHolds(async () => {
    const [now] = await rig.channels()
    expect(now?.channel_id).toBe(first?.channel_id)
    expect(now?.expires_at ?? 0).toBeGreaterThan(firstEnd + 2000)
  })
  const kept = await rig.subscriptions()
  expect(kept.length).toBe(2)
})

test.concurrent('a channel redirected to another node is looked after there', async () => {
  await using rig = await BroadsoftRig.start({ xsps: 2, settings: { eventTimeoutMs: 1000 } })
  await rig.control('PUT', '/faults', { redirect: { to_xsp_index: 1, count: 1, path_includes: 'async' } })
  const [xsp = ''] = rig.simulator.xspUrls
  const redirectHosts = rig.simulator.xspUrls.map((url) => new URL(url).host)
  const instance = await rig.startAdapter({ xsp: [xsp], redirect_hosts: redirectHosts, heartbeat_seconds: 0.25 })
  await untilReady(instance)
  const [first] = await rig.channels()
  expect(first?.xsp_index).toBe(1)
  await untilHolds(async () => {
    const [channel] = await rig.channels()
    expect((channel?.last_heartbeat_at ?? 0) - (channel?.opened_at ?? 0)).toBeGreaterThan(1500)
  })
  expect((await rig.channels()).map(({ channel_id: id }) => id)).toEqual([first?.channel_id])
})

test.concurrent(
  'a subscribe answered 404 right after the channel was opened is tried again',
  { timeout: SLOW },
  async () => {
    await using rig = await BroadsoftRig.start({ settings: { subscribe404Ms: 500 } })
    const instance = await rig.startAdapter()
    await untilReady(instance)
    expect(
      await instance.metric('callhalf_subscription_requests_total', {
        operation: 'create',
        outcome: 'subscriber_not_found',
      }),
    ).toBeGreaterThan(0)
  },
)

test.concurrent(
  'a subscriber that the network does not know is reported as failed and does not hold up readiness',
  { timeout: SLOW },
  async () => {
    await using rig = await BroadsoftRig.start({ settings: { subscriptionLimit: 1 } })
    const instance = await rig.startAdapter()
    await untilHolds(() => expect(instance.adapter.isReady()).toBe(true))
    const { failed, active } = instance.adapter.subscriptions()
    expect({ active, codes: failed.map(({ code }) => code) }).toEqual({ active: 1, codes: ['provider_refused'] })
  },
)

test.concurrent('after a restart the subscriptions are adopted, not made again', async () => {
  await using rig = await BroadsoftRig.start()
  const first = await rig.startAdapter()
  await untilReady(first)
  const before = await rig.subscriptions()
  await first.adapter.stop(AbortSignal.timeout(5000))
  expect(await rig.channels()).toEqual([])
  expect((await rig.subscriptions()).length).toBe(2)
  const second = await rig.startAdapter()
  await untilReady(second)
  expect((await rig.subscriptions()).map(({ subscription_id: id }) => id)).toEqual(
    before.map(({ subscription_id: id }) => id),
  )
  expect(second.sink.snapshotsOf(USER_1).length).toBe(1)
  expect(await second.metric('callhalf_subscription_requests_total', { operation: 'create' })).toBe(0)
})

test.concurrent('left-over subscriptions of our application are deleted, those of others are not', async () => {
  await using rig = await BroadsoftRig.start({ users: 4, wanted: [USER_1] })
  await subscribe(rig, 'user2@example.net', { set: 'set-1', app: 'app-1' })
  await subscribe(rig, 'user3@example.net', { set: 'an-older-set', app: 'app-1' })
  await subscribe(rig, 'user4@example.net', { set: 'set-9', app: 'app-9' })
  await subscribe(rig, USER_1, { set: 'an-older-set', app: 'app-1' })
  const instance = await rig.startAdapter()
  await untilReady(instance)
  await untilHolds(async () =>
    expect(
      (await rig.subscriptions()).map(({ target, application_id: app }) => `${app} ${target.id}`).toSorted(),
    ).toEqual([`app-1 ${USER_1}`, 'app-9 user4@example.net']),
  )
})

async function subscribe(
  rig: BroadsoftRig,
  userId: string,
  ids: { readonly set: string; readonly app: string },
): Promise<void> {
  const body = `<Subscription xmlns="http://schema.broadsoft.com/xsi"><event>Advanced Call</event><expires>3600</expires><channelSetId>${ids.set}</channelSetId><applicationId>${ids.app}</applicationId></Subscription>`
  const response = await rig.xsi('POST', `/com.broadsoft.xsi-events/v2.0/user/${userId}`, body)
  expect(response.status).toBe(200)
}

test.concurrent('a subscriber added while running is subscribed to, one removed is not any more', async () => {
  await using rig = await BroadsoftRig.start({ wanted: [USER_1] })
  const instance = await rig.startAdapter()
  await untilReady(instance)
  rig.wanted.set([USER_2])
  await untilHolds(async () => expect((await rig.subscriptions()).map(({ target }) => target.id)).toEqual([USER_2]))
  await untilHolds(() => expect(instance.sink.snapshotsOf(USER_2).length).toBe(1))
  expect(instance.adapter.subscriptions()).toEqual({ wanted: 1, active: 1, stale: 0, failed: [] })
  rig.wanted.set([USER_1, USER_2])
  await untilHolds(() => expect(instance.adapter.subscriptions()).toMatchObject({ wanted: 2, active: 2 }))
  expect((await rig.subscriptions()).length).toBe(2)
})

test.concurrent('a subscription that the network ends is made again', { timeout: SLOW }, async () => {
  await using rig = await BroadsoftRig.start({ wanted: [USER_1] })
  const instance = await rig.startAdapter()
  await untilReady(instance)
  const [first] = await rig.subscriptions()
  await rig.control('DELETE', `/subscriptions/${first?.subscription_id}`)
  await untilHolds(async () => {
    const [now] = await rig.subscriptions()
    expect(now?.target.id).toBe(USER_1)
    expect(now?.subscription_id).not.toBe(first?.subscription_id)
  })
  await untilHolds(() => expect(instance.sink.snapshotsOf(USER_1).length).toBe(2))
  const generations = instance.sink.snapshotsOf(USER_1).map(({ upstream }) => upstream.generation)
  expect(generations[1]).toBeGreaterThan(generations[0] ?? 0)
})

test.concurrent.each([
  [{ subscribe: 'group', enterprise_id: 'enterprise-1', group_id: 'group-1' } as const, 'Group'],
  [{ subscribe: 'enterprise', enterprise_id: 'enterprise-1' } as const, 'ServiceProvider'],
  [{ subscribe: 'system' } as const, 'System'],
])(
  'with %j one subscription serves all, snapshots are read, and strangers’ events are dropped',
  async (config, type) => {
    await using rig = await BroadsoftRig.start({ wanted: [USER_1] })
    const callId = await rig.ring(USER_1)
    const instance = await rig.startAdapter(config)
    await untilReady(instance)
    expect((await rig.subscriptions()).map(({ target }) => target.type)).toEqual([type])
    const [snapshot] = instance.sink.snapshotsOf(USER_1)
    expect(snapshot?.body.calls.map((call) => [call.callId, call.state])).toEqual([[callId, 'ringing']])
    expect(snapshot?.upstream.sequence).toBe(0)
    await rig.ring(USER_2)
    await untilHolds(async () => expect(await ackOf(rig, USER_2)).toBe(200))
    await rig.control('POST', `/calls/${callId}/remote/hangup`)
    await untilHolds(() => expect(instance.sink.statesOf(USER_1)).toEqual(['released']))
    expect(instance.sink.statesOf(USER_2)).toEqual([])
    expect(await instance.metric('callhalf_channel_events_total', { outcome: 'unassigned' })).toBe(1)
    // After a gap the subscription is kept and the calls are read again, under the newest position.
    const [channel] = await rig.channels()
    await rig.control('POST', `/channels/${channel?.channel_id}/drop`)
    await untilHolds(() => expect(instance.sink.snapshotsOf(USER_1).length).toBe(2))
    expect(instance.sink.snapshotsOf(USER_1)[1]).toMatchObject({ upstream: { sequence: 2 }, body: { calls: [] } })
    expect((await rig.subscriptions()).length).toBe(1)
  },
)

test.concurrent('a command for a call that the network does not know has the subscriber read again', async () => {
  await using rig = await BroadsoftRig.start()
  const instance = await rig.startAdapter()
  await untilReady(instance)
  const command = { type: 'hold', subscriberId: toSubscriberId(USER_1), callId: toCallId('callhalf-9:9') } as const
  await expect(instance.adapter.execute(command, AbortSignal.timeout(5000))).rejects.toMatchObject({
    code: 'call_not_found',
  })
  await untilHolds(() => expect(instance.sink.snapshotsOf(USER_1).length).toBe(2))
  expect(await instance.metric('callhalf_resyncs_total', { reason: 'call_not_found' })).toBe(1)
})

test.concurrent('while stopping, what was taken in is finished and what arrives is sent on with 500', async () => {
  await using rig = await BroadsoftRig.start({ settings: { redeliveriesMax: 0 } })
  const instance = await rig.startAdapter()
  await untilReady(instance)
  const { reached, store } = holdStore(instance)
  await rig.ring(USER_1)
  await reached
  const stopped = instance.adapter.stop(AbortSignal.timeout(5000))
  await rig.ring(USER_2)
  await untilHolds(async () => expect(await ackOf(rig, USER_2)).toBe(500))
  expect(await ackOf(rig, USER_1)).toBe(null)
  store()
  await stopped
  expect(await ackOf(rig, USER_1)).toBe(200)
  expect(await rig.channels()).toEqual([])
  expect((await rig.subscriptions()).length).toBe(2)
  expect(instance.sink.statesOf(USER_2)).toEqual([])
})

test.concurrent(
  'with the lease its channel goes at once and unanswered, and comes back with the lease',
  { timeout: SLOW },
  async () => {
    await using rig = await BroadsoftRig.start()
    const instance = await rig.startAdapter()
    await untilReady(instance)
    const { reached, store } = holdStore(instance)
    await rig.ring(USER_1)
    await reached
    const lease = `channel:${instance.adapter.channels()[0]?.node}`
    rig.leases.seize(lease.replace('channel', 'standby'))
    rig.leases.seize(lease)
    store()
    await untilHolds(() => expect(instance.adapter.channels()[0]?.state).toBe('standby'))
    await untilHolds(async () => expect(await rig.channels()).toEqual([]))
    expect(await ackOf(rig, USER_1)).toBe(null)
    instance.sink.beforeStore = async () => undefined
    // What it marked as unconfirmed it has to confirm, as nobody else knows of the loss.
    await untilReady(instance)
    expect(instance.sink.delivered.at(-1)?.fence.lease).toBe('reads')
    rig.leases.free(lease)
    await untilHolds(() => expect(instance.adapter.channels()[0]?.state).toBe('open'))
    await untilReady(instance)
  },
)

const NO_CHANNELS = { http_burst: { status: 503, count: 1_000_000, path_includes: 'async' } }

test.concurrent(
  'an instance whose channel is lost and does not come back confirms all subscribers by reading',
  { timeout: SLOW },
  async () => {
    await using rig = await BroadsoftRig.start()
    const instance = await rig.startAdapter()
    await untilReady(instance)
    const callId = await rig.ring(USER_1)
    await rig.control('PUT', '/faults', NO_CHANNELS)
    const [lost] = await rig.channels()
    const staleBefore = instance.sink.stale.length
    await rig.control('POST', `/channels/${lost?.channel_id}/drop`)
    await untilHolds(() => expect(instance.sink.stale.slice(staleBefore)).toEqual([[USER_1, USER_2]]))
    const before = instance.sink.delivered.length
    await untilHolds(() =>
      expect(instance.adapter.subscriptions()).toEqual({ wanted: 2, active: 2, stale: 0, failed: [] }),
    )
    expect(instance.adapter.channels()[0]?.state).not.toBe('open')
    const read = instance.sink.delivered
      .slice(before)
      .flatMap(({ observation: { body, subscriberId } }) =>
        body.type === 'snapshot' ? [[subscriberId, body.calls.map((call) => String(call.callId))]] : [],
      )
    expect(Object.fromEntries(read)).toEqual({ [USER_1]: [callId], [USER_2]: [] })
  },
)

test.concurrent('an instance whose node is down from the start reads all subscribers', { timeout: SLOW }, async () => {
  await using rig = await BroadsoftRig.start()
  await rig.control('PUT', '/faults', NO_CHANNELS)
  const instance = await rig.startAdapter()
  await untilHolds(() => expect(instance.adapter.channels()[0]).toMatchObject({ state: 'waiting', reason: 'refused' }))
  await untilHolds(() =>
    expect(instance.adapter.subscriptions()).toEqual({ wanted: 2, active: 2, stale: 0, failed: [] }),
  )
  expect(instance.sink.stale).toEqual([])
})
